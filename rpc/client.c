/*
 * client.c - calls that go out: all of a link over one connection, matched by id.
 *
 * Invariants
 *  I1  An id is taken when the request is queued and free when its answer came, even if the caller gave up in between.
 *      So an answer with an id that is not taken is an offence of the callee, never a late one.
 *  I2  An id holds its place in the table and a running number: no two calls outstanding have the same.
 */
#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rpc/base/clock.h"
#include "rpc/codec.h"
#include "rpc/runtime.h"

#define ID_PLACE_BITS 12u
_Static_assert(1u << ID_PLACE_BITS == OUTSTANDING_MAX, "an id holds a place in the table");

struct rpc_peer {
    struct link link; /* a peer is a link out; this type keeps it opaque to services */
};

struct rpc_peer *rpc_peer(const char *name)
{
    for (uint32_t i = 0; i < rt.contract->link_count; i++)
        if (rt.links[i].contract->direction == LINK_OUT && strcmp(rt.links[i].contract->peer, name) == 0)
            return (struct rpc_peer *)&rt.links[i];
    return NULL;
}

/* ---- ids ---- */

static bool grow_ids(struct id_table *ids)
{
    uint32_t count = ids->count ? ids->count * 2 : 16;
    if (count > OUTSTANDING_MAX)
        return false;
    struct id_entry *entries = realloc(ids->entries, count * sizeof *entries);
    if (!entries)
        return false;
    for (uint32_t i = ids->count; i < count; i++)
        entries[i] = (struct id_entry){.next_free = i + 1};
    ids->entries = entries;
    ids->free_head = ids->count; /* called only when none is free */
    ids->count = count;
    return true;
}

/* false: too many are outstanding. */
static bool take_id(struct id_table *ids, struct task *task, uint32_t *ret_id)
{
    if (ids->used == ids->count && !grow_ids(ids))
        return false;
    uint32_t place = ids->free_head;
    struct id_entry *entry = &ids->entries[place];
    ids->free_head = entry->next_free;
    ids->used++;
    entry->task = task;
    entry->is_used = true;
    entry->id = *ret_id = ids->turn++ << ID_PLACE_BITS | place;
    return true;
}

static struct id_entry *find_id(struct id_table *ids, uint32_t id)
{
    uint32_t place = id & (OUTSTANDING_MAX - 1);
    if (place >= ids->count || !ids->entries[place].is_used || ids->entries[place].id != id)
        return NULL;
    return &ids->entries[place];
}

static void free_id(struct id_table *ids, struct id_entry *entry)
{
    entry->is_used = false;
    entry->task = NULL;
    entry->next_free = ids->free_head;
    ids->free_head = (uint32_t)(entry - ids->entries);
    ids->used--;
}

/* ---- answers ---- */

int client_frame(struct conn *conn, const struct frame *frame)
{
    struct id_table *ids = &conn->link->ids;
    struct id_entry *entry = find_id(ids, frame->id);
    if ((frame->type != FRAME_REPLY && frame->type != FRAME_ERROR) || !entry)
        return -EPROTO;
    struct task *task = entry->task;
    free_id(ids, entry);
    if (task) {
        task->reply = frame; /* of the buffer that is parsed right now: it decodes before it waits again */
        task_resume_now(task, 0);
    }
    return 0;
}

void client_conn_lost(struct conn *conn)
{
    struct id_table *ids = &conn->link->ids;
    for (uint32_t i = 0; i < ids->count; i++) {
        struct id_entry *entry = &ids->entries[i];
        if (!entry->is_used)
            continue;
        struct task *task = entry->task;
        free_id(ids, entry);
        if (task)
            task_wake(task, -ECONNRESET);
    }
}

/* ---- the call ---- */

static enum rpc_status __attribute__((format(printf, 3, 4)))
fail(struct task *task, enum rpc_status status, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(task->error_text, sizeof task->error_text, format, args); /* cut as every text of an error */
    va_end(args);
    return status;
}

/* Why a wait of a call ended, as its status. */
static enum rpc_status ended(struct task *task, const struct link *link, int result)
{
    const char *peer = link->contract->peer;
    if (result == -ETIMEDOUT)
        return fail(task, RPC_DEADLINE_EXCEEDED, "the deadline passed before %s answered", peer);
    if (result == -ECANCELED)
        return fail(task, RPC_CANCELLED, "the call was cancelled");
    return fail(task, RPC_UNAVAILABLE, "the connection to %s broke", peer);
}

static struct conn *wired(const struct link *link)
{
    struct conn *conn = (struct conn *)link->wires[link->turn];
    return conn->endpoint.state == ENDPOINT_OPEN && !conn->is_doomed ? conn : NULL;
}

/*
 * Waits until there is a connection with room for the request.  On RPC_OK *ret_conn is it, valid until the next wait.
 * *now_ms is the time, before and after: read again only where it had to wait.
 */
static enum rpc_status wait_for_wire(struct task *task, struct link *link, size_t bytes, uint64_t *now_ms,
                                     uint64_t deadline_ms, struct conn **ret_conn)
{
    uint64_t wire_until_ms = *now_ms + WIRE_WAIT_MS;
    for (;;) {
        struct conn *conn = wired(link);
        if (conn && conn_has_room(conn, bytes)) {
            *ret_conn = conn;
            return RPC_OK;
        }
        list_append(conn ? &conn->room_waiters : &link->wire_waiters, &task->node);
        uint64_t until_ms = conn || deadline_ms < wire_until_ms ? deadline_ms : wire_until_ms;
        int result = task_wait(until_ms, true);
        *now_ms = clock_ms();
        if (result == -ETIMEDOUT && until_ms < deadline_ms)
            return fail(task, RPC_UNAVAILABLE, "no wire to %s", link->contract->peer);
        if (result == -ETIMEDOUT || result == -ECANCELED)
            return ended(task, link, result);
    }
}

static void give_up(struct link *link, uint32_t id)
{
    struct id_entry *entry = find_id(&link->ids, id);
    struct conn *conn = wired(link);
    if (!entry || !conn)
        return;
    entry->task = NULL; /* the answer will free it */
    struct frame frame = {.type = FRAME_CANCEL, .id = id};
    (void)conn_append(conn, &frame); /* without payload there is nothing to write */
}

static enum rpc_status take_reply(struct task *task, const struct link *link, const struct rpc_method *method,
                                  ProtobufCMessage **ret_reply)
{
    const struct frame *frame = task->reply;
    task->reply = NULL;
    if (frame->type == FRAME_ERROR)
        return fail(task, (enum rpc_status)frame->status, "%.*s", (int)frame->payload_bytes,
                    (const char *)frame->payload);
    ProtobufCMessage *reply =
        codec_unpack(method->output, method->is_output_flat, rpc_allocator(), frame->payload, frame->payload_bytes);
    if (!reply && task->fibre.is_arena_full)
        return fail(task, RPC_RESOURCE_EXHAUSTED, "the reply of %s takes too much memory", link->contract->peer);
    if (!reply)
        return fail(task, RPC_INTERNAL, "%s answered with what is no %s", link->contract->peer, method->output->name);
    *ret_reply = reply;
    return RPC_OK;
}

enum rpc_status rpc_invoke(struct rpc_peer *peer, const struct rpc_method *method, const ProtobufCMessage *request,
                           ProtobufCMessage **ret_reply)
{
    struct task *task = task_self();
    assert(task); /* calls are made in fibres */
    task->error_text[0] = '\0';
    if (!peer)
        return fail(task, RPC_UNAVAILABLE, "no link to the service that has %s", method->name);
    struct link *link = &peer->link;

    uint64_t now_ms = clock_coarse_ms(); /* timers, not this, end the call: a callee may hear of a tick too much */
    if (now_ms < rt.now_ms)
        now_ms = rt.now_ms;
    uint64_t deadline_ms = task->deadline_ms ? task->deadline_ms : now_ms + RPC_DEADLINE_MS_DEFAULT;
    if (deadline_ms > task->end_ms)
        deadline_ms = task->end_ms;
    if (task->is_cancelled)
        return ended(task, link, -ECANCELED);
    if (deadline_ms <= now_ms)
        return ended(task, link, -ETIMEDOUT);
    size_t bytes = codec_size(request, method->is_input_flat);
    if (bytes > rt.contract->message_bytes_max)
        return fail(task, RPC_RESOURCE_EXHAUSTED, "the request has %zu bytes, %u are allowed", bytes,
                    rt.contract->message_bytes_max);

    struct conn *conn = NULL;
    enum rpc_status status = wait_for_wire(task, link, bytes, &now_ms, deadline_ms, &conn);
    if (status != RPC_OK)
        return status;
    struct frame frame = {
        .type = FRAME_REQUEST,
        .method = method->id,
        .deadline_ms = deadline_ms > now_ms ? (uint32_t)(deadline_ms - now_ms) : 1,
        .payload_bytes = (uint32_t)bytes,
    };
    if (!take_id(&link->ids, task, &frame.id))
        return fail(task, RPC_RESOURCE_EXHAUSTED, "too many calls to %s are not answered yet", link->contract->peer);
    uint8_t *at = conn_append(conn, &frame);
    if (!at) {
        free_id(&link->ids, find_id(&link->ids, frame.id));
        return fail(task, RPC_RESOURCE_EXHAUSTED, "no memory for the request");
    }
    codec_pack(request, method->is_input_flat, at);
    notes_called(link);

    int result = task_wait(deadline_ms, true);
    if (result == 0)
        return take_reply(task, link, method, ret_reply);
    if (result != -ECONNRESET)
        give_up(link, frame.id);
    return ended(task, link, result);
}
