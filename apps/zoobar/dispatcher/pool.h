/*
 * pool.h - the memory of connections: a fixed number of small ones, and fewer large buffers for large bodies.
 *
 *  I1  Nothing here is allocated after the start: a flood of connections finds what there is and no more.  Pages
 *      that were never used cost nothing; the piece given back last is taken first: few connections touch few pages.
 *  I2  A connection holds at most one large buffer, and only while it takes in one request.
 *  I3  What answers hold in the memory of connections (a fibre's arena, emptied when the connection ends) is counted.
 *      Above POOL_HELD_SOFT connections end after their answer and clients must take answers quickly; above
 *      POOL_HELD_HARD answers are dropped: clients that ask for much and read nothing cannot fill the memory.
 *
 * Caller: connection.c.
 */
#ifndef ZOOBAR_DISPATCHER_POOL_H
#define ZOOBAR_DISPATCHER_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "apps/zoobar/dispatcher/http_reply.h"
#include "apps/zoobar/dispatcher/http_request.h"

#define POOL_CONNECTIONS_MAX 512u                          /* as many as hostd gives slots to an ingress */
#define POOL_CROWDED_AT 384u                               /* from here on nobody may keep others waiting for long */
#define POOL_LARGE_MAX 96u                                 /* large bodies at once: 8 MiB; more get 503 */
#define POOL_SMALL_BYTES (HTTP_HEAD_BYTES_MAX + 4096u)     /* the longest head, and most forms */
#define POOL_OUT_BYTES (HTTP_REPLY_HEAD_BYTES_MAX + 2048u) /* the longest head of a reply, and small bodies */
#define POOL_HELD_SOFT (12u << 20)                         /* I3, of all connections */
#define POOL_HELD_HARD (20u << 20)
#define CONNECTION_HELD_MAX (1u << 20) /* I3, of one: a quarter of RPC_ARENA_BYTES_MAX */

_Static_assert(POOL_OUT_BYTES > HTTP_REPLY_HEAD_BYTES_MAX, "the longest head of a reply fits");

struct rpc_stream;

struct connection {
    struct rpc_stream *stream;
    char *buffer; /* small, or a large one */
    size_t size, count;
    uint32_t request_count;
    uint32_t held_bytes; /* counted for I3 */
    bool is_large;
    struct http_request request;
    char path[HTTP_TARGET_BYTES_MAX + 1]; /* of the request, decoded */
    char out[POOL_OUT_BYTES];
    char small[POOL_SMALL_BYTES];
};

/* NULL when all are in use.  Ready for the first request. */
struct connection *pool_take(void);
void pool_give_back(struct connection *connection);

/* Replaces the small buffer by a large one, with its contents.  False when none is free. */
bool pool_grow(struct connection *connection);
/* The reverse, if the contents fit. */
void pool_shrink(struct connection *connection);

/* Counts what an answer holds until the connection ends. */
void pool_hold(struct connection *connection, size_t bytes);
/* The connection may take another answer into its memory. */
bool pool_may_keep(const struct connection *connection);
bool pool_is_full(void); /* above POOL_HELD_HARD */

/* Many connections, or much held by answers: those who idle or dawdle make room. */
bool pool_is_crowded(void);

#endif
