/*
 * frames.c - rows N04 and N09 as far as they are frames made by hand: unknown kinds, ARP, VLAN tags, fragments, SYNs.
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

/* An answer of this ethertype (and IP protocol, where it is not 0) from the other end, within WAIT_MS. */
static bool raw_answered(const struct raw *raw, uint16_t ether_type, uint8_t ip_protocol)
{
    unsigned char frame[2048];
    struct sockaddr_ll from;
    socklen_t from_bytes = sizeof from;
    struct pollfd poll_fd = {.fd = raw->fd, .events = POLLIN};
    for (int i = 0; i < 64 && poll(&poll_fd, 1, WAIT_MS) == 1; i++) {
        ssize_t got = recvfrom(raw->fd, frame, sizeof frame, 0, (struct sockaddr *)&from, &from_bytes);
        if (got < 34 || from.sll_pkttype == PACKET_OUTGOING)
            continue;
        if ((frame[12] << 8 | frame[13]) == ether_type && (ip_protocol == 0 || frame[14 + 9] == ip_protocol))
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
static size_t put_ip(unsigned char *at, uint8_t protocol, uint16_t id, uint16_t fragment_bits, size_t bytes)
{
    struct sockaddr_in own = address_of("own", 0), peer = address_of("peer", 0);
    struct iphdr ip = {.version = 4,
                       .ihl = 5,
                       .tot_len = htons((uint16_t)(sizeof ip + bytes)),
                       .id = htons(id),
                       .frag_off = htons(fragment_bits),
                       .ttl = 64,
                       .protocol = protocol,
                       .saddr = own.sin_addr.s_addr,
                       .daddr = peer.sin_addr.s_addr};
    ip.check = checksum(&ip, sizeof ip);
    memcpy(at, &ip, sizeof ip);
    return sizeof ip + bytes;
}

/* The whole of a datagram to port 53, 16 bytes. */
static size_t put_udp(unsigned char *at)
{
    struct udphdr udp = {.source = htons(5353), .dest = htons(53), .len = htons(16)};
    memset(at + 20 + sizeof udp, 'x', 16 - sizeof udp);
    memcpy(at + 20, &udp, sizeof udp);
    return put_ip(at, IPPROTO_UDP, 77, 0, 16);
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
    if (raw_answered(&raw, ETH_P_ARP, 0))
        won(a, "ARP was answered");
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
    if (raw_answered(&raw, ETH_P_IP, IPPROTO_ICMP))
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
    return raw_answered(raw, ETH_P_IP, IPPROTO_ICMP);
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
#define SYN_BYTES (14u + 20u + 20u)

/* From a port and with a sequence number of its own: each is the beginning of another connection. */
static void put_syn(unsigned char *frame, uint32_t number)
{
    struct sockaddr_in own = address_of("own", 0), peer = address_of("peer", 0);
    struct {
        uint32_t source, target;
        uint16_t protocol, bytes;
        struct tcphdr tcp;
    } pseudo = {.source = own.sin_addr.s_addr,
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
    (void)put_ip(frame + 14, IPPROTO_TCP, (uint16_t)number, IP_DF, sizeof pseudo.tcp);
    memcpy(frame + 34, &pseudo.tcp, sizeof pseudo.tcp);
}

static void syn_flood(struct attempt *a)
{
    static unsigned char frames[FRAMES_AT_ONCE][SYN_BYTES];
    struct mmsghdr messages[FRAMES_AT_ONCE] = {0};
    struct iovec pieces[FRAMES_AT_ONCE];
    struct raw raw;
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
            put_syn(frames[i], (uint32_t)sent + i);
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
    {"N04", packet_socket}, {"N04b", ask_for_addresses}, {"N04c", tagged_frames},
    {"N09b", fragments},    {"N09c", syn_flood},         {"N09d", overlapping_fragments},
    {NULL, NULL},
};
