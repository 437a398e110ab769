/*
 * connection.h - serves one connection from outside: requests in, calls to the services that the routes name, replies
 * out.
 *
 * Caller: dispatcher.c, in a fibre per connection.
 */
#ifndef ZOOBAR_DISPATCHER_CONNECTION_H
#define ZOOBAR_DISPATCHER_CONNECTION_H

#include <stdint.h>

#include "apps/zoobar/dispatcher/route.h"

#define CONNECTION_REQUESTS_MAX 1000u /* then it is closed: a client may open another, in its turn */

/* Times in ms.  Those in brackets hold while the pool is crowded, so that idle and slow clients make room. */
struct connection_limits {
    uint32_t idle_ms;   /* until the first byte of a request [1000] */
    uint32_t head_ms;   /* from that byte to the end of the head, however the bytes trickle in [3000] */
    uint32_t body_ms;   /* from there to the end of the body [5000] */
    uint32_t answer_ms; /* for the service to answer */
    uint32_t send_ms;   /* for the client to take the answer [3000] */
};

struct rpc_stream;

/* Blocks the fibre until the connection is to be closed.  Both tables are borrowed. */
void connection_serve(struct rpc_stream *stream, const struct route_table *routes,
                      const struct connection_limits *limits);

#endif
