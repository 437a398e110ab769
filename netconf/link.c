/*
 * link.c - network namespaces, the wires between them, and the order in which an end comes up.  See netconf.h.
 *
 * Doing: decides nothing.  A call of net_links_make() goes
 *
 *      check ─▶ pairs_make ─▶ per namespace: links_read_back ─▶ filter_add ─▶ addresses_set ─▶ addresses_read_back
 *                   │                                          └▶ links_up ─▶ carriers_wait ─▶ next namespace
 *                   └───────────── any failure ─▶ pairs_unmake ─▶ nothing left
 *
 * Invariants
 *  I1  A pair is made from a socket in the caller's own namespace, with both ends placed by IFLA_NET_NS_FD in that one
 *      message.  (Moving an end later costs 16 ms and shows the interface where it does not belong.)
 *  I2  An end is NOARP from birth: switching ARP off later would flush its permanent neighbour.
 *  I3  pairs_unmake() removes what pairs_make() saw succeed, nothing else: a name that was taken already stays taken.
 *
 * The Ethernet address of an end is made from its IPv4 address, so that the neighbour entry of the other end can be
 * written without asking.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/mount.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#include "netconf/filter.h"
#include "netconf/netconf.h"
#include "netconf/netlink.h"
#include "rpc/base/clock.h"
#include "rpc/base/own.h"
#include "rpc/base/weaken.h"

#define LINKS_MAX 65536u /* of one call: beyond any plan, and small enough for every product of sizes here */
#define PREFIX_BITS 31
#define MAC_BYTES 6
#define ADDRESS_TEXT_BYTES 16 /* "255.255.255.255" and its NUL */

/* ---- network namespaces ---- */

struct sysctl {
    const char *path; /* below its directory */
    const char *value;
};

/* A new namespace copies the IPv4 ones of the host's first namespace, so none is what it should be by itself.  `all`
 * and `default` both: depending on the setting the kernel takes one, either or the larger of `all` and the interface's
 * own, which is a copy of `default`. */
static const struct sysctl sysctls_ipv4[] = {
    {"ip_forward", "0"},
    {"tcp_fastopen", "0"}, /* else a listener can be made a connection: SHUTDOWN, then SEND with MSG_FASTOPEN */
    {"tcp_congestion_control", "reno"},
};

static const struct sysctl sysctls_all[] = {
    {"accept_source_route", "0"}, {"rp_filter", "1"}, /* strict; 2 would be larger, and loose */
    {"route_localnet", "0"},      {"accept_redirects", "0"},
    {"send_redirects", "0"},      {"arp_ignore", "8"}, /* answer for no address at all; the larger one counts */
};

static const struct sysctl sysctls_default[] = {
    {"forwarding", "0"}, /* ip_forward only writes it when it changes */
    {"accept_source_route", "0"}, {"rp_filter", "1"},      {"route_localnet", "0"},
    {"accept_redirects", "0"},    {"send_redirects", "0"},
};

static const struct sysctl sysctls_ipv6[] = {
    {"all/disable_ipv6", "1"},
    {"default/disable_ipv6", "1"},
};

/* In this order, each directory walked to once. */
static const struct sysctls {
    const char *directory; /* below /proc/sys/net */
    const struct sysctl *sysctls;
    size_t count;
    bool may_be_absent;
} all_sysctls[] = {
    {"ipv4", sysctls_ipv4, ARRAY_COUNT(sysctls_ipv4), false},
    {"ipv4/conf/all", sysctls_all, ARRAY_COUNT(sysctls_all), false},
    {"ipv4/conf/default", sysctls_default, ARRAY_COUNT(sysctls_default), false},
    {"ipv6/conf", sysctls_ipv6, ARRAY_COUNT(sysctls_ipv6), true},
};

/* Reads a setting, without its newline. */
static int sysctl_read(int fd, char *ret_value, size_t bytes)
{
    ssize_t length = pread(fd, ret_value, bytes - 1, 0);
    if (length < 0)
        return -errno;
    ret_value[length] = '\0';
    ret_value[strcspn(ret_value, "\n")] = '\0';
    return 0;
}

/* Writes a setting unless it is so already, and reads it back. */
static int sysctl_set(int directory_fd, const char *directory, const struct sysctl *sysctl, struct err *e)
{
    char value[64]; /* the longest is the name of a congestion control, 16 */
    FD_AUTO int fd = openat(directory_fd, sysctl->path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return err_sys(e, -errno, "open sysctl net/%s/%s", directory, sysctl->path);
    int code = sysctl_read(fd, value, sizeof value);
    if (code == 0 && strcmp(value, sysctl->value) != 0) {
        size_t length = strlen(sysctl->value);
        if (pwrite(fd, sysctl->value, length, 0) != (ssize_t)length)
            return err_sys(e, -errno, "write sysctl net/%s/%s = %s", directory, sysctl->path, sysctl->value);
        code = sysctl_read(fd, value, sizeof value);
    }
    if (code < 0)
        return err_sys(e, code, "read sysctl net/%s/%s", directory, sysctl->path);
    if (strcmp(value, sysctl->value) != 0)
        return err_set(e, -EIO, "read back sysctl net/%s/%s: it is %s, not %s", directory, sysctl->path, value,
                       sysctl->value);
    return 0;
}

/*
 * The settings are reached through a procfs of our own, mounted nowhere, and a new one for every
 * PROC_USES_MAX uses. In /proc the entries "ipv4" of all namespaces are children of one directory, so one hash chain,
 * and the first lookup in a new namespace walks it to its end: with 1,000 namespaces that is 0.35 ms for the two
 * families, more than all the settings.  What is cached about them (20 KiB a namespace) also goes with the mount.
 */
#define PROC_USES_MAX 128u /* of the directories of 32 namespaces */

static int proc_mount(void)
{
    FD_AUTO int context_fd = (int)syscall(SYS_fsopen, "proc", FSOPEN_CLOEXEC);
    if (context_fd < 0 || syscall(SYS_fsconfig, context_fd, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
        return -1;
    return (int)syscall(SYS_fsmount, context_fd, FSMOUNT_CLOEXEC,
                        MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
}

/* The directory of the settings, in whatever namespace reads it.  Borrowed. */
static int proc_sys_net(int *ret_fd, struct err *e)
{
    static int kept_fd = -1;
    static uint32_t uses;
    if (kept_fd < 0 || uses >= PROC_USES_MAX) {
        FD_AUTO int mount_fd = proc_mount();
        /* Where no mount is allowed (a container whose /proc is masked) the common one does, slower. */
        int fd = mount_fd >= 0 ? openat(mount_fd, "sys/net", O_PATH | O_DIRECTORY | O_CLOEXEC)
                               : open("/proc/sys/net", O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
            return err_sys(e, -errno, "open /proc/sys/net");
        fd_close(&kept_fd);
        kept_fd = fd;
        uses = 0;
    }
    uses++;
    *ret_fd = kept_fd;
    return 0;
}

/* In a test build: the opposite value, where the setting's last name is a switch. */
static const struct sysctl *weakened_sysctl(const struct sysctl *sysctl)
{
#ifdef HOSTD_WEAKEN
    static struct sysctl opposite;
    const char *slash = strrchr(sysctl->path, '/');
    if (weakened(slash ? slash + 1 : sysctl->path)) {
        opposite = (struct sysctl){sysctl->path, strcmp(sysctl->value, "0") == 0 ? "1" : "0"};
        return &opposite;
    }
#endif
    return sysctl;
}

/* Of the namespace that the thread is in. */
static int sysctls_set(const struct sysctls *set, struct err *e)
{
    int net_fd = -1;
    int code = proc_sys_net(&net_fd, e);
    if (code < 0)
        return code;
    FD_AUTO int directory_fd = openat(net_fd, set->directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (directory_fd < 0)
        return errno == ENOENT && set->may_be_absent ? 0 : err_sys(e, -errno, "open /proc/sys/net/%s", set->directory);
    for (size_t i = 0; i < set->count && code == 0; i++)
        code = sysctl_set(directory_fd, set->directory, weakened_sysctl(&set->sysctls[i]), e);
    return code;
}

int net_namespace_new(int *ret_netns_fd, struct err *e)
{
    FD_AUTO int home_fd = -1, netns_fd = -1;
    int code = netns_home(&home_fd, e);
    if (code < 0)
        return code;
    if ((weakened("netns-owner") ? weak_owner_enter() : unshare(CLONE_NEWNET)) < 0) {
        code = err_sys(e, -errno, "make network namespace");
        if (code == -EPERM)
            (void)err_hint(e, "needs CAP_SYS_ADMIN: run as root");
        return code;
    }
    /* From here to net_namespace_return() this thread is in the new namespace. */
    netns_fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    if (netns_fd < 0)
        code = err_sys(e, -errno, "open new network namespace");
    for (size_t i = 0; i < ARRAY_COUNT(all_sysctls) && code == 0; i++)
        code = sysctls_set(&all_sysctls[i], e);
    net_namespace_return(home_fd);
    if (code == 0)
        *ret_netns_fd = fd_take(&netns_fd);
    return code;
}

int net_namespace_let_bind(int netns_fd, struct err *e)
{
    static const struct sysctl any_port = {"ip_unprivileged_port_start", "0"};
    static const struct sysctls set = {"ipv4", &any_port, 1, false};
    FD_AUTO int home_fd = -1;
    int code = netns_home(&home_fd, e);
    if (code == 0)
        code = netns_enter(netns_fd, e);
    if (code < 0)
        return code;
    code = sysctls_set(&set, e);
    net_namespace_return(home_fd);
    return code;
}

/* ---- the ends of the links of one call ---- */

struct end {
    const struct net_end *own, *peer;
    size_t link; /* index among the links of the call */
    uint16_t port;
    bool is_caller;
    /* from the kernel */
    int ifindex;             /* 0: not seen */
    int peer_ifindex;        /* in the peer's namespace */
    int peer_nsid;           /* what this namespace calls the peer's; -1: this one */
    bool is_peer_running;    /* the peer may send */
    uint32_t addresses_seen; /* that are right; a wrong one sets `wrong` */
    bool is_neighbour_seen;
    char wrong[96]; /* what the kernel lists and should not, for a person; "" */
};

struct making {
    const struct net_link *links;
    size_t link_count;
    struct end *ends; /* two per link, those of one namespace together */
    struct netlink_batch batch;
    bool *is_made; /* per link */
    int home_fd;
};

static const char *address_text(uint32_t address, char ret_text[ADDRESS_TEXT_BYTES])
{
    const struct in_addr in = {.s_addr = htonl(address)};
    return inet_ntop(AF_INET, &in, ret_text, ADDRESS_TEXT_BYTES); /* always fits */
}

/* "link to3 (10.0.0.6): what happened" */
static int end_failed(const struct net_end *end, struct err *e)
{
    char address[ADDRESS_TEXT_BYTES];
    int code = err_prefix(e, "link %.*s (%s)", NET_IFNAME_BYTES - 1, end->ifname, address_text(end->address, address));
    if (code == -EPERM)
        (void)err_hint(e, "needs CAP_NET_ADMIN over the namespace: run as root");
    return code;
}

/* Fails with the kernel's words about the first failed message.  `ends` is what the batch's items count. */
static int step_failed(const struct netlink_batch *batch, const struct end *ends, int code, struct err *e)
{
    const struct netlink_message *failed =
        batch->failed < batch->message_count ? &batch->messages[batch->failed] : NULL;
    (void)netlink_explain(batch, code, e);
    (void)end_failed(ends[failed ? failed->item : 0].own, e);
    return code;
}

static void mac_of(uint32_t address, uint8_t ret_mac[MAC_BYTES])
{
    const uint32_t bytes = htonl(address);
    ret_mac[0] = 0x02; /* locally administered, one station */
    ret_mac[1] = 0x00;
    memcpy(ret_mac + 2, &bytes, sizeof bytes);
}

static bool ifname_is_valid(const char name[NET_IFNAME_BYTES])
{
    size_t length = strnlen(name, NET_IFNAME_BYTES);
    if (length == 0 || length == NET_IFNAME_BYTES || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return false;
    for (size_t i = 0; i < length; i++)
        if (name[i] <= ' ' || name[i] == 0x7f || name[i] == '/' || name[i] == ':' || name[i] == '%')
            return false;
    return true;
}

static int link_check(const struct net_link *link, struct err *e)
{
    int code = 0;
    if (!ifname_is_valid(link->caller.ifname) || !ifname_is_valid(link->callee.ifname))
        code = err_set(e, -EINVAL, "check: not a name for an interface");
    else if (link->caller.netns_fd < 0 || link->callee.netns_fd < 0)
        code = err_set(e, -EBADF, "check: no network namespace");
    else if ((link->caller.address ^ link->callee.address) != 1)
        code = err_set(e, -EINVAL, "check: the two addresses are not one /31");
    else if (link->port == 0)
        code = err_set(e, -EINVAL, "check: no port");
    return code < 0 ? (end_failed(&link->caller, e), code) : 0;
}

/* ---- pairs ---- */

/* What both ends of a pair are from birth.  The device's own header is in the message already. */
static void put_end(struct netlink_batch *batch, const struct net_end *end)
{
    uint8_t mac[MAC_BYTES];
    mac_of(end->address, mac);
    netlink_put_text(batch, IFLA_IFNAME, end->ifname);
    netlink_put_u32(batch, IFLA_NET_NS_FD, (uint32_t)end->netns_fd);
    netlink_put_u32(batch, IFLA_MTU, NET_LINK_MTU);
    netlink_put(batch, IFLA_ADDRESS, mac, sizeof mac);
    /* The default is a queue per CPU, each with its entries in sysfs; without XDP they are never used. */
    netlink_put_u32(batch, IFLA_NUM_TX_QUEUES, 1);
    netlink_put_u32(batch, IFLA_NUM_RX_QUEUES, 1);
}

static void append_pair(struct netlink_batch *batch, size_t item, const struct net_link *link)
{
    const struct ifinfomsg header = {
        .ifi_family = AF_UNSPEC, .ifi_flags = weakened("noarp") ? 0 : IFF_NOARP, .ifi_change = IFF_NOARP};
    netlink_message(batch, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &header, sizeof header);
    put_end(batch, &link->caller);
    struct nlattr *info = netlink_nest(batch, IFLA_LINKINFO);
    netlink_put_text(batch, IFLA_INFO_KIND, "veth");
    struct nlattr *data = netlink_nest(batch, IFLA_INFO_DATA);
    struct nlattr *peer = netlink_nest(batch, VETH_INFO_PEER);
    netlink_put_header(batch, &header, sizeof header);
    put_end(batch, &link->callee);
    netlink_nest_end(batch, peer);
    netlink_nest_end(batch, data);
    netlink_nest_end(batch, info);
    netlink_append(batch, NETLINK_CHANGE, item, "make pair");
}

static int pairs_make(struct making *making, struct err *e)
{
    NETLINK_AUTO struct netlink route = NETLINK_CLOSED;
    struct netlink_batch *batch = &making->batch;
    int code = netlink_open(making->home_fd, -1, &route, NULL, e);
    if (code < 0)
        return code;
    netlink_batch_reset(batch);
    for (size_t i = 0; i < making->link_count; i++)
        append_pair(batch, i, &making->links[i]);
    code = netlink_run(&route, batch, NULL, NULL);
    for (size_t i = 0; i < batch->message_count && batch->build_code == 0; i++)
        making->is_made[i] = batch->messages[i].code == 0;
    if (code == 0)
        return 0;
    (void)netlink_explain(batch, code, e);
    const struct net_link *link =
        &making->links[batch->failed < batch->message_count ? batch->messages[batch->failed].item : 0];
    if (code == -EEXIST)
        (void)err_hint(e, "%.*s or %.*s is the name of an interface already", NET_IFNAME_BYTES - 1, link->caller.ifname,
                       NET_IFNAME_BYTES - 1, link->callee.ifname);
    (void)end_failed(&link->caller, e);
    return code;
}

/* I3.  Interfaces first, filters after them: an interface never stands without its filter. */
static int pairs_unmake(struct making *making, struct err *e)
{
    const struct ifinfomsg header = {.ifi_family = AF_UNSPEC};
    struct netlink_batch *batch = &making->batch;
    int first_code = 0;
    for (size_t first = 0, end; first < 2 * making->link_count; first = end) {
        int netns_fd = making->ends[first].own->netns_fd;
        NETLINK_AUTO struct netlink route = NETLINK_CLOSED, filter = NETLINK_CLOSED;
        netlink_batch_reset(batch);
        batch->is_persistent = true; /* pairs that went with their other end are gone already */
        for (end = first; end < 2 * making->link_count && making->ends[end].own->netns_fd == netns_fd; end++) {
            if (!making->is_made[making->ends[end].link])
                continue;
            netlink_message(batch, RTM_DELLINK, 0, &header, sizeof header);
            netlink_put_text(batch, IFLA_IFNAME, making->ends[end].own->ifname);
            netlink_append(batch, NETLINK_CHANGE, end, "remove pair");
        }
        if (batch->message_count == 0)
            continue;
        int code = netlink_open(making->home_fd, netns_fd, &route, &filter, e);
        if (code == 0) {
            code = netlink_run(&route, batch, NULL, NULL);
            code = code == -ENODEV ? 0 : code;
            for (size_t i = 0; i < batch->message_count && code == 0; i++)
                if (batch->messages[i].code < 0 && batch->messages[i].code != -ENODEV)
                    code = batch->messages[i].code;
        }
        for (size_t i = first; i < end && filter.fd >= 0; i++)
            if (making->is_made[making->ends[i].link]) {
                int removed = filter_remove(&filter, batch, making->ends[i].own->ifname, NULL);
                code = code < 0 ? code : removed;
            }
        first_code = first_code < 0 ? first_code : code;
    }
    return first_code;
}

/* ---- the ends in one namespace ---- */

static void append_link_request(struct netlink_batch *batch, size_t item, const struct end *end)
{
    const struct ifinfomsg header = {.ifi_family = AF_UNSPEC};
    netlink_message(batch, RTM_GETLINK, 0, &header, sizeof header);
    netlink_put_text(batch, IFLA_IFNAME, end->own->ifname);
    netlink_put_u32(batch, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS); /* half of the answer's bytes */
    netlink_append(batch, NETLINK_QUERY, item, "read back link");
}

/* Element `index` of a per-interface array of settings, or `absent` where the kernel lists none. */
static int32_t setting_at(const struct nlattr *families, int family, int attribute, size_t index, int32_t absent)
{
    const struct nlattr *of_family = families ? nla_find(nla_data(families), nla_len(families), family) : NULL;
    const struct nlattr *array = of_family ? nla_find(nla_data(of_family), nla_len(of_family), attribute) : NULL;
    int32_t value = absent;
    if (array && (size_t)nla_len(array) >= (index + 1) * sizeof value)
        memcpy(&value, (const char *)nla_data(array) + index * sizeof value, sizeof value);
    return value;
}

/* Settings that an interface must have, whatever `all` says: a namespace that net_namespace_new() did not make shows
 * here. */
static void settings_check(struct end *end, const struct nlattr *families)
{
    static const struct {
        const char *name;
        int family, attribute;
        size_t index;
        int32_t wanted;
    } settings[] = {
        {"forwarding", AF_INET, IFLA_INET_CONF, IPV4_DEVCONF_FORWARDING - 1, 0},
        {"rp_filter", AF_INET, IFLA_INET_CONF, IPV4_DEVCONF_RP_FILTER - 1, 1},
        {"accept_source_route", AF_INET, IFLA_INET_CONF, IPV4_DEVCONF_ACCEPT_SOURCE_ROUTE - 1, 0},
        {"route_localnet", AF_INET, IFLA_INET_CONF, IPV4_DEVCONF_ROUTE_LOCALNET - 1, 0},
        {"accept_redirects", AF_INET, IFLA_INET_CONF, IPV4_DEVCONF_ACCEPT_REDIRECTS - 1, 0},
        {"disable_ipv6", AF_INET6, IFLA_INET6_CONF, DEVCONF_DISABLE_IPV6, 1},
    };
    for (size_t i = 0; i < ARRAY_COUNT(settings); i++) {
        /* A kernel without IPv6 lists nothing of it, and has it off. */
        int32_t absent = settings[i].family == AF_INET6 ? settings[i].wanted : -1;
        int32_t value = setting_at(families, settings[i].family, settings[i].attribute, settings[i].index, absent);
        if (value != settings[i].wanted && !weakened(settings[i].name))
            (void)snprintf(end->wrong, sizeof end->wrong, "its %s is %d, not %d", settings[i].name, value,
                           settings[i].wanted);
    }
}

static void on_link(void *context, size_t item, const struct nlmsghdr *answer)
{
    struct end *end = &((struct end *)context)[item];
    struct nlattr *attributes[IFLA_MAX + 1];
    uint8_t mac[MAC_BYTES];
    if (answer->nlmsg_type != RTM_NEWLINK ||
        nlmsg_parse((struct nlmsghdr *)(uintptr_t)answer, sizeof(struct ifinfomsg), attributes, IFLA_MAX, NULL) < 0)
        return;
    const struct ifinfomsg *header = nlmsg_data(answer);
    const struct nlattr *address = attributes[IFLA_ADDRESS], *mtu = attributes[IFLA_MTU],
                        *info = attributes[IFLA_LINKINFO];
    const struct nlattr *kind = info ? nla_find(nla_data(info), nla_len(info), IFLA_INFO_KIND) : NULL;
    mac_of(end->own->address, mac);
    end->ifindex = header->ifi_index;
    end->peer_ifindex = attributes[IFLA_LINK] ? nla_get_s32(attributes[IFLA_LINK]) : 0;
    end->peer_nsid = attributes[IFLA_LINK_NETNSID] ? nla_get_s32(attributes[IFLA_LINK_NETNSID]) : -1;
    if (!kind || nla_strcmp(kind, "veth") != 0)
        (void)snprintf(end->wrong, sizeof end->wrong, "it is no veth");
    else if (!weakened("noarp") && (header->ifi_flags & (IFF_UP | IFF_NOARP)) != IFF_NOARP)
        (void)snprintf(end->wrong, sizeof end->wrong, "its flags are 0x%x, not down and NOARP", header->ifi_flags);
    else if (!mtu || nla_get_u32(mtu) != NET_LINK_MTU)
        (void)snprintf(end->wrong, sizeof end->wrong, "its MTU is %u, not %u", mtu ? nla_get_u32(mtu) : 0,
                       NET_LINK_MTU);
    else if (!address || nla_len(address) != MAC_BYTES || memcmp(nla_data(address), mac, MAC_BYTES) != 0)
        (void)snprintf(end->wrong, sizeof end->wrong, "its Ethernet address is not the one given");
    else
        settings_check(end, attributes[IFLA_AF_SPEC]);
}

/* Learns the interfaces' numbers and checks what they are. */
static int links_read_back(struct netlink *route, struct netlink_batch *batch, struct end *ends, size_t count,
                           struct err *e)
{
    netlink_batch_reset(batch);
    for (size_t i = 0; i < count; i++)
        append_link_request(batch, i, &ends[i]);
    int code = netlink_run(route, batch, on_link, ends);
    if (code < 0)
        return step_failed(batch, ends, code, e);
    for (size_t i = 0; i < count; i++)
        if (ends[i].wrong[0] || ends[i].ifindex == 0) {
            (void)err_set(e, -EIO, "read back link: %s", ends[i].wrong[0] ? ends[i].wrong : "no answer");
            (void)end_failed(ends[i].own, e);
            return -EIO;
        }
    return 0;
}

static int filters_add(struct netlink *filter, struct netlink_batch *batch, const struct end *ends, size_t count,
                       struct err *e)
{
    FREE_AUTO struct filter_end *filters = calloc(count, sizeof *filters);
    if (!filters)
        return err_set(e, -ENOMEM, "add filter: out of memory");
    for (size_t i = 0; i < count; i++)
        filters[i] = (struct filter_end){.ifname = ends[i].own->ifname,
                                         .own = ends[i].own->address,
                                         .peer = ends[i].peer->address,
                                         .port = ends[i].port,
                                         .is_caller = ends[i].is_caller};
    size_t item = 0;
    int code = filter_add(filter, batch, filters, count, &item, e);
    if (code < 0)
        (void)end_failed(ends[item].own, e);
    return code;
}

static int addresses_set(struct netlink *route, struct netlink_batch *batch, const struct end *ends, size_t count,
                         struct err *e)
{
    netlink_batch_reset(batch);
    for (size_t i = 0; i < count; i++) {
        const struct ifaddrmsg address = {.ifa_family = AF_INET,
                                          .ifa_prefixlen = PREFIX_BITS,
                                          .ifa_scope = RT_SCOPE_LINK,
                                          .ifa_index = (uint32_t)ends[i].ifindex};
        netlink_message(batch, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, &address, sizeof address);
        netlink_put_u32(batch, IFA_LOCAL, htonl(ends[i].own->address));
        netlink_append(batch, NETLINK_CHANGE, i, "set address");

        uint8_t mac[MAC_BYTES];
        const struct ndmsg neighbour = {.ndm_family = AF_INET,
                                        .ndm_ifindex = ends[i].ifindex,
                                        .ndm_state = weakened("permanent-neighbour") ? NUD_REACHABLE : NUD_PERMANENT};
        mac_of(ends[i].peer->address, mac);
        netlink_message(batch, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, &neighbour, sizeof neighbour);
        netlink_put_u32(batch, NDA_DST, htonl(ends[i].peer->address));
        netlink_put(batch, NDA_LLADDR, mac, sizeof mac);
        netlink_append(batch, NETLINK_CHANGE, i, "set neighbour");
    }
    int code = netlink_run(route, batch, NULL, NULL);
    return code < 0 ? step_failed(batch, ends, code, e) : 0;
}

/* The ends of one namespace, for answers that come by interface number. */
struct ends {
    struct end *at;
    size_t count;
};

static void on_address(struct ends *ends, const struct nlmsghdr *answer)
{
    const struct ifaddrmsg *header = nlmsg_data(answer);
    const struct nlattr *local = nlmsg_find_attr((struct nlmsghdr *)(uintptr_t)answer, sizeof *header, IFA_LOCAL);
    for (size_t i = 0; i < ends->count; i++) {
        struct end *end = &ends->at[i];
        if ((int)header->ifa_index != end->ifindex)
            continue;
        if (header->ifa_family == AF_INET && header->ifa_prefixlen == PREFIX_BITS && local &&
            nla_get_u32(local) == htonl(end->own->address))
            end->addresses_seen = 1; /* not a count: a restarted list shows it again */
        else
            (void)snprintf(end->wrong, sizeof end->wrong, "it has an address that was not given");
    }
}

static void on_neighbour(struct end *end, const struct nlmsghdr *answer)
{
    const struct ndmsg *header = nlmsg_data(answer);
    const struct nlattr *lladdr = nlmsg_find_attr((struct nlmsghdr *)(uintptr_t)answer, sizeof *header, NDA_LLADDR);
    uint8_t mac[MAC_BYTES];
    mac_of(end->peer->address, mac);
    end->is_neighbour_seen = (header->ndm_state & NUD_PERMANENT || weakened("permanent-neighbour")) && lladdr &&
                             nla_len(lladdr) == MAC_BYTES && memcmp(nla_data(lladdr), mac, MAC_BYTES) == 0;
}

static void on_address_or_neighbour(void *context, size_t item, const struct nlmsghdr *answer)
{
    struct ends *ends = context;
    if (answer->nlmsg_type == RTM_NEWADDR && nlmsg_datalen(answer) >= (int)sizeof(struct ifaddrmsg))
        on_address(ends, answer);
    else if (answer->nlmsg_type == RTM_NEWNEIGH && nlmsg_datalen(answer) >= (int)sizeof(struct ndmsg))
        on_neighbour(&ends->at[item], answer);
}

static int addresses_read_back(struct netlink *route, struct netlink_batch *batch, struct end *ends, size_t count,
                               struct err *e)
{
    const struct ifaddrmsg any = {.ifa_family = AF_UNSPEC};
    netlink_batch_reset(batch);
    netlink_message(batch, RTM_GETADDR, NLM_F_DUMP, &any, sizeof any); /* IPv6 ones as well: there must be none */
    netlink_append(batch, NETLINK_LIST, 0, "read back addresses");
    for (size_t i = 0; i < count; i++) {
        const struct ndmsg header = {.ndm_family = AF_INET, .ndm_ifindex = ends[i].ifindex};
        netlink_message(batch, RTM_GETNEIGH, 0, &header, sizeof header);
        netlink_put_u32(batch, NDA_DST, htonl(ends[i].peer->address));
        netlink_append(batch, NETLINK_QUERY, i, "read back neighbour");
    }
    struct ends context = {.at = ends, .count = count};
    int code = netlink_run(route, batch, on_address_or_neighbour, &context);
    if (code < 0)
        return step_failed(batch, ends, code, e);
    for (size_t i = 0; i < count; i++) {
        const char *wrong = ends[i].wrong[0]              ? ends[i].wrong
                            : ends[i].addresses_seen == 0 ? "its address is not there"
                            : !ends[i].is_neighbour_seen  ? "its neighbour is not as it was set"
                                                          : NULL;
        if (!wrong)
            continue;
        (void)err_set(e, -EIO, "read back address: %s", wrong);
        (void)end_failed(ends[i].own, e);
        return -EIO;
    }
    return 0;
}

/* From here packets may come in. */
static int links_up(struct netlink *route, struct netlink_batch *batch, const struct end *ends, size_t count,
                    struct err *e)
{
    netlink_batch_reset(batch);
    for (size_t i = 0; i < count; i++) {
        const struct ifinfomsg header = {
            .ifi_family = AF_UNSPEC, .ifi_index = ends[i].ifindex, .ifi_flags = IFF_UP, .ifi_change = IFF_UP};
        netlink_message(batch, RTM_NEWLINK, 0, &header, sizeof header);
        netlink_append(batch, NETLINK_CHANGE, i, "set up");
    }
    int code = netlink_run(route, batch, NULL, NULL);
    return code < 0 ? step_failed(batch, ends, code, e) : 0;
}

static void on_peer(void *context, size_t item, const struct nlmsghdr *answer)
{
    struct end *end = &((struct end *)context)[item];
    const struct nlattr *state =
        nlmsg_find_attr((struct nlmsghdr *)(uintptr_t)answer, sizeof(struct ifinfomsg), IFLA_OPERSTATE);
    end->is_peer_running = state && nla_get_u8(state) == IF_OPER_UP;
}

/*
 * The end of a pair that was set up first had no carrier then.  It has one as soon as the second is up, but may send
 * only when the kernel's link watch has noticed: until then it drops silently what the service sends, and the first
 * segment of a connection comes again after a second.  Asking for its state makes the kernel notice at once (since 6.8;
 * before, asking again).  It is asked from here, the namespace of the second end, by the number that this one has for
 * the other.
 */
static int carriers_wait(struct netlink *route, struct netlink_batch *batch, struct end *ends, size_t count,
                         struct err *e)
{
    const uint64_t deadline_ms = clock_ms() + NET_REPLY_MS_MAX;
    for (;;) {
        netlink_batch_reset(batch);
        for (size_t i = 0; i < count; i++) {
            /* Namespaces come up in the order of their descriptors: this one's peer may still be down. */
            if (ends[i].is_peer_running || ends[i].peer->netns_fd > ends[i].own->netns_fd)
                continue;
            const struct ifinfomsg header = {.ifi_family = AF_UNSPEC, .ifi_index = ends[i].peer_ifindex};
            netlink_message(batch, RTM_GETLINK, 0, &header, sizeof header);
            if (ends[i].peer_nsid >= 0)
                netlink_put_u32(batch, IFLA_TARGET_NETNSID, (uint32_t)ends[i].peer_nsid);
            netlink_put_u32(batch, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
            netlink_append(batch, NETLINK_QUERY, i, "wait for the other end");
        }
        if (batch->message_count == 0)
            return 0;
        int code = netlink_run(route, batch, on_peer, ends);
        if (code < 0)
            return step_failed(batch, ends, code, e);
        bool is_done = true;
        for (size_t i = 0; i < batch->message_count; i++)
            is_done = is_done && ends[batch->messages[i].item].is_peer_running;
        if (is_done)
            return 0;
        if (clock_ms() > deadline_ms) {
            (void)err_sys(e, -ETIMEDOUT, "wait for the other end");
            (void)end_failed(ends[batch->messages[0].item].own, e);
            return -ETIMEDOUT;
        }
        (void)poll(NULL, 0, 1);
    }
}

static int ends_configure(struct making *making, struct end *ends, size_t count, struct err *e)
{
    NETLINK_AUTO struct netlink route = NETLINK_CLOSED, filter = NETLINK_CLOSED;
    struct netlink_batch *batch = &making->batch;
    int code = netlink_open(making->home_fd, ends->own->netns_fd, &route, &filter, e);
    if (code < 0)
        return (void)end_failed(ends->own, e), code;
    code = links_read_back(&route, batch, ends, count, e);
    if (code == 0)
        code = filters_add(&filter, batch, ends, count, e);
    if (code == 0)
        code = addresses_set(&route, batch, ends, count, e);
    if (code == 0)
        code = addresses_read_back(&route, batch, ends, count, e);
    if (code == 0)
        code = links_up(&route, batch, ends, count, e);
    if (code == 0)
        code = carriers_wait(&route, batch, ends, count, e);
    return code;
}

/* ---- public ---- */

/* By namespace, then by link. */
static int end_order(const void *left, const void *right)
{
    const struct end *a = left, *b = right;
    if (a->own->netns_fd != b->own->netns_fd)
        return a->own->netns_fd < b->own->netns_fd ? -1 : 1;
    return a->link < b->link ? -1 : a->link > b->link;
}

static void ends_fill(struct making *making)
{
    for (size_t i = 0; i < making->link_count; i++) {
        const struct net_link *link = &making->links[i];
        making->ends[2 * i] =
            (struct end){.own = &link->caller, .peer = &link->callee, .link = i, .port = link->port, .is_caller = true};
        making->ends[2 * i + 1] = (struct end){
            .own = &link->callee, .peer = &link->caller, .link = i, .port = link->port, .is_caller = false};
    }
    qsort(making->ends, 2 * making->link_count, sizeof *making->ends, end_order);
}

static int links_make(struct making *making, struct err *e)
{
    ends_fill(making);
    int code = pairs_make(making, e);
    for (size_t first = 0, end; first < 2 * making->link_count && code == 0; first = end) {
        end = first + 1;
        while (end < 2 * making->link_count && making->ends[end].own->netns_fd == making->ends[first].own->netns_fd)
            end++;
        code = ends_configure(making, &making->ends[first], end - first, e);
    }
    if (code < 0) {
        struct err undoing = {0};
        if (pairs_unmake(making, &undoing) < 0)
            (void)err_hint(e, "and links made before it could not be removed: %s", undoing.text);
    }
    return code;
}

int net_links_make(const struct net_link *links, size_t count, struct err *e)
{
    if (count == 0)
        return 0;
    if (count > LINKS_MAX)
        return err_set(e, -E2BIG, "%zu links in one call, at most %u", count, LINKS_MAX);
    for (size_t i = 0; i < count; i++) {
        int code = link_check(&links[i], e);
        if (code < 0)
            return code;
    }
    FREE_AUTO struct end *ends = calloc(2 * count, sizeof *ends);
    FREE_AUTO bool *is_made = calloc(count, sizeof *is_made);
    if (!ends || !is_made)
        return err_set(e, -ENOMEM, "make links: out of memory");
    FD_AUTO int home_fd = -1;
    struct making making = {.links = links, .link_count = count, .ends = ends, .is_made = is_made};
    int code = netns_home(&home_fd, e);
    if (code < 0)
        return code;
    making.home_fd = home_fd;
    code = netlink_batch_init(&making.batch, e);
    if (code < 0)
        return code;
    code = links_make(&making, e);
    netlink_batch_done(&making.batch);
    return code;
}

/* Puts "link IFNAME" in front: all that the caller told us of it. */
static int name_failed(const char *ifname, int code, struct err *e)
{
    (void)err_prefix(e, "link %.*s", NET_IFNAME_BYTES - 1, ifname);
    return code;
}

/* What counters and forget have in common: sockets inside, a batch, an error that names the link. */
static int in_namespace(int netns_fd, const char *ifname, struct netlink *ret_route, struct netlink *ret_filter,
                        struct netlink_batch *ret_batch, struct err *e)
{
    FD_AUTO int home_fd = -1;
    char name[NET_IFNAME_BYTES] = "";
    memcpy(name, ifname, strnlen(ifname, sizeof name));
    if (!ifname_is_valid(name))
        return err_set(e, -EINVAL, "not a name for an interface");
    if (netns_fd < 0)
        return err_set(e, -EBADF, "no network namespace");
    int code = netns_home(&home_fd, e);
    if (code == 0)
        code = netlink_open(home_fd, netns_fd, ret_route, ret_filter, e);
    return code < 0 ? code : netlink_batch_init(ret_batch, e);
}

int net_link_counters(int netns_fd, const char *ifname, struct net_counters *ret_counters, struct err *e)
{
    NETLINK_AUTO struct netlink filter = NETLINK_CLOSED;
    struct netlink_batch batch = {0};
    int code = in_namespace(netns_fd, ifname, NULL, &filter, &batch, e);
    if (code == 0)
        code = filter_counters(&filter, &batch, ifname, ret_counters, e);
    netlink_batch_done(&batch);
    return code < 0 ? name_failed(ifname, code, e) : 0;
}

int net_link_forget(int netns_fd, const char *ifname, struct err *e)
{
    NETLINK_AUTO struct netlink route = NETLINK_CLOSED, filter = NETLINK_CLOSED;
    struct netlink_batch batch = {0};
    int code = in_namespace(netns_fd, ifname, &route, &filter, &batch, e);
    if (code == 0) {
        const struct ifinfomsg header = {.ifi_family = AF_UNSPEC};
        netlink_message(&batch, RTM_DELLINK, 0, &header, sizeof header);
        netlink_put_text(&batch, IFLA_IFNAME, ifname);
        netlink_append(&batch, NETLINK_CHANGE, 0, "remove pair");
        code = netlink_run(&route, &batch, NULL, NULL);
        if (code == -ENODEV)
            code = 0; /* it went with its peer */
        else if (code < 0)
            code = netlink_explain(&batch, code, e);
    }
    if (code == 0)
        code = filter_remove(&filter, &batch, ifname, e); /* after the interface: it never stands without its filter */
    netlink_batch_done(&batch);
    return code < 0 ? name_failed(ifname, code, e) : 0;
}

int net_probe(struct err *e)
{
    FD_AUTO int caller_fd = -1, callee_fd = -1;
    struct net_counters counters = {0};
    int code = net_namespace_new(&caller_fd, e);
    if (code == 0)
        code = net_namespace_new(&callee_fd, e);
    if (code == 0) {
        const struct net_link link = {.caller = {.netns_fd = caller_fd, .ifname = "probe0", .address = 0x0A000000u},
                                      .callee = {.netns_fd = callee_fd, .ifname = "probe1", .address = 0x0A000001u},
                                      .port = 1};
        code = net_links_make(&link, 1, e);
    }
    if (code == 0)
        code = net_link_counters(callee_fd, "probe1", &counters, e);
    if (code == 0)
        code = net_link_forget(caller_fd, "probe0", e);
    if (code == 0)
        code = net_link_forget(callee_fd, "probe1", e);
    if (code < 0)
        (void)err_prefix(e, "network links do not work here");
    return code;
}
