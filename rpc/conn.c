/*
 * conn.c - frames over one connection, in both directions, with memory that has a limit.
 *
 * Receiving: one RECV at a time into one buffer, which never exceeds what the largest allowed frame needs.  No RECV
 * is armed while there is no room, or while the peer does not take what we have for it (is_paused): then TCP makes the
 * peer wait, and we hold no more for it. Sending: frames gather in one buffer; when nothing is in flight, all of it
 * goes out with one SEND while the next ones gather in the other: usually in the very submission that waits for what
 * comes next (ring_send_at_once).  A peer that does not take one SEND within SEND_STALL_MS is broken off.
 *
 * Invariants
 *  I1  in_at <= in.used <= in.room <= FRAME_HEADER_BYTES + message_bytes_max (or RECEIVE_BYTES_USUAL, if that is more).
 *  I2  gather.used <= the larger of SEND_GATHER_BYTES and one frame, plus one error reply and the cancels of the calls
 *      outstanding.
 *  I3  Buffers of operations in flight are freed only in conn_freed(), after their completions.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "rpc/base/weaken.h"
#include "rpc/runtime.h"

/* Makes room for `need` bytes in all.  0 or -ENOMEM. */
static int grow(struct bytes *bytes, size_t need)
{
    if (need <= bytes->room)
        return 0;
    size_t room = bytes->room ? bytes->room : 1024;
    while (room < need)
        room *= 2;
    uint8_t *at = realloc(bytes->at, room);
    if (!at)
        return -ENOMEM;
    bytes->at = at;
    bytes->room = (uint32_t)room;
    return 0;
}

static void drop(struct bytes *bytes)
{
    free(bytes->at);
    *bytes = (struct bytes){0};
}

static void mark_dirty(struct conn *conn)
{
    if (!conn->is_dirty) {
        conn->is_dirty = true;
        list_append(&rt.dirty, &conn->dirty_node);
    }
}

static void mark_readable(struct conn *conn)
{
    if (!conn->is_readable) {
        conn->is_readable = true;
        list_append(&rt.readable, &conn->readable_node);
    }
}

static void on_stall(struct timer *timer)
{
    conn_break(OWNER_OF(timer, struct conn, stall));
}

void conn_init(struct conn *conn, uint32_t slot, enum endpoint_role role)
{
    conn->endpoint.slot = slot;
    conn->endpoint.role = role;
    conn->stall.fire = on_stall;
    list_init(&conn->dirty_node);
    list_init(&conn->readable_node);
    list_init(&conn->room_waiters);
    list_init(&conn->calls);
    list_init(&conn->pending_node);
    rt.endpoints[slot] = &conn->endpoint;
}

/* ---- receiving ---- */

/* Arms the next RECV, with room for at least `need` bytes in all. */
static void receive(struct conn *conn, size_t need)
{
    struct bytes *in = &conn->in;
    if (conn->in_at > 0) {
        /* What is left is the start of one frame: it moves to the front. */
        memmove(in->at, in->at + conn->in_at, in->used - conn->in_at);
        in->used -= conn->in_at;
        conn->in_at = 0;
    }
    if (in->used == 0 && in->room > RECEIVE_BYTES_USUAL)
        drop(in); /* one large frame was here; the next is a small one again */
    if (need < RECEIVE_BYTES_IDLE)
        need = RECEIVE_BYTES_IDLE;
    if (in->room < need) {
        uint8_t *at = realloc(in->at, need);
        if (!at) {
            conn_break(conn);
            return;
        }
        in->at = at;
        in->room = (uint32_t)need;
    }
    ring_recv(&conn->endpoint, in->at + in->used, in->room - in->used);
}

void conn_open(struct conn *conn, uint32_t generation)
{
    conn->endpoint.state = ENDPOINT_OPEN;
    conn->generation = generation;
    conn->is_paused = conn->is_doomed = false;
    conn->opened_ms = rt.now_ms;
    if (conn->link)
        receive(conn, 0);
}

void conn_received(struct conn *conn, int32_t result)
{
    if (result == -EINTR || result == -EAGAIN) {
        receive(conn, conn->in.used + 1);
        return;
    }
    if (result <= 0) {
        conn_break(conn); /* the end, or a reset: a frame that was cut by it is no offence of the peer */
        return;
    }
    conn->in.used += (uint32_t)result;
    mark_readable(conn);
}

static void parse(struct conn *conn)
{
    size_t need = 0;
    bool was_full = conn->in.used == conn->in.room;
    while (conn->endpoint.state == ENDPOINT_OPEN) {
        if (conn->endpoint.role == ROLE_SERVED && conn->gather.used > SEND_PAUSE_BYTES) {
            conn->is_paused = true; /* conn_sent() brings us back */
            return;
        }
        struct frame frame;
        long used = frame_decode(conn->in.at + conn->in_at, conn->in.used - conn->in_at,
                                 weakened("frame-length") ? UINT32_MAX : rt.contract->message_bytes_max, &frame, &need);
        if (used == 0)
            break;
        if (used < 0) {
            conn_broken(conn);
            return;
        }
        conn->in_at += (uint32_t)used;
        int result = conn->endpoint.role == ROLE_SERVED ? server_frame(conn, &frame) : client_frame(conn, &frame);
        if (result < 0) {
            conn_broken(conn);
            return;
        }
    }
    if (conn->endpoint.state != ENDPOINT_OPEN)
        return;
    if (was_full && conn->in.room < RECEIVE_BYTES_USUAL && need < conn->in.room * 2)
        need = conn->in.room * 2; /* there was more to be had */
    receive(conn, need);
}

void conns_parse(void)
{
    struct list *node;
    while ((node = list_take(&rt.readable))) {
        struct conn *conn = OWNER_OF(node, struct conn, readable_node);
        conn->is_readable = false;
        parse(conn);
    }
}

/* ---- sending ---- */

bool conn_has_room(const struct conn *conn, size_t payload_bytes)
{
    return conn->gather.used == 0 || conn->gather.used + FRAME_HEADER_BYTES + payload_bytes <= SEND_GATHER_BYTES;
}

uint8_t *conn_append(struct conn *conn, const struct frame *frame)
{
    size_t bytes = (size_t)FRAME_HEADER_BYTES + frame->payload_bytes;
    mark_dirty(conn);
    if (conn->is_doomed || grow(&conn->gather, conn->gather.used + bytes) < 0) {
        conn->is_doomed = true;
        return NULL;
    }
    uint8_t *at = conn->gather.at + conn->gather.used;
    frame_encode(at, frame);
    conn->gather.used += (uint32_t)bytes;
    return at + FRAME_HEADER_BYTES;
}

static void send_rest(struct conn *conn)
{
    if (!conn->stall.place)
        timer_set(&rt.timers, &conn->stall, rt.now_ms + SEND_STALL_MS);
    ring_send(&conn->endpoint, conn->flight.at + conn->flight_at, conn->flight.used - conn->flight_at);
}

static void flush(struct conn *conn)
{
    if (conn->endpoint.state != ENDPOINT_OPEN || conn->flight.used > 0)
        return; /* in flight: its completion comes back here */
    if (conn->is_doomed) {
        conn_break(conn);
        return;
    }
    if (conn->gather.used == 0)
        return;
    struct bytes empty = conn->flight;
    conn->flight = conn->gather;
    conn->gather = empty;
    conn->flight_at = 0;
    /* Usually the peer takes all of it at once, and nobody waits for that. */
    bool is_awaited = conn->is_paused || rt.is_stopping || !list_is_empty(&conn->room_waiters);
    if (is_awaited || !ring_send_at_once(&conn->endpoint, conn->flight.at, conn->flight.used))
        send_rest(conn);
}

void conns_flush(void)
{
    struct list *node;
    while ((node = list_take(&rt.dirty))) {
        struct conn *conn = OWNER_OF(node, struct conn, dirty_node);
        conn->is_dirty = false;
        flush(conn);
    }
}

void conn_sent(struct conn *conn, int32_t result)
{
    if (result < 0 && result != -EINTR && result != -EAGAIN) {
        conn_break(conn);
        return;
    }
    if (result > 0)
        conn->flight_at += (uint32_t)result;
    if (conn->flight_at < conn->flight.used) {
        send_rest(conn);
        return;
    }
    conn->flight.used = conn->flight_at = 0;
    timer_clear(&rt.timers, &conn->stall);
    if (conn->flight.room > OUT_KEEP_BYTES)
        drop(&conn->flight);
    if (list_is_empty(&conn->room_waiters)) {
        mark_dirty(conn); /* more may gather until the end of this turn */
    } else {
        flush(conn);
        tasks_wake_all(&conn->room_waiters, 0);
    }
    if (conn->is_paused) {
        conn->is_paused = false;
        mark_readable(conn);
    }
}

bool conns_are_flushed(void)
{
    for (uint32_t slot = CONTRACT_SLOT_FIRST; slot < rt.contract->slot_count; slot++) {
        const struct conn *conn = &rt.conns[slot];
        if (rt.endpoints[slot] == &conn->endpoint && conn->endpoint.state == ENDPOINT_OPEN &&
            (conn->gather.used > 0 || conn->flight.used > 0))
            return false;
    }
    return true;
}

/* ---- the end ---- */

void conn_break(struct conn *conn)
{
    if (conn->endpoint.state != ENDPOINT_OPEN)
        return;
    if (conn->endpoint.role == ROLE_SERVED)
        server_conn_lost(conn);
    else
        client_conn_lost(conn);
    tasks_wake_all(&conn->room_waiters, -ECONNRESET);
    timer_clear(&rt.timers, &conn->stall);
    endpoint_close(&conn->endpoint);
}

void conn_broken(struct conn *conn)
{
    notes_broken(conn->link);
    conn_break(conn);
}

void conn_freed(struct conn *conn)
{
    list_remove(&conn->dirty_node);
    list_remove(&conn->readable_node);
    conn->is_dirty = conn->is_readable = false;
    drop(&conn->in);
    drop(&conn->gather);
    drop(&conn->flight);
    conn->in_at = conn->flight_at = 0;
    uint64_t held_ms = rt.now_ms - conn->opened_ms;
    if (conn->endpoint.role == ROLE_CALLING)
        link_wire_freed(conn->link, held_ms);
    else if (conn->link && conn->link == operator_link())
        operator_freed(conn);
    else
        listener_arm(conn->link ? (struct listener *)conn->link->wires[conn->link->turn] : conn->ingress->listener);
}
