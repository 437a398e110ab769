/* pool.c - the memory of connections.  See pool.h for the invariants. */
#include "apps/zoobar/dispatcher/pool.h"

#include <assert.h>
#include <string.h>

static struct connection connections[POOL_CONNECTIONS_MAX];
static char large_buffers[POOL_LARGE_MAX][HTTP_REQUEST_BUFFER_BYTES];

/* Pieces that were given back, last one first; then those never used, in order. */
static struct connection *free_connections[POOL_CONNECTIONS_MAX];
static char *free_large[POOL_LARGE_MAX];
static uint32_t free_count, used_count, touched_count; /* of connections */
static uint32_t free_large_count, touched_large_count;
static size_t held_bytes; /* of all connections */

struct connection *pool_take(void)
{
    struct connection *c;
    if (free_count)
        c = free_connections[--free_count];
    else if (touched_count < POOL_CONNECTIONS_MAX)
        c = &connections[touched_count++];
    else
        return NULL;
    used_count++;
    c->buffer = c->small;
    c->size = sizeof c->small;
    c->count = 0;
    c->request_count = 0;
    c->held_bytes = 0;
    c->is_large = false;
    return c;
}

static void give_back_large(struct connection *c)
{
    assert(free_large_count < POOL_LARGE_MAX);
    free_large[free_large_count++] = c->buffer;
    c->buffer = c->small;
    c->size = sizeof c->small;
    c->is_large = false;
}

void pool_give_back(struct connection *c)
{
    assert(free_count < POOL_CONNECTIONS_MAX && used_count > 0);
    if (c->is_large)
        give_back_large(c);
    held_bytes -= c->held_bytes;
    c->held_bytes = 0;
    c->stream = NULL;
    free_connections[free_count++] = c;
    used_count--;
}

bool pool_grow(struct connection *c)
{
    if (c->is_large)
        return false;
    char *large;
    if (free_large_count)
        large = free_large[--free_large_count];
    else if (touched_large_count < POOL_LARGE_MAX)
        large = large_buffers[touched_large_count++];
    else
        return false;
    memcpy(large, c->buffer, c->count);
    c->buffer = large;
    c->size = HTTP_REQUEST_BUFFER_BYTES;
    c->is_large = true;
    return true;
}

void pool_shrink(struct connection *c)
{
    if (!c->is_large || c->count > sizeof c->small)
        return;
    memcpy(c->small, c->buffer, c->count);
    give_back_large(c);
}

void pool_hold(struct connection *c, size_t bytes)
{
    c->held_bytes += (uint32_t)bytes;
    held_bytes += bytes;
}

bool pool_may_keep(const struct connection *c)
{
    return c->held_bytes < CONNECTION_HELD_MAX && held_bytes < POOL_HELD_SOFT;
}

bool pool_is_full(void)
{
    return held_bytes >= POOL_HELD_HARD;
}

bool pool_is_crowded(void)
{
    return used_count > POOL_CROWDED_AT || held_bytes >= POOL_HELD_SOFT;
}
