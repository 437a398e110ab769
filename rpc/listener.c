/*
 * listener.c - accepting: one ACCEPT at a time per listener, into a free slot of the listener's own quota.
 *
 * The slot is named by us: a caller who opens many connections uses up its own link's slots, nobody else's, and then
 * waits in the listener's backlog.  What is accepted has the identity of the listener: link and generation.
 */
#include <errno.h>

#include "rpc/runtime.h"

static void on_retry(struct timer *timer)
{
    listener_arm(OWNER_OF(timer, struct listener, retry));
}

void listener_init(struct listener *listener, uint32_t slot, struct link *link, struct ingress *ingress)
{
    listener->endpoint.slot = slot;
    listener->endpoint.role = ROLE_LISTENER;
    listener->link = link;
    listener->ingress = ingress;
    listener->retry.fire = on_retry;
    rt.endpoints[slot] = &listener->endpoint;
}

static struct conn *find_free(const struct listener *listener)
{
    /* The first two slots of a link in are its listeners, the first of an ingress is. */
    uint32_t first = listener->link ? listener->link->contract->slot_first : listener->ingress->contract->slot_first;
    uint32_t count = listener->link ? listener->link->contract->slot_count : listener->ingress->contract->slot_count;
    for (uint32_t slot = first + (listener->link ? 2 : 1); slot < first + count; slot++)
        if (rt.conns[slot].endpoint.state == ENDPOINT_FREE)
            return &rt.conns[slot];
    return NULL;
}

void listener_arm(struct listener *listener)
{
    if (listener->endpoint.state != ENDPOINT_OPEN || listener->target || rt.is_stopping)
        return;
    if (listener->ingress && !list_is_empty(&listener->ingress->pending))
        return; /* nobody is free to serve the last one */
    struct conn *conn = find_free(listener);
    if (!conn)
        return; /* conn_freed() comes back */
    listener->target = conn;
    conn->endpoint.state = ENDPOINT_AWAITED;
    ring_accept(&listener->endpoint, conn->endpoint.slot);
}

/* A listener that fails for good is asked for anew; what passes is tried again. */
static void failed(struct listener *listener, int32_t result)
{
    if (result == -ECONNABORTED || result == -EINTR) {
        listener_arm(listener); /* that caller gave up; the next one */
    } else if (listener->link &&
               (result == -EINVAL || result == -EBADF || result == -ENOTSOCK || result == -EOPNOTSUPP)) {
        endpoint_close(&listener->endpoint);
    } else {
        timer_set(&rt.timers, &listener->retry, rt.now_ms + ACCEPT_PAUSE_MS);
    }
}

void listener_accepted(struct listener *listener, int32_t result)
{
    struct conn *conn = listener->target;
    listener->target = NULL;
    if (result < 0) {
        conn->endpoint.state = ENDPOINT_FREE;
        if (listener->endpoint.state == ENDPOINT_OPEN)
            failed(listener, result);
        else if (listener->link)
            listener_arm((struct listener *)listener->link->wires[listener->link->turn]); /* a slot is free again */
        return;
    }
    if (listener->endpoint.state != ENDPOINT_OPEN) {
        conn->endpoint.state = ENDPOINT_OPEN; /* it came in by a listener that is given up: nobody to serve */
        endpoint_close(&conn->endpoint);
        return;
    }
    conn_open(conn, listener->generation);
    if (listener->ingress)
        stream_begin(conn);
    listener_arm(listener);
}

void listener_freed(struct listener *listener)
{
    timer_clear(&rt.timers, &listener->retry);
    if (listener->link)
        link_wire_freed(listener->link, WIRE_STEADY_MS);
}
