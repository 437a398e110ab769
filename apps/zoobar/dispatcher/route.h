/*
 * route.h - which service answers which path: regular expressions, compiled once.  Pure (but for malloc in regcomp).
 *
 *  I1  The first pattern that matches the decoded path wins.
 *  I2  After the start the table does not change.
 *
 * Patterns are POSIX extended regular expressions of the operator's configuration (trusted); paths come from outside:
 * patterns with back-references, for which matching can take exponential time, are refused.
 *
 * Callers: dispatcher.c (adds), connection.c (finds).
 */
#ifndef ZOOBAR_DISPATCHER_ROUTE_H
#define ZOOBAR_DISPATCHER_ROUTE_H

#include <regex.h>
#include <stddef.h>

#include "rpc/base/err.h"

#define ROUTES_MAX 256u /* each costs a match per request */

struct rpc_peer;

struct route {
    regex_t pattern;
    struct rpc_peer *peer; /* who answers; NULL for a redirect */
    const char *redirect;  /* where to; NULL otherwise.  Borrowed */
};

struct route_table {
    struct route routes[ROUTES_MAX];
    size_t count;
};

/* Adds a route to the end: exactly one of peer and redirect.  -EINVAL: the pattern is wrong; e names it and says why.
 */
int route_add(struct route_table *table, const char *pattern, struct rpc_peer *peer, const char *redirect,
              struct err *e);

/* NULL when no pattern matches. */
const struct route *route_find(const struct route_table *table, const char *path);

void route_table_done(struct route_table *table);

#endif
