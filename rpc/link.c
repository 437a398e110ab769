/*
 * link.c - the wires of a link and their renewal.
 *
 * A wire is a connection (link out) or a listener (link in).  PID 1 makes it and puts it into the slot that we name;
 * the two slots of a link are used in turn, one at a time:
 *
 *   wired ──it broke, or link_renewed()──▶ CLOSING ──last operation completed──▶ link_wire_freed() ──pause──▶
 *   NOTE_WANT for the other slot ──▶ AWAITED ──link_wire_came()──▶ wired
 *
 * Invariant I1: what an older generation's wire brings is never served under a newer generation's name: connections
 * keep the generation of their listener, and link_renewed() closes all of an older one.
 */
#include <errno.h>

#include "rpc/base/weaken.h"
#include "rpc/runtime.h"

static struct endpoint *current(const struct link *link)
{
    return link->wires[link->turn];
}

static bool is_out(const struct link *link)
{
    return link->contract->direction == LINK_OUT;
}

static void set_wire(struct link *link, uint32_t generation)
{
    struct endpoint *endpoint = current(link);
    if (is_out(link)) {
        conn_open((struct conn *)endpoint, generation);
        tasks_wake_all(&link->wire_waiters, 0);
    } else {
        endpoint->state = ENDPOINT_OPEN;
        ((struct listener *)endpoint)->generation = generation;
    }
}

static void want(struct link *link)
{
    current(link)->state = ENDPOINT_AWAITED;
    notes_want(link);
}

void links_start(void)
{
    for (uint32_t i = 0; i < rt.contract->link_count; i++) {
        struct link *link = &rt.links[i];
        if (link->contract->is_wired)
            set_wire(link, link->generation);
        else
            want(link);
    }
}

void link_listen(struct link *link)
{
    if (!is_out(link))
        listener_arm((struct listener *)current(link));
}

void link_want_fire(struct timer *timer)
{
    struct link *link = OWNER_OF(timer, struct link, want_timer);
    if (current(link)->state == ENDPOINT_FREE && !rt.is_stopping)
        want(link);
}

void link_wire_freed(struct link *link, uint64_t held_ms)
{
    if (current(link)->state != ENDPOINT_FREE || rt.is_stopping)
        return; /* it was the one that is not used */
    link->turn ^= 1;
    if (current(link)->state != ENDPOINT_FREE)
        return; /* still drains: comes back here */
    /* A peer that takes connections only to close them must not keep PID 1 busy. */
    if (held_ms >= WIRE_STEADY_MS)
        link->pause_ms = 0;
    else
        link->pause_ms = link->pause_ms ? link->pause_ms * 2 : 1;
    if (link->pause_ms > WIRE_PAUSE_MS_MAX)
        link->pause_ms = WIRE_PAUSE_MS_MAX;
    if (link->pause_ms <= 1)
        want(link);
    else
        timer_set(&rt.timers, &link->want_timer, rt.now_ms + link->pause_ms);
}

/* Connections that came in by a listener of an older generation than the link's are nobody's any more. */
static void close_older_connections(struct link *link)
{
    const struct contract_link *quota = link->contract;
    for (uint32_t slot = quota->slot_first + 2; slot < quota->slot_first + quota->slot_count; slot++) {
        struct conn *conn = &rt.conns[slot];
        if (conn->endpoint.state == ENDPOINT_OPEN && conn->generation < link->generation && !weakened("stale"))
            conn_break(conn);
    }
}

void link_renewed(struct link *link, uint32_t generation)
{
    if (generation <= link->generation)
        return;
    link->generation = generation;
    link->pause_ms = 0;
    if (!is_out(link))
        close_older_connections(link);
    struct endpoint *endpoint = current(link);
    if (endpoint->state == ENDPOINT_OPEN) {
        if (is_out(link))
            conn_break((struct conn *)endpoint);
        else
            endpoint_close(endpoint);
    } else if (endpoint->state == ENDPOINT_FREE) {
        timer_clear(&rt.timers, &link->want_timer); /* the pause was for the old one */
        want(link);
    }
}

void link_wire_came(uint64_t user_data, int32_t result)
{
    uint32_t index = wire_link(user_data), slot = wire_slot(user_data), generation = wire_generation(user_data);
    if (index == OPERATOR_LINK && result >= 0)
        operator_came(user_data);
    if (index >= rt.contract->link_count || result < 0)
        return;
    struct link *link = &rt.links[index];
    struct endpoint *endpoint = current(link);
    if (endpoint->slot != slot || endpoint->state != ENDPOINT_AWAITED)
        return; /* not asked for; a slot's file goes when the slot is next freed */
    if (generation < link->generation) {
        endpoint->state = ENDPOINT_OPEN; /* sent before the renewal: closed, and the current one asked for */
        endpoint_close(endpoint);
        return;
    }
    if (generation > link->generation) {
        link->generation = generation; /* the wire overtook its note */
        if (!is_out(link))
            close_older_connections(link);
    }
    set_wire(link, generation);
    if (rt.is_listening)
        link_listen(link);
}
