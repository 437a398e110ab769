/*
 * net.c - rows I04, I05, I12 and N01 to N10: other addresses, other wires, the host's network, other kinds of socket;
 * for frames made by hand see frames.c.
 *
 * Arguments: own, peer (addresses of the two ends of one's own wire, which goes to a callee), dev (its interface here),
 * other (the callee's address on somebody else's wire), back (the caller's address on a wire that leads here), port and
 * name (a TCP port of 127.0.0.1 and an abstract name that the host listens on), control (hostd's socket).
 *
 * Raw netlink: nothing that a library would do before or after.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_addr.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "rpc/base/own.h"
#include "tests/attacks/attack.h"

static bool bind_to_device(int fd)
{
    const char *device = argument("dev");
    return setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, device, (socklen_t)strlen(device)) == 0;
}

/* Connects; 0, or the negative errno; -ETIMEDOUT when nothing came back. */
static int dial(int fd, const void *address, socklen_t bytes)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLOUT};
    int error = 0;
    socklen_t error_bytes = sizeof error;
    (void)fcntl(fd, F_SETFL, O_NONBLOCK); /* our own socket */
    if (connect(fd, address, bytes) == 0)
        return 0;
    if (errno != EINPROGRESS)
        return -errno;
    if (poll(&poll_fd, 1, WAIT_MS) != 1)
        return -ETIMEDOUT;
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &error_bytes) == 0 ? -error : -errno;
}

/* A packet that arrives is answered, if only by "nobody listens". */
static void tried_to_arrive(struct attempt *a, const char *what, int result)
{
    if (result == -ECONNREFUSED)
        won(a, "%s: a packet arrived", what);
    else if (result == 0)
        won(a, "%s: connected", what);
    else
        tried(a, what, result);
}

static void try_tcp(struct attempt *a, const char *what, const struct sockaddr_in *to, bool is_bound)
{
    FD_AUTO int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || (is_bound && !bind_to_device(fd)))
        tried(a, what, -errno);
    else
        tried_to_arrive(a, what, dial(fd, to, sizeof *to));
}

static void try_udp(struct attempt *a, const char *what, const struct sockaddr_in *to)
{
    FD_AUTO int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    char byte = 0;
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    if (fd < 0 || connect(fd, (const struct sockaddr *)to, sizeof *to) < 0 || send(fd, &byte, 1, 0) < 0)
        tried(a, what, -errno);
    else if (poll(&poll_fd, 1, WAIT_MS) != 1)
        tried(a, what, -ETIMEDOUT);
    else
        tried_to_arrive(a, what, recv(fd, &byte, 1, 0) < 0 ? -errno : 0);
}

/* Is there a way there?  Asked by connecting a datagram socket: no packet is sent, which matters where the test build
 * has the service share the host's network. */
static void try_route(struct attempt *a, const char *address)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(53)};
    FD_AUTO int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    char what[64];
    (void)inet_pton(AF_INET, address, &to.sin_addr);
    (void)snprintf(what, sizeof what, "a route to %s", address);
    tried(a, what, fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) < 0 ? -errno : 0);
}

/* ---- netlink by hand ---- */

struct request {
    struct nlmsghdr header;
    char body[256];
};

static void *put(struct request *r, const void *bytes, size_t count)
{
    void *at = (char *)r + NLMSG_ALIGN(r->header.nlmsg_len);
    memcpy(at, bytes, count);
    r->header.nlmsg_len = (uint32_t)(NLMSG_ALIGN(r->header.nlmsg_len) + count);
    return at;
}

static void put_attribute(struct request *r, uint16_t type, const void *bytes, size_t count)
{
    struct nlattr attribute = {.nla_len = (uint16_t)(NLA_HDRLEN + count), .nla_type = type};
    (void)put(r, &attribute, sizeof attribute);
    memcpy((char *)r + r->header.nlmsg_len, bytes, count);
    r->header.nlmsg_len += (uint32_t)count;
}

static struct request request_of(uint16_t type, uint16_t flags, const void *body, size_t bytes)
{
    struct request r = {.header = {.nlmsg_len = NLMSG_HDRLEN,
                                   .nlmsg_type = type,
                                   .nlmsg_flags = (uint16_t)(NLM_F_REQUEST | NLM_F_ACK | flags)}};
    (void)put(&r, body, bytes);
    return r;
}

/* Sends count requests as one message and gives the first error that the kernel acknowledges with, or 0. */
static long ask_kernel(int protocol, const struct request *requests, size_t count)
{
    char bytes[2048];
    size_t used = 0;
    FD_AUTO int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);
    if (fd < 0)
        return -errno;
    for (size_t i = 0; i < count; i++) {
        memcpy(bytes + used, &requests[i], requests[i].header.nlmsg_len);
        used += NLMSG_ALIGN(requests[i].header.nlmsg_len);
    }
    if (send(fd, bytes, used, 0) < 0)
        return -errno;
    ssize_t got = recv(fd, bytes, sizeof bytes, 0);
    const struct nlmsghdr *answer = (const void *)bytes;
    const struct nlmsgerr *error = (const void *)(bytes + NLMSG_HDRLEN);
    if (got < (ssize_t)NLMSG_LENGTH(sizeof *error) || answer->nlmsg_type != NLMSG_ERROR)
        return -EPROTO;
    return error->error;
}

/* ---- I04, I05: one's own wire ---- */

static void another_links_address(struct attempt *a)
{
    struct sockaddr_in other = address_of("other", PORT_OF_LINKS);
    try_tcp(a, "by route", &other, false);
    try_tcp(a, "by one's own wire", &other, true);
}

static void change_the_wire(struct attempt *a)
{
    uint32_t index = if_nametoindex(argument("dev")), address = htonl(0x0A636301), target = htonl(0x0A636302);
    const unsigned char mac[6] = {2, 0, 0, 0, 0, 9};
    struct ifaddrmsg of_address = {.ifa_family = AF_INET, .ifa_prefixlen = 32, .ifa_index = index};
    struct request r = request_of(RTM_NEWADDR, NLM_F_CREATE, &of_address, sizeof of_address);
    put_attribute(&r, IFA_LOCAL, &address, sizeof address);
    tried(a, "address", ask_kernel(NETLINK_ROUTE, &r, 1));

    struct ifinfomsg of_link = {.ifi_index = (int)index};
    r = request_of(RTM_NEWLINK, 0, &of_link, sizeof of_link);
    put_attribute(&r, IFLA_ADDRESS, mac, sizeof mac);
    tried(a, "MAC", ask_kernel(NETLINK_ROUTE, &r, 1));

    struct rtmsg of_route = {.rtm_family = AF_INET,
                             .rtm_dst_len = 32,
                             .rtm_table = RT_TABLE_MAIN,
                             .rtm_protocol = RTPROT_STATIC,
                             .rtm_scope = RT_SCOPE_LINK,
                             .rtm_type = RTN_UNICAST};
    r = request_of(RTM_NEWROUTE, NLM_F_CREATE, &of_route, sizeof of_route);
    put_attribute(&r, RTA_DST, &target, sizeof target);
    put_attribute(&r, RTA_OIF, &index, sizeof index);
    tried(a, "route", ask_kernel(NETLINK_ROUTE, &r, 1));
}

/* ---- I12 ---- */

/* Whatever answers is asked: connected says little, an answer to a verb would be the whole application. */
static void control_socket(struct attempt *a)
{
    static const char *const verbs[] = {"ps\n", "operator witness\n"};
    for (int up = 0; up < 2; up++)
        for (size_t i = 0; i < ARRAY_COUNT(verbs); i++) {
            struct sockaddr_un address = {.sun_family = AF_UNIX};
            struct pollfd poll_fd = {.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), .events = POLLIN};
            FD_AUTO int fd = poll_fd.fd;
            char answer[32] = "";
            (void)snprintf(address.sun_path, sizeof address.sun_path, "%s%s", up ? "/.." : "", argument("control"));
            long result = fd < 0 ? -errno : dial(fd, &address, sizeof address);
            if (result >= 0)
                result = call_result(send(fd, verbs[i], strlen(verbs[i]), MSG_NOSIGNAL));
            if (result >= 0 && (poll(&poll_fd, 1, 10 * WAIT_MS) != 1 || recv(fd, answer, sizeof answer - 1, 0) <= 0))
                result = -ETIMEDOUT;
            if (result < 0)
                tried(a, address.sun_path, result);
            else
                won(a, "%s: %.2s is answered", address.sun_path, verbs[i]);
        }
}

/* ---- N01 to N05, N10: places that no link leads to ---- */

static void undeclared_ports(struct attempt *a)
{
    static const uint16_t ports[] = {22, 80, 6999, 7001, 65535};
    struct sockaddr_in to = address_of("peer", 53);
    try_udp(a, "UDP 53", &to);
    for (size_t i = 0; i < ARRAY_COUNT(ports); i++) {
        char what[16];
        to.sin_port = htons(ports[i]);
        (void)snprintf(what, sizeof what, "TCP %u", ports[i]);
        try_tcp(a, what, &to, false);
    }
}

static void the_host(struct attempt *a)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argument("port")))};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    try_tcp(a, "the host's 127.0.0.1", &to, false);
    try_route(a, "169.254.169.254");
    try_route(a, "192.0.2.1");
}

static void ipv6(struct attempt *a)
{
    struct sockaddr_in6 all = {
        .sin6_family = AF_INET6, .sin6_port = htons(53), .sin6_scope_id = if_nametoindex(argument("dev"))};
    (void)inet_pton(AF_INET6, "ff02::1", &all.sin6_addr);
    FD_AUTO int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    long result = -EIO;
    for (int i = 0; fd >= 0 && i < 40; i++) { /* a link-local address takes a moment to be usable */
        result = call_result(sendto(fd, "x", 1, 0, (struct sockaddr *)&all, sizeof all));
        if (result >= 0 || !*argument("patient"))
            break;
        (void)poll(NULL, 0, 100);
    }
    tried(a, "a datagram to all", fd < 0 ? -errno : result);
}

static void try_abstract(struct attempt *a, const char *what, const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path + 1, name, strlen(name));
    FD_AUTO int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    tried(a, what,
          fd < 0 ? -errno : dial(fd, &address, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name))));
}

static void abstract_socket(struct attempt *a)
{
    try_abstract(a, "an abstract socket of the host", argument("name"));
    try_abstract(a, "one of a sibling", argument("name-of-sibling"));
}

static void tunnels(struct attempt *a)
{
    struct sockaddr_in resolver = {.sin_family = AF_INET, .sin_port = htons(53)};
    FD_AUTO int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    (void)inet_pton(AF_INET, "127.0.0.53", &resolver.sin_addr);
    tried(a, "a DNS query to 127.0.0.53",
          call_result(sendto(fd, "query", 5, 0, (struct sockaddr *)&resolver, sizeof resolver)));
    try_route(a, "192.0.2.53");
    FD_AUTO int icmp = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP);
    tried(a, "raw ICMP", icmp < 0 ? -errno : 0);
}

/* ---- N09: a route of one's own ---- */

static void source_route(struct attempt *a)
{
    struct sockaddr_in peer = address_of("peer", PORT_OF_LINKS);
    unsigned char options[8] = {IPOPT_NOP, IPOPT_LSRR, 7, 4};
    memcpy(options + 4, &peer.sin_addr, 4);
    FD_AUTO int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, IPPROTO_IP, IP_OPTIONS, options, sizeof options) < 0)
        tried(a, "IP_OPTIONS", -errno);
    else
        tried_to_arrive(a, "by a route of one's own", dial(fd, &peer, sizeof peer));
}

/* ---- N06, N07: other kinds of socket; the filter ---- */

static void socket_families(struct attempt *a)
{
    static const struct {
        const char *name;
        int family, type, protocol;
    } kinds[] = {
        {"AF_INET", AF_INET, SOCK_STREAM, 0},
        {"AF_INET6", AF_INET6, SOCK_STREAM, 0},
        {"AF_UNIX", AF_UNIX, SOCK_STREAM, 0},
        {"AF_NETLINK", AF_NETLINK, SOCK_RAW, NETLINK_ROUTE},
        {"AF_PACKET", AF_PACKET, SOCK_RAW, 0},
        {"AF_VSOCK", AF_VSOCK, SOCK_STREAM, 0},
        {"AF_ALG", AF_ALG, SOCK_SEQPACKET, 0},
        {"AF_XDP", 44, SOCK_RAW, 0},
        {"AF_KEY", AF_KEY, SOCK_RAW, 2},
        {"raw ICMP", AF_INET, SOCK_RAW, IPPROTO_ICMP},
        {"raw IP", AF_INET, SOCK_RAW, IPPROTO_RAW},
        {"AF_BLUETOOTH", AF_BLUETOOTH, SOCK_RAW, 0},
    };
    for (size_t i = 0; i < ARRAY_COUNT(kinds); i++)
        tried(a, kinds[i].name, CALL(socket, kinds[i].family, kinds[i].type, kinds[i].protocol));
}

/* As tc and ip ask it: another queue, one with hooks for filters of one's own, and the wire down. */
static void queue_and_link(struct attempt *a)
{
    int index = (int)if_nametoindex(argument("dev"));
    static const struct {
        const char *kind;
        uint32_t parent, handle;
    } queues[] = {{"pfifo", TC_H_ROOT, 0x10000}, {"clsact", TC_H_CLSACT, TC_H_CLSACT & 0xffff0000}};
    for (size_t i = 0; i < ARRAY_COUNT(queues); i++) {
        struct tcmsg of_queue = {.tcm_family = AF_UNSPEC,
                                 .tcm_ifindex = index,
                                 .tcm_parent = queues[i].parent,
                                 .tcm_handle = queues[i].handle};
        struct request r = request_of(RTM_NEWQDISC, NLM_F_CREATE | NLM_F_REPLACE, &of_queue, sizeof of_queue);
        put_attribute(&r, TCA_KIND, queues[i].kind, strlen(queues[i].kind) + 1);
        tried(a, queues[i].kind, ask_kernel(NETLINK_ROUTE, &r, 1));
    }
    struct ifinfomsg down = {.ifi_index = index, .ifi_change = IFF_UP};
    struct request r = request_of(RTM_NEWLINK, 0, &down, sizeof down);
    tried(a, "the wire is down", ask_kernel(NETLINK_ROUTE, &r, 1));
}

static void flush_the_filter(struct attempt *a)
{
    struct nfgenmsg batch = {.res_id = htons(NFNL_SUBSYS_NFTABLES)}, table = {.nfgen_family = NFPROTO_NETDEV};
    struct request requests[] = {
        request_of(NFNL_MSG_BATCH_BEGIN, 0, &batch, sizeof batch),
        request_of(NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_DELTABLE, 0, &table, sizeof table),
        request_of(NFNL_MSG_BATCH_END, 0, &batch, sizeof batch),
    };
    requests[0].header.nlmsg_flags = requests[2].header.nlmsg_flags = NLM_F_REQUEST;
    put_attribute(&requests[1], NFTA_TABLE_NAME, "hostd", 6);
    tried(a, "the filter's table was removed", ask_kernel(NETLINK_NETFILTER, requests, ARRAY_COUNT(requests)));
    queue_and_link(a);
}

/* ---- N08: backwards ---- */

static void turn_the_listener(struct attempt *a)
{
    const struct contract_link *in = ring_link(LINK_IN, NULL);
    struct sockaddr_in target = address_of("back", PORT_OF_LINKS);
    int slot = in ? (int)in->slot_first : CONTRACT_SLOT_FIRST;
    /* First the caller that is on its way, into a slot of ours: it should find a listener, or its start fails. */
    struct io_uring_sqe *accept = ring_prepare(IORING_OP_ACCEPT, slot, NULL, 0, 0, IOSQE_FIXED_FILE);
    accept->file_index = (unsigned)slot + 2 + 1;
    (void)ring_run(accept);
    long result = ring_run(ring_prepare(IORING_OP_SHUTDOWN, slot, NULL, SHUT_RD, 0, IOSQE_FIXED_FILE));
    if (result < 0)
        tried(a, "SHUTDOWN", result);
    struct io_uring_sqe *sqe =
        ring_prepare(IORING_OP_SEND, slot, "hello", 5, (uint64_t)(uintptr_t)&target, IOSQE_FIXED_FILE);
    sqe->addr_len = sizeof target;
    sqe->msg_flags = MSG_FASTOPEN | MSG_NOSIGNAL | MSG_DONTWAIT;
    result = ring_run(sqe);
    tried(a, "the listener became a connection", result == -EINPROGRESS ? 0 : result);
}

static void open_backwards(struct attempt *a)
{
    struct sockaddr_in back = address_of("back", PORT_OF_LINKS);
    try_tcp(a, "against the link's direction", &back, false);
}

/* A listener of one's own, then nobody's, then a connection: as an ordinary program does it. */
static void turn_an_ordinary_listener(struct attempt *a)
{
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(PORT_OF_LINKS + 2)},
                       back = address_of("back", PORT_OF_LINKS);
    struct sockaddr nobody = {.sa_family = AF_UNSPEC};
    FD_AUTO int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&any, sizeof any) < 0 || listen(fd, 1) < 0 ||
        connect(fd, &nobody, sizeof nobody) < 0)
        tried(a, "a listener", -errno);
    else
        tried_to_arrive(a, "from what was a listener", dial(fd, &back, sizeof back));
}

const struct row rows_net[] = {
    {"I04", another_links_address},
    {"I05", change_the_wire},
    {"I12", control_socket},
    {"N01", undeclared_ports},
    {"N02", the_host},
    {"N03", ipv6},
    {"N05", abstract_socket},
    {"N06", socket_families},
    {"N07", flush_the_filter},
    {"N08", turn_the_listener, true},
    {"N08b", open_backwards},
    {"N08c", turn_an_ordinary_listener},
    {"N09", source_route},
    {"N10", tunnels},
    {NULL, NULL},
};
