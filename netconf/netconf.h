/*
 * netconf.h - network namespaces, wires between them, and the filter of each wire.  All plain data.
 *
 * Order of use: net_namespace_new() per service, net_links_make() for all links at once (or one, after a restart),
 * net_link_counters() whenever somebody asks, net_link_forget() in the surviving namespace when a peer is gone; a
 * namespace and its wires go when the last descriptor and process that hold it go.
 *
 * Invariants
 *  I1  A link is one veth pair, created in place in both namespaces: it never shows in the caller's own namespace.
 *  I2  Order on each end: filter and addresses and neighbours first, read back and compared, only then up.
 *  I3  A wire carries IPv4 TCP between its two addresses, to one port of the callee, opened by the caller.  Everything
 *      else is counted and dropped on both ends.
 *  I4  These functions return to the calling thread's own network namespace, whatever fails; else they abort.
 *
 * Callers: hostd (spawn, supervise, ps).  Needs CAP_NET_ADMIN and CAP_SYS_ADMIN over the namespaces.  Blocks on netlink
 * with a deadline of NET_REPLY_MS_MAX.
 */
#ifndef NETCONF_NETCONF_H
#define NETCONF_NETCONF_H

#include <stddef.h>
#include <stdint.h>

#include "rpc/base/err.h"

#define NET_IFNAME_BYTES 16 /* IFNAMSIZ: 15 characters and a NUL */
#define NET_LINK_MTU 65535u
#define NET_REPLY_MS_MAX 5000

struct net_end {
    int netns_fd;                  /* borrowed */
    char ifname[NET_IFNAME_BYTES]; /* the same name may be used at both ends */
    uint32_t address;              /* IPv4, host byte order; the two of a link are one /31 */
};

struct net_link {
    struct net_end caller, callee;
    uint16_t port; /* TCP, on the callee's address */
};

struct net_counters {
    uint64_t packets; /* accepted, arriving at this end */
    uint64_t denied;  /* counted and dropped, arriving at this end */
};

/*
 * Makes a network namespace owned by the calling process's user namespace, and writes every sysctl that a service
 * relies on (forwarding, source routes, rp_filter, route_localnet, tcp_fastopen, congestion control; IPv6 off).
 * The loopback interface stays down.
 */
int net_namespace_new(int *ret_netns_fd, struct err *e);

/*
 * Back to the network namespace that home_fd names, after setns() into a service's.  Tries again for a moment (memory
 * may be short); whoever cannot come back must not go on, for nothing that it did would happen where it should: it says
 * so on stderr and aborts.
 */
void net_namespace_return(int home_fd);

/* Lets programs of the namespace listen on ports below 1,024: there, the wires' filters decide what a port means. */
int net_namespace_let_bind(int netns_fd, struct err *e);

/*
 * Makes count links completely, or none (what was made is removed again, at about 40 ms each: the kernel waits for it).
 * Both ends can send when it returns.  Ends of one namespace should come with the same descriptor: they are handled
 * together.  Names are free: -EEXIST where an interface, or the filter of one that was not forgotten, has it already.
 */
int net_links_make(const struct net_link *links, size_t count, struct err *e);

/* Reads the counters of the end `ifname` of a namespace.  -ENODEV when there is no such link. */
int net_link_counters(int netns_fd, const char *ifname, struct net_counters *ret_counters, struct err *e);

/*
 * Removes what is left of one end of a link (interface, filter).  Nothing left is no error.  The kernel takes 25 to 40
 * ms to remove an interface; where it went already with the peer's namespace (about 50 ms after the last holder) it is
 * 0.1 ms.
 */
int net_link_forget(int netns_fd, const char *ifname, struct err *e);

/* Checks that this kernel and this process can do the above, by doing it in two throw-away namespaces. */
int net_probe(struct err *e);

#endif
