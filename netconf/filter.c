/*
 * filter.c - see filter.h.  Doing: builds nf_tables messages with libnftnl, sends them through netlink.h.
 *
 *      table netdev hostd {
 *          chain to3 {                                        # the caller's end; IF is the interface, 10.0.0.6 its own
 *              type filter hook ingress device "to3" priority 0; policy drop;
 *              ether type ip   ip frag-off & 0x3fff == 0   meta l4proto tcp
 *              ip saddr . ip daddr == 10.0.0.7 . 10.0.0.6   tcp sport 7000   tcp flags & (syn|ack) != syn
 *              counter accept
 *              counter drop
 *          }
 *          chain from3 { ... tcp dport 7000 (and no test of flags) ... }      # the callee's end
 *      }
 *
 * Why so:
 *  - The ether type is read from the frame, not from the packet's metadata: the kernel takes a VLAN tag off before this
 *    hook, and a frame tagged with VLAN 0 would then count as plain IPv4.  Loaded from the frame it still reads 0x8100.
 *  - Direction of opening is one test, at the caller's end: a segment with SYN and without ACK never comes from the
 *    callee.  Without a first SYN the other side has no connection, so nothing else opens one.
 *  - Fragments: a later fragment has no ports to test; a first one (more-fragments set) has no use here.
 *  - No connection tracking: it costs more than the rest of a round trip, and what it would add is said above.
 *  - Both addresses are neighbours in the header: one load, one comparison of eight bytes.
 *  - Before Linux 6.16 a netdev chain vanishes with its device; since then it stays, and would attach itself to a later
 *    device of that name.  So removal tolerates that it is gone, and creation refuses to find one.
 */
#include "netconf/filter.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <libnftnl/chain.h>
#include <libnftnl/common.h>
#include <libnftnl/expr.h>
#include <libnftnl/rule.h>
#include <libnftnl/table.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/ioctl.h>

#include "rpc/base/own.h"
#include "rpc/base/weaken.h"

#define TABLE "hostd"
#define RULES_PER_CHAIN 2u
#define MESSAGES_PER_CHAIN (1u + RULES_PER_CHAIN) /* in the transaction, after its begin and the table */

/* ---- building ---- */

/* A rule in work.  The first failure sticks. */
struct rule_maker {
    struct nftnl_rule *rule;
    bool is_bad;
};

static struct nftnl_expr *expression(struct rule_maker *maker, const char *name)
{
    struct nftnl_expr *made = maker->is_bad ? NULL : nftnl_expr_alloc(name);
    if (made)
        nftnl_rule_add_expr(maker->rule, made); /* the rule owns it */
    else
        maker->is_bad = true;
    return made;
}

/* Every load goes to register 1, every test reads it: a rule is a straight line of load and test. */
static void load(struct rule_maker *maker, enum nft_payload_bases base, uint32_t offset, uint32_t bytes)
{
    struct nftnl_expr *x = expression(maker, "payload");
    if (!x)
        return;
    nftnl_expr_set_u32(x, NFTNL_EXPR_PAYLOAD_DREG, NFT_REG_1);
    nftnl_expr_set_u32(x, NFTNL_EXPR_PAYLOAD_BASE, base);
    nftnl_expr_set_u32(x, NFTNL_EXPR_PAYLOAD_OFFSET, offset);
    nftnl_expr_set_u32(x, NFTNL_EXPR_PAYLOAD_LEN, bytes);
}

static void load_meta(struct rule_maker *maker, enum nft_meta_keys key)
{
    struct nftnl_expr *x = expression(maker, "meta");
    if (!x)
        return;
    nftnl_expr_set_u32(x, NFTNL_EXPR_META_KEY, key);
    nftnl_expr_set_u32(x, NFTNL_EXPR_META_DREG, NFT_REG_1);
}

static void mask(struct rule_maker *maker, const void *bits, uint32_t bytes)
{
    static const uint8_t zero[4];
    struct nftnl_expr *x = expression(maker, "bitwise");
    if (!x)
        return;
    nftnl_expr_set_u32(x, NFTNL_EXPR_BITWISE_SREG, NFT_REG_1);
    nftnl_expr_set_u32(x, NFTNL_EXPR_BITWISE_DREG, NFT_REG_1);
    nftnl_expr_set_u32(x, NFTNL_EXPR_BITWISE_OP, NFT_BITWISE_BOOL);
    nftnl_expr_set_u32(x, NFTNL_EXPR_BITWISE_LEN, bytes);
    maker->is_bad |= nftnl_expr_set(x, NFTNL_EXPR_BITWISE_MASK, bits, bytes) < 0;
    maker->is_bad |= nftnl_expr_set(x, NFTNL_EXPR_BITWISE_XOR, zero, bytes) < 0;
}

/* The rule ends here, without a verdict, unless the register compares so. */
static void test(struct rule_maker *maker, enum nft_cmp_ops op, const void *value, uint32_t bytes)
{
    struct nftnl_expr *x = expression(maker, "cmp");
    if (!x)
        return;
    nftnl_expr_set_u32(x, NFTNL_EXPR_CMP_SREG, NFT_REG_1);
    nftnl_expr_set_u32(x, NFTNL_EXPR_CMP_OP, op);
    maker->is_bad |= nftnl_expr_set(x, NFTNL_EXPR_CMP_DATA, value, bytes) < 0;
}

static void count_and(struct rule_maker *maker, uint32_t verdict)
{
    (void)expression(maker, "counter");
    struct nftnl_expr *x = expression(maker, "immediate");
    if (!x)
        return;
    nftnl_expr_set_u32(x, NFTNL_EXPR_IMM_DREG, NFT_REG_VERDICT);
    nftnl_expr_set_u32(x, NFTNL_EXPR_IMM_VERDICT, verdict);
}

static void tests_of_end(struct rule_maker *maker, const struct filter_end *end)
{
    const uint16_t ether_type = htons(0x0800), fragment_bits = htons(0x3fff), none = 0, port = htons(end->port);
    const uint8_t tcp = IPPROTO_TCP, syn_ack = 0x12, syn = 0x02;
    const uint32_t from_to[2] = {htonl(end->peer), htonl(end->own)};

    load(maker, NFT_PAYLOAD_LL_HEADER, 12, 2);
    test(maker, NFT_CMP_EQ, &ether_type, 2);
    load(maker, NFT_PAYLOAD_NETWORK_HEADER, 6, 2); /* flags and fragment offset */
    mask(maker, &fragment_bits, 2);                /* more-fragments, offset; not don't-fragment */
    test(maker, NFT_CMP_EQ, &none, 2);
    load_meta(maker, NFT_META_L4PROTO); /* set only where the kernel found the IPv4 header sound */
    test(maker, NFT_CMP_EQ, &tcp, 1);
    load(maker, NFT_PAYLOAD_NETWORK_HEADER, 12, 8);
    test(maker, NFT_CMP_EQ, from_to, 8);
    load(maker, NFT_PAYLOAD_TRANSPORT_HEADER, end->is_caller ? 0 : 2, 2); /* source or destination port */
    test(maker, NFT_CMP_EQ, &port, 2);
    if (end->is_caller) {
        load(maker, NFT_PAYLOAD_TRANSPORT_HEADER, 13, 1); /* flags */
        mask(maker, &syn_ack, 1);
        test(maker, NFT_CMP_NEQ, &syn, 1);
    }
}

static void append_rule(struct netlink_batch *batch, size_t item, const struct filter_end *end, uint32_t verdict)
{
    struct rule_maker maker = {.rule = nftnl_rule_alloc()};
    if (!maker.rule) {
        batch->build_code = -ENOMEM;
        return;
    }
    maker.is_bad |= nftnl_rule_set_str(maker.rule, NFTNL_RULE_TABLE, TABLE) < 0;
    maker.is_bad |= nftnl_rule_set_str(maker.rule, NFTNL_RULE_CHAIN, end->ifname) < 0;
    if (verdict == NF_ACCEPT && !weakened("wire-filter"))
        tests_of_end(&maker, end);
    count_and(&maker, verdict);
    if (maker.is_bad) {
        batch->build_code = -ENOMEM;
    } else {
        struct nlmsghdr *message =
            nftnl_nlmsg_build_hdr(netlink_room(batch), NFT_MSG_NEWRULE, NFPROTO_NETDEV, NLM_F_CREATE | NLM_F_APPEND, 0);
        nftnl_rule_nlmsg_build_payload(message, maker.rule);
        netlink_append(batch, NETLINK_CHANGE, item,
                       verdict == NF_ACCEPT ? "add filter rule 'accept'" : "add filter rule 'drop'");
    }
    nftnl_rule_free(maker.rule);
}

/* The same message makes a chain, asks for it, or removes it. */
static void append_chain(struct netlink_batch *batch, size_t item, const char *ifname, uint16_t type, uint16_t flags,
                         const char *step)
{
    struct nftnl_chain *chain = nftnl_chain_alloc();
    if (!chain) {
        batch->build_code = -ENOMEM;
        return;
    }
    bool is_bad = nftnl_chain_set_str(chain, NFTNL_CHAIN_TABLE, TABLE) < 0;
    is_bad |= nftnl_chain_set_str(chain, NFTNL_CHAIN_NAME, ifname) < 0;
    if (type == NFT_MSG_NEWCHAIN) {
        is_bad |= nftnl_chain_set_str(chain, NFTNL_CHAIN_TYPE, "filter") < 0;
        is_bad |= nftnl_chain_set_str(chain, NFTNL_CHAIN_DEV, ifname) < 0;
        nftnl_chain_set_u32(chain, NFTNL_CHAIN_HOOKNUM, NF_NETDEV_INGRESS);
        nftnl_chain_set_s32(chain, NFTNL_CHAIN_PRIO, 0);
        nftnl_chain_set_u32(chain, NFTNL_CHAIN_POLICY, NF_DROP);
    }
    if (is_bad) {
        batch->build_code = -ENOMEM;
    } else {
        struct nlmsghdr *message = nftnl_nlmsg_build_hdr(netlink_room(batch), type, NFPROTO_NETDEV, flags, 0);
        nftnl_chain_nlmsg_build_payload(message, chain);
        netlink_append(batch, type == NFT_MSG_GETCHAIN ? NETLINK_QUERY : NETLINK_CHANGE, item, step);
    }
    nftnl_chain_free(chain);
}

static void append_table(struct netlink_batch *batch)
{
    struct nlmsghdr *message =
        nftnl_nlmsg_build_hdr(netlink_room(batch), NFT_MSG_NEWTABLE, NFPROTO_NETDEV, NLM_F_CREATE, 0);
    mnl_attr_put_strz(message, NFTA_TABLE_NAME, TABLE);
    netlink_append(batch, NETLINK_CHANGE, 0, "make filter table");
}

static void transaction_begin(struct netlink_batch *batch)
{
    netlink_batch_reset(batch);
    batch->is_atomic = true;
    (void)nftnl_batch_begin(netlink_room(batch), 0);
    netlink_append(batch, NETLINK_CHANGE, 0, "change filter");
}

static void transaction_end(struct netlink_batch *batch)
{
    (void)nftnl_batch_end(netlink_room(batch), 0);
    netlink_append(batch, NETLINK_CHANGE, 0, "change filter");
}

/* Asks for all rules of one chain. */
static void append_rules_request(struct netlink_batch *batch, size_t item, const char *ifname)
{
    struct nlmsghdr *message =
        nftnl_nlmsg_build_hdr(netlink_room(batch), NFT_MSG_GETRULE, NFPROTO_NETDEV, NLM_F_DUMP, 0);
    mnl_attr_put_strz(message, NFTA_RULE_TABLE, TABLE);
    mnl_attr_put_strz(message, NFTA_RULE_CHAIN, ifname);
    netlink_append(batch, NETLINK_LIST, item, "list filter rules");
}

/* ---- reading back ---- */

static const struct nlattr *attribute_find(const void *attributes, size_t bytes, uint16_t type)
{
    const struct nlattr *attr;
    mnl_attr_for_each_payload(attributes, bytes)
    {
        if (mnl_attr_get_type(attr) == type)
            return attr;
    }
    return NULL;
}

/*
 * Whether all that was sent in `sent` is listed in `listed`, by type and value, in nests too.  What only the kernel
 * lists (handles, counts, whatever a later kernel adds) is passed over.
 */
static bool attributes_match(const void *sent, size_t sent_bytes, const void *listed, size_t listed_bytes, int depth)
{
    const struct nlattr *attr;
    mnl_attr_for_each_payload(sent, sent_bytes)
    {
        const struct nlattr *other = attribute_find(listed, listed_bytes, mnl_attr_get_type(attr));
        if (!other)
            return false;
        size_t bytes = mnl_attr_get_payload_len(attr), other_bytes = mnl_attr_get_payload_len(other);
        const void *value = mnl_attr_get_payload(attr), *other_value = mnl_attr_get_payload(other);
        bool is_nest = (attr->nla_type & NLA_F_NESTED) != 0; /* libnftnl marks every nest that it builds */
        if (is_nest ? depth == 0 || !attributes_match(value, bytes, other_value, other_bytes, depth - 1)
                    : bytes != other_bytes || memcmp(value, other_value, bytes) != 0)
            return false;
    }
    return true;
}

#define NEST_DEPTH_MAX 5 /* element, data, value, verdict */

static const struct nlattr *expressions_of(const struct nlmsghdr *rule)
{
    const char *attributes = mnl_nlmsg_get_payload_offset(rule, sizeof(struct nfgenmsg));
    return attribute_find(attributes, (size_t)((const char *)mnl_nlmsg_get_payload_tail(rule) - attributes),
                          NFTA_RULE_EXPRESSIONS);
}

/* The same expressions, in the same order, and no others. */
static bool rules_match(const struct nlmsghdr *sent, const struct nlmsghdr *listed)
{
    const struct nlattr *sent_list = expressions_of(sent), *listed_list = expressions_of(listed);
    if (!sent_list || !listed_list)
        return false;
    const char *listed_end = (const char *)mnl_attr_get_payload(listed_list) + mnl_attr_get_payload_len(listed_list);
    const struct nlattr *other = mnl_attr_get_payload(listed_list), *attr;
    mnl_attr_for_each_nested(attr, sent_list)
    {
        if (!mnl_attr_ok(other, (int)(listed_end - (const char *)other)) ||
            !attributes_match(mnl_attr_get_payload(attr), mnl_attr_get_payload_len(attr), mnl_attr_get_payload(other),
                              mnl_attr_get_payload_len(other), NEST_DEPTH_MAX))
            return false;
        other = mnl_attr_next(other);
    }
    return !mnl_attr_ok(other, (int)(listed_end - (const char *)other));
}

static bool chains_match(const struct nlmsghdr *sent, const struct nlmsghdr *listed)
{
    const char *a = mnl_nlmsg_get_payload_offset(sent, sizeof(struct nfgenmsg));
    const char *b = mnl_nlmsg_get_payload_offset(listed, sizeof(struct nfgenmsg));
    return attributes_match(a, (size_t)((const char *)mnl_nlmsg_get_payload_tail(sent) - a), b,
                            (size_t)((const char *)mnl_nlmsg_get_payload_tail(listed) - b), NEST_DEPTH_MAX);
}

/* What the kernel has listed of one end. */
struct listed_end {
    uint32_t chains, rules; /* that came, in order, and are as they were sent */
    bool is_wrong;
};

struct listing {
    const struct netlink_batch *sent;
    struct listed_end *ends;
};

static void on_listed(void *context, size_t item, const struct nlmsghdr *answer)
{
    const struct listing *listing = context;
    struct listed_end *end = &listing->ends[item];
    size_t chain_index = 2 + item * MESSAGES_PER_CHAIN; /* after begin and table */
    switch (NFNL_MSG_TYPE(answer->nlmsg_type)) {
    case NFT_MSG_NEWCHAIN:
        end->is_wrong |= end->chains >= 1 || !chains_match(netlink_at(listing->sent, chain_index), answer);
        end->chains++;
        break;
    case NFT_MSG_NEWRULE:
        end->is_wrong |= end->rules >= RULES_PER_CHAIN ||
                         !rules_match(netlink_at(listing->sent, chain_index + 1 + end->rules), answer);
        end->rules++;
        break;
    default:
        break;
    }
}

/* filter.h I2.  `sent` is the transaction as it went out. */
static int read_back(struct netlink *socket, const struct netlink_batch *sent, const struct filter_end *ends,
                     size_t count, size_t *ret_item, struct err *e)
{
    FREE_AUTO struct listed_end *listed = calloc(count, sizeof *listed);
    if (!listed)
        return err_set(e, -ENOMEM, "read back filter: out of memory");
    struct netlink_batch batch;
    int code = netlink_batch_init(&batch, e);
    if (code < 0)
        return code;
    for (size_t i = 0; i < count; i++)
        append_chain(&batch, i, ends[i].ifname, NFT_MSG_GETCHAIN, 0, "read back filter chain");
    for (size_t i = 0; i < count; i++)
        append_rules_request(&batch, i, ends[i].ifname);
    struct listing listing = {.sent = sent, .ends = listed};
    code = netlink_run(socket, &batch, on_listed, &listing);
    if (code < 0) {
        *ret_item = batch.failed < batch.message_count ? batch.messages[batch.failed].item : 0;
        code = netlink_explain(&batch, code, e);
    }
    for (size_t i = 0; i < count && code == 0; i++)
        if (listed[i].is_wrong || listed[i].chains != 1 || listed[i].rules != RULES_PER_CHAIN) {
            *ret_item = i;
            code =
                err_set(e, -EIO, "read back filter: the kernel lists %u chain(s) and %u rule(s), %s", listed[i].chains,
                        listed[i].rules, listed[i].is_wrong ? "not as they were sent" : "where 1 and 2 were sent");
        }
    netlink_batch_done(&batch);
    return code;
}

int filter_add(struct netlink *socket, struct netlink_batch *batch, const struct filter_end *ends, size_t count,
               size_t *ret_item, struct err *e)
{
    transaction_begin(batch);
    append_table(batch);
    for (size_t i = 0; i < count; i++) { /* MESSAGES_PER_CHAIN of them: on_listed() counts on it */
        append_chain(batch, i, ends[i].ifname, NFT_MSG_NEWCHAIN, NLM_F_CREATE | NLM_F_EXCL, "add filter chain");
        append_rule(batch, i, &ends[i], NF_ACCEPT);
        append_rule(batch, i, &ends[i], NF_DROP);
    }
    transaction_end(batch);
    int code = netlink_run(socket, batch, NULL, NULL);
    if (code < 0) {
        *ret_item = batch->failed < batch->message_count ? batch->messages[batch->failed].item : 0;
        return netlink_explain(batch, code, e);
    }
    code = read_back(socket, batch, ends, count, ret_item, e);
    if (code < 0)
        for (size_t i = 0; i < count; i++)
            (void)filter_remove(socket, batch, ends[i].ifname, NULL); /* the failure that counts is the first */
    return code;
}

/* ---- counting and removing ---- */

struct counting {
    struct net_counters counters;
    bool is_there, is_bad;
};

struct counted_rule {
    uint64_t packets;
    uint32_t verdict;
};

static int on_expression(struct nftnl_expr *x, void *context)
{
    struct counted_rule *rule = context;
    const char *name = nftnl_expr_get_str(x, NFTNL_EXPR_NAME);
    if (strcmp(name, "counter") == 0)
        rule->packets = nftnl_expr_get_u64(x, NFTNL_EXPR_CTR_PACKETS);
    else if (strcmp(name, "immediate") == 0)
        rule->verdict = nftnl_expr_get_u32(x, NFTNL_EXPR_IMM_VERDICT);
    return 0;
}

static void on_counted_rule(void *context, size_t item, const struct nlmsghdr *answer)
{
    struct counting *counting = context;
    struct counted_rule counted = {.verdict = UINT32_MAX};
    struct nftnl_rule *rule = nftnl_rule_alloc();
    if (!rule || nftnl_rule_nlmsg_parse(answer, rule) < 0 || nftnl_expr_foreach(rule, on_expression, &counted) < 0)
        counting->is_bad = true;
    else if (counted.verdict == NF_ACCEPT)
        counting->counters.packets = counted.packets;
    else if (counted.verdict == NF_DROP)
        counting->counters.denied = counted.packets;
    counting->is_there = true;
    if (rule)
        nftnl_rule_free(rule);
}

int filter_counters(struct netlink *socket, struct netlink_batch *batch, const char *ifname,
                    struct net_counters *ret_counters, struct err *e)
{
    /* A chain may have outlived its device (see the head), so the device is asked for first. */
    struct ifreq request = {0};
    memcpy(request.ifr_name, ifname, strnlen(ifname, sizeof request.ifr_name - 1));
    if (ioctl(socket->fd, SIOCGIFINDEX, &request) < 0)
        return err_sys(e, -errno, "find interface");
    netlink_batch_reset(batch);
    append_rules_request(batch, 0, ifname);
    struct counting counting = {0};
    int code = netlink_run(socket, batch, on_counted_rule, &counting);
    if (code < 0 && code != -ENOENT)
        return netlink_explain(batch, code, e);
    if (counting.is_bad)
        return err_set(e, -EIO, "list filter rules: the kernel's answer cannot be read");
    if (!counting.is_there)
        return err_set(e, -ENODEV, "list filter rules: the interface has no filter");
    *ret_counters = counting.counters;
    return 0;
}

int filter_remove(struct netlink *socket, struct netlink_batch *batch, const char *ifname, struct err *e)
{
    transaction_begin(batch);
    append_chain(batch, 0, ifname, NFT_MSG_DELCHAIN, 0, "remove filter chain"); /* takes its rules along */
    transaction_end(batch);
    int code = netlink_run(socket, batch, NULL, NULL);
    return code < 0 && code != -ENOENT ? netlink_explain(batch, code, e) : 0;
}
