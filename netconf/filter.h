/*
 * filter.h - the packet filter of a link's end: one table `hostd` per namespace, one chain per interface, on ingress.
 *
 * Order of use: filter_add() while the interface is down, filter_counters() whenever, filter_remove() after the
 * interface is gone.  Sockets are NETLINK_NETFILTER ones inside the namespace.
 *
 * Invariants
 *  I1  A chain's default is drop, and it holds two rules: accept what the link is for, counted; drop the rest, counted.
 *  I2  filter_add() returns 0 only after the kernel, asked again, listed exactly what was sent.
 *  I3  Chains of other interfaces are never touched.
 *
 * Private to netconf.
 */
#ifndef NETCONF_FILTER_H
#define NETCONF_FILTER_H

#include "netconf/netconf.h"
#include "netconf/netlink.h"

struct filter_end {
    const char *ifname;
    uint32_t own, peer; /* IPv4, host byte order */
    uint16_t port;      /* the callee's */
    bool is_caller;     /* this end opens connections; otherwise it is called */
};

/* Adds the chains of all ends in one transaction, and reads them back.  On failure none of them is there; *ret_item is
 * the end that failed.  -EEXIST: an interface of that name has a chain already. */
int filter_add(struct netlink *socket, struct netlink_batch *batch, const struct filter_end *ends, size_t count,
               size_t *ret_item, struct err *e);

/* -ENODEV: no such interface, or it has no chain. */
int filter_counters(struct netlink *socket, struct netlink_batch *batch, const char *ifname,
                    struct net_counters *ret_counters, struct err *e);

/* Removes the chain of an interface.  No chain is no error. */
int filter_remove(struct netlink *socket, struct netlink_batch *batch, const char *ifname, struct err *e);

#endif
