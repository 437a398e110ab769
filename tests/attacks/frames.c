/*
 * frames.c - rows I04b, N04 and N09 as far as they are frames made by hand: unknown kinds, ARP, VLAN tags, fragments,
 * SYNs.
 *
 * Arguments: own, peer (addresses of the two ends of one's own wire, which goes to a callee), dev (its interface here);
 * for the flood ms (how long it lasts).
 */
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "rpc/base/clock.h"
#include "rpc/base/own.h"
#include "tests/attacks/attack.h"

/* ---- a packet socket ---- */

struct raw {
    int fd;
    struct sockaddr_ll to;
    unsigned char own_mac[6];
};

/* For sending, and for what comes of a protocol (0: nothing).  The peer's MAC is made from its address (netconf): 02:00
 * and the four bytes of it. */
static bool raw_open(struct raw *raw, uint16_t protocol)
{
    struct sockaddr_in own = address_of("own", 0);
    *raw = (struct raw){.to = {.sll_family = AF_PACKET,
                               .sll_protocol = htons(protocol),
                               .sll_ifindex = (int)if_nametoindex(argument("dev")),
                               .sll_halen = 6}};
    raw->own_mac[0] = 2;
    memcpy(raw->own_mac + 2, &own.sin_addr, 4);
    raw->fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(protocol));
    return raw->fd >= 0 && bind(raw->fd, (struct sockaddr *)&raw->to, sizeof raw->to) == 0;
}

static long raw_send(const struct raw *raw, const void *frame, size_t bytes)
{
    return call_result(sendto(raw->fd, frame, bytes, 0, (const struct sockaddr *)&raw->to, sizeof raw->to));
}

/* An answer of this ethertype (and IP protocol, and to this address, where they are not 0) from the other end, within
 * WAIT_MS; ret_to, where it is not NULL: the MAC that it was sent to. */
static bool raw_answered(const struct raw *raw, uint16_t ether_type, uint8_t ip_protocol, uint32_t address,
                         unsigned char *ret_to)
{
    unsigned char frame[2048];
    struct sockaddr_ll from;
    socklen_t from_bytes = sizeof from;
    struct pollfd poll_fd = {.fd = raw->fd, .events = POLLIN};
    for (int i = 0; i < 64 && poll(&poll_fd, 1, WAIT_MS) == 1; i++) {
        ssize_t got = recvfrom(raw->fd, frame, sizeof frame, 0, (struct sockaddr *)&from, &from_bytes);
        if (got < 34 || from.sll_pkttype == PACKET_OUTGOING)
            continue;
        if ((frame[12] << 8 | frame[13]) != ether_type || (ip_protocol != 0 && frame[14 + 9] != ip_protocol) ||
            (address != 0 && memcmp(frame + 14 + 16, &address, 4) != 0))
            continue;
        if (ret_to)
            memcpy(ret_to, frame, 6);
        return true;
    }
    return false;
}

static void packet_socket(struct attempt *a)
{
    struct raw raw;
    if (!raw_open(&raw, ETH_P_ALL)) {
        tried(a, "AF_PACKET", -errno);
        return;
    }
    const unsigned char frame[60] = {[0] = 255, 255, 255, 255, 255, 255, [12] = 0x88, 0xb5};
    tried(a, "a frame of an unknown kind", raw_send(&raw, frame, sizeof frame));
}

static uint16_t checksum(const void *data, size_t bytes)
{
    const unsigned char *at = data;
    uint32_t sum = 0;
    for (size_t i = 0; i + 1 < bytes; i += 2)
        sum += (uint32_t)(at[i] << 8 | at[i + 1]);
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return htons((uint16_t)~sum);
}

static void put_ethernet(const struct raw *raw, unsigned char *frame, bool is_broadcast)
{
    struct sockaddr_in peer = address_of("peer", 0);
    memset(frame, 255, 6);
    if (!is_broadcast) {
        frame[0] = 2, frame[1] = 0;
        memcpy(frame + 2, &peer.sin_addr, 4);
    }
    memcpy(frame + 6, raw->own_mac, 6);
}

/* IPv4 without options, with bytes of a protocol behind it; gives the length of both. */
static size_t put_ip_from(unsigned char *at, uint32_t source, uint8_t protocol, uint16_t id, uint16_t fragment_bits,
                          size_t bytes)
{
    struct sockaddr_in peer = address_of("peer", 0);
    struct iphdr ip = {.version = 4,
                       .ihl = 5,
                       .tot_len = htons((uint16_t)(sizeof ip + bytes)),
                       .id = htons(id),
                       .frag_off = htons(fragment_bits),
                       .ttl = 64,
                       .protocol = protocol,
                       .saddr = source,
                       .daddr = peer.sin_addr.s_addr};
    ip.check = checksum(&ip, sizeof ip);
    memcpy(at, &ip, sizeof ip);
    return sizeof ip + bytes;
}

static size_t put_ip(unsigned char *at, uint8_t protocol, uint16_t id, uint16_t fragment_bits, size_t bytes)
{
    return put_ip_from(at, address_of("own", 0).sin_addr.s_addr, protocol, id, fragment_bits, bytes);
}

/* The whole of a datagram to port 53, 16 bytes. */
static size_t put_udp(unsigned char *at)
{
    struct udphdr udp = {.source = htons(5353), .dest = htons(53), .len = htons(16)};
    memset(at + 20 + sizeof udp, 'x', 16 - sizeof udp);
    memcpy(at + 20, &udp, sizeof udp);
    return put_ip(at, IPPROTO_UDP, 77, 0, 16);
}

#define SYN_BYTES (14u + 20u + 20u)

/* A first segment to the link's port, from a port and with a sequence number of its own: each is the beginning of
 * another connection. */
static void put_syn(unsigned char *frame, uint32_t source, uint32_t number)
{
    struct sockaddr_in peer = address_of("peer", 0);
    struct {
        uint32_t source, target;
        uint16_t protocol, bytes;
        struct tcphdr tcp;
    } pseudo = {.source = source,
                .target = peer.sin_addr.s_addr,
                .protocol = htons(IPPROTO_TCP),
                .bytes = htons(sizeof pseudo.tcp),
                .tcp = {.source = htons((uint16_t)(1024 + number % 64000)),
                        .dest = htons(PORT_OF_LINKS),
                        .seq = htonl(number * 2654435761u),
                        .doff = 5,
                        .syn = 1,
                        .window = htons(65535)}};
    pseudo.tcp.check = checksum(&pseudo, sizeof pseudo);
    (void)put_ip_from(frame + 14, source, IPPROTO_TCP, (uint16_t)number, IP_DF, sizeof pseudo.tcp);
    memcpy(frame + 34, &pseudo.tcp, sizeof pseudo.tcp);
}

/* The beginning of a connection from an address that is not one's own, with an answer to that address. */
static void forged_source(struct attempt *a)
{
    const struct {
        const char *whose;
        uint32_t address;
    } sources[] = {{"another caller's", address_of("others", 0).sin_addr.s_addr},
                   {"the callee's own", address_of("peer", 0).sin_addr.s_addr},
                   {"a loopback", htonl(INADDR_LOOPBACK)}};
    struct raw raw;
    if (!raw_open(&raw, ETH_P_ALL)) {
        tried(a, "AF_PACKET", -errno);
        return;
    }
    for (uint32_t i = 0; i < ARRAY_COUNT(sources); i++) {
        unsigned char frame[SYN_BYTES] = {[12] = 8, 0};
        put_ethernet(&raw, frame, false);
        put_syn(frame, sources[i].address, i);
        (void)raw_send(&raw, frame, sizeof frame);
        if (raw_answered(&raw, ETH_P_IP, IPPROTO_TCP, sources[i].address, NULL))
            won(a, "a connection from %s address was answered", sources[i].whose);
    }
    refused(a, "no answer");
}

static void ask_for_addresses(struct attempt *a)
{
    struct raw raw;
    if (!raw_open(&raw, ETH_P_ALL)) {
        tried(a, "AF_PACKET", -errno);
        return;
    }
    struct sockaddr_in own = address_of("own", 0), peer = address_of("peer", 0);
    unsigned char arp[60] = {[12] = 8, 6, 0, 1, 8, 0, 6, 4, 0, 1};
    put_ethernet(&raw, arp, true);
    memcpy(arp + 22, raw.own_mac, 6);
    memcpy(arp + 28, &own.sin_addr, 4);
    memcpy(arp + 38, &peer.sin_addr, 4);
    (void)raw_send(&raw, arp, sizeof arp);
    if (raw_answered(&raw, ETH_P_ARP, 0, 0, NULL))
        won(a, "ARP was answered");
    refused(a, "no answer");
}

/* "My address has moved": an answer that nobody asked for; then a connection, whose answer shows who was believed. */
static void move_an_address(struct attempt *a)
{
    static const unsigned char elsewhere[6] = {2, 0, 0, 0, 0, 9};
    struct sockaddr_in own = address_of("own", 0);
    unsigned char arp[60] = {[12] = 8, 6, 0, 1, 8, 0, 6, 4, 0, 2}, syn[SYN_BYTES] = {[12] = 8, 0}, to[6];
    struct raw raw;
    if (!raw_open(&raw, ETH_P_ALL)) {
        tried(a, "AF_PACKET", -errno);
        return;
    }
    put_ethernet(&raw, arp, true);
    memcpy(arp + 22, elsewhere, 6);
    memcpy(arp + 28, &own.sin_addr, 4);
    memcpy(arp + 32, elsewhere, 6);
    memcpy(arp + 38, &own.sin_addr, 4);
    (void)raw_send(&raw, arp, sizeof arp);
    put_ethernet(&raw, syn, false);
    put_syn(syn, own.sin_addr.s_addr, 7);
    (void)raw_send(&raw, syn, sizeof syn);
    if (!raw_answered(&raw, ETH_P_IP, IPPROTO_TCP, own.sin_addr.s_addr, to))
        tried(a, "a connection", -ETIMEDOUT);
    else if (memcmp(to, elsewhere, 6) == 0)
        won(a, "the address had moved");
    else
        refused(a, "answered where it was");
}

/* A kind of frame that no part of a kernel takes, and one that asks for an echo (loopback, 0x9000). */
static void unknown_kinds(struct attempt *a)
{
    static const uint16_t kinds[] = {0x88b5, 0x9000};
    struct raw raw;
    if (!raw_open(&raw, ETH_P_ALL)) {
        tried(a, "AF_PACKET", -errno);
        return;
    }
    for (size_t i = 0; i < ARRAY_COUNT(kinds); i++) {
        unsigned char frame[60] = {[12] = (unsigned char)(kinds[i] >> 8), (unsigned char)kinds[i]};
        put_ethernet(&raw, frame, false);
        (void)raw_send(&raw, frame, sizeof frame);
        if (raw_answered(&raw, kinds[i], 0, 0, NULL))
            won(a, "kind %x was answered", kinds[i]);
    }
    refused(a, "no answer");
}

/* ---- N03: a router of one's own ---- */

#define PREFIX 0xfd, 0x42, 0, 0, 0, 0, 0, 0 /* and 64 bits that the receiver makes from its MAC */

/* IPv6 and ICMPv6, with its checksum. */
static size_t put_icmp6(unsigned char *at, const unsigned char *from, const unsigned char *to,
                        const unsigned char *icmp, uint16_t bytes)
{
    unsigned char pseudo[40 + 64] = {[34] = (unsigned char)(bytes >> 8), (unsigned char)bytes, [39] = IPPROTO_ICMPV6};
    const unsigned char header[8] = {0x60, [4] = (unsigned char)(bytes >> 8), (unsigned char)bytes, IPPROTO_ICMPV6,
                                     255};
    memcpy(pseudo, from, 16);
    memcpy(pseudo + 16, to, 16);
    memcpy(pseudo + 40, icmp, bytes);
    uint16_t sum = checksum(pseudo, 40u + bytes);
    memcpy(at, header, 8);
    memcpy(at + 8, from, 16);
    memcpy(at + 24, to, 16);
    memcpy(at + 40, icmp, bytes);
    memcpy(at + 42, &sum, 2);
    return 40u + bytes;
}

/* Whoever believes the router takes an address of its prefix, and answers to it. */
static void advertise_a_router(struct attempt *a)
{
    static const unsigned char router[16] = {0xfe, 0x80, [15] = 1}, all_nodes[16] = {0xff, 2, [15] = 1},
                               own[16] = {PREFIX, [15] = 1},
                               advertisement[] = {134,    0, 0,  0,    64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0, /* router */
                                                  3,      4, 64, 0xc0, 0,  0, 7, 8, 0, 0, 7, 8, 0, 0, 0, 0, /* prefix */
                                                  PREFIX, 0, 0,  0,    0,  0, 0, 0, 0};
    static const unsigned char echo[8] = {128, 0, 0, 0, 'h', 'd', 0, 1};
    struct sockaddr_in peer = address_of("peer", 0);
    unsigned char there[16] = {PREFIX, 0, 0, [11] = 0xff, 0xfe}, frame[14 + 40 + 64] = {[12] = 0x86, 0xdd};
    struct raw raw;
    if (!raw_open(&raw, ETH_P_ALL)) {
        tried(a, "AF_PACKET", -errno);
        return;
    }
    memcpy(there + 10, &peer.sin_addr, 1); /* 02:00:a:b:c:d is ::aff:feb:... with the bit of the first byte turned */
    memcpy(there + 13, (const char *)&peer.sin_addr + 1, 3);
    put_ethernet(&raw, frame, true);
    frame[0] = frame[1] = 0x33;
    memcpy(frame + 2, all_nodes + 12, 4);
    (void)raw_send(&raw, frame, 14 + put_icmp6(frame + 14, router, all_nodes, advertisement, sizeof advertisement));
    (void)poll(NULL, 0, 50); /* what it takes, it takes by then */
    put_ethernet(&raw, frame, false);
    (void)raw_send(&raw, frame, 14 + put_icmp6(frame + 14, own, there, echo, sizeof echo));
    if (raw_answered(&raw, ETH_P_IPV6, 0, 0, NULL))
        won(a, "an address of the prefix answered");
    refused(a, "no answer");
}

static void tagged_frames(struct attempt *a)
{
    struct raw raw;
    if (!raw_open(&raw, ETH_P_ALL)) {
        tried(a, "AF_PACKET", -errno);
        return;
    }
    unsigned char vlan[80] = {[12] = 0x81, 0, 0, 0, 8, 0}; /* tag 0, which the kernel takes off */
    put_ethernet(&raw, vlan, false);
    (void)raw_send(&raw, vlan, 18 + put_udp(vlan + 18));
    if (raw_answered(&raw, ETH_P_IP, IPPROTO_ICMP, 0, NULL))
        won(a, "a tagged datagram was answered");
    refused(a, "no answer");
}

/* A part of a datagram of 32 bytes to port 53: a fragment of 8 x units bytes from 8 x first on. */
struct part {
    uint8_t first, units;
};
#define DATAGRAM_UNITS 4

/* Sends the parts; was the datagram put together?  Nobody listens there, which ICMP then says. */
static bool is_put_together(const struct raw *raw, uint16_t id, const struct part *parts, size_t count)
{
    struct udphdr udp = {.source = htons(5353), .dest = htons(53), .len = htons(8 * DATAGRAM_UNITS)};
    for (size_t i = 0; i < count; i++) {
        unsigned char frame[14 + 20 + 8 * DATAGRAM_UNITS] = {[12] = 8, 0}, *payload = frame + 34;
        bool is_last = parts[i].first + parts[i].units == DATAGRAM_UNITS;
        memset(payload, 'a' + (int)i, 8 * DATAGRAM_UNITS); /* parts that overlap say different things */
        if (parts[i].first == 0)
            memcpy(payload, &udp, sizeof udp);
        put_ethernet(raw, frame, false);
        size_t bytes = put_ip(frame + 14, IPPROTO_UDP, id, (uint16_t)((is_last ? 0 : IP_MF) | parts[i].first),
                              8u * parts[i].units);
        (void)raw_send(raw, frame, 14 + bytes);
    }
    return raw_answered(raw, ETH_P_IP, IPPROTO_ICMP, 0, NULL);
}

static void fragments(struct attempt *a)
{
    static const struct part whole[] = {{0, 2}, {2, 2}};
    struct raw raw;
    if (!raw_open(&raw, ETH_P_ALL))
        tried(a, "AF_PACKET", -errno);
    else if (is_put_together(&raw, 78, whole, ARRAY_COUNT(whole)))
        won(a, "a datagram in fragments was answered");
    else
        refused(a, "no answer");
}

/* One within another, which Linux lets pass and takes the first; and two that overlap by half, which it never puts
 * together. */
static void overlapping_fragments(struct attempt *a)
{
    static const struct part within[] = {{0, 3}, {1, 1}, {3, 1}}, halves[] = {{0, 3}, {1, 3}};
    struct raw raw;
    if (!raw_open(&raw, ETH_P_ALL)) {
        tried(a, "AF_PACKET", -errno);
        return;
    }
    if (is_put_together(&raw, 79, halves, ARRAY_COUNT(halves)))
        won(a, "a datagram whose halves overlap was answered");
    if (is_put_together(&raw, 80, within, ARRAY_COUNT(within)))
        won(a, "a datagram of overlapping fragments was answered");
    refused(a, "no answer");
}

/* ---- N09c: a flood of SYNs, as fast as they go ---- */

#define FRAMES_AT_ONCE 64u

static void syn_flood(struct attempt *a)
{
    static unsigned char frames[FRAMES_AT_ONCE][SYN_BYTES];
    struct mmsghdr messages[FRAMES_AT_ONCE] = {0};
    struct iovec pieces[FRAMES_AT_ONCE];
    struct raw raw;
    const uint32_t own = address_of("own", 0).sin_addr.s_addr;
    uint64_t run_ms = *argument("ms") ? strtoull(argument("ms"), NULL, 10) : 1000;
    uint64_t began_ns = clock_ns(), took_ns = 0, sent = 0;
    int no_queue = 1;
    if (!raw_open(&raw, 0) || setsockopt(raw.fd, SOL_PACKET, PACKET_QDISC_BYPASS, &no_queue, sizeof no_queue) < 0) {
        tried(a, "AF_PACKET", -errno);
        return;
    }
    for (unsigned i = 0; i < FRAMES_AT_ONCE; i++) {
        frames[i][12] = 8;
        put_ethernet(&raw, frames[i], false);
        pieces[i] = (struct iovec){frames[i], SYN_BYTES};
        messages[i].msg_hdr =
            (struct msghdr){.msg_name = &raw.to, .msg_namelen = sizeof raw.to, .msg_iov = &pieces[i], .msg_iovlen = 1};
    }
    while (took_ns < run_ms * 1000000) {
        for (unsigned i = 0; i < FRAMES_AT_ONCE; i++)
            put_syn(frames[i], own, (uint32_t)sent + i);
        int result = sendmmsg(raw.fd, messages, FRAMES_AT_ONCE, 0);
        if (result < 0) {
            tried(a, "sendmmsg", -errno);
            return;
        }
        sent += (unsigned)result;
        took_ns = clock_ns() - began_ns;
    }
    refused(a, "%llu SYNs, %llu a second", (unsigned long long)sent, (unsigned long long)(sent * 1000000000 / took_ns));
}

const struct row rows_frames[] = {
    {"I04b", forged_source},
    {"N03b", advertise_a_router},
    {"N04", packet_socket},
    {"N04b", ask_for_addresses},
    {"N04c", tagged_frames},
    {"N04d", move_an_address},
    {"N04e", unknown_kinds},
    {"N09b", fragments},
    {"N09c", syn_flood},
    {"N09d", overlapping_fragments},
    {NULL, NULL},
};
