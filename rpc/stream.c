/*
 * stream.c - raw bytes of an ingress: one task per connection, which alone reads and writes it.
 *
 * Reads and writes use the caller's own memory, so each waits for its completion, a cancelled one too, before it
 * returns.  When the task ends nothing is in flight and the slot is free at once.
 * While no fibre is free for an accepted connection, it waits in its slot and its ingress accepts no more.
 */
#include <errno.h>

#include "rpc/base/clock.h"
#include "rpc/runtime.h"

struct rpc_stream {
    struct conn conn; /* keeps the type opaque to services */
};

static void run_stream(void *arg)
{
    struct conn *conn = arg;
    conn->task = task_self();
    rt.service->stream(conn->ingress->contract->name, (struct rpc_stream *)conn);
    conn->task = NULL;
    endpoint_close(&conn->endpoint);
}

static bool start(struct conn *conn)
{
    struct task *task = task_new(&conn->ingress->share, run_stream, conn);
    if (!task)
        return false;
    task->is_served = true;
    rt.served_running++;
    task_ready(task);
    return true;
}

void stream_begin(struct conn *conn)
{
    if (!rt.service->stream || rt.is_stopping)
        endpoint_close(&conn->endpoint);
    else if (!start(conn))
        list_append(&conn->ingress->pending, &conn->pending_node);
}

void streams_serve_pending(void)
{
    for (uint32_t i = 0; i < rt.contract->ingress_count; i++) {
        struct ingress *ingress = &rt.ingresses[i];
        if (list_is_empty(&ingress->pending))
            continue;
        struct conn *conn = OWNER_OF(ingress->pending.next, struct conn, pending_node);
        if (!start(conn))
            return;
        list_remove(&conn->pending_node);
        listener_arm(ingress->listener);
    }
}

void stream_done(struct conn *conn, int32_t result)
{
    conn->result = result;
    conn->has_result = true;
    if (conn->task)
        task_wake(conn->task, 0);
}

void streams_stop(void)
{
    for (uint32_t i = 0; i < rt.contract->ingress_count; i++) {
        struct ingress *ingress = &rt.ingresses[i];
        const struct contract_ingress *quota = ingress->contract;
        while (!list_is_empty(&ingress->pending)) {
            struct conn *conn = OWNER_OF(ingress->pending.next, struct conn, pending_node);
            list_remove(&conn->pending_node);
            endpoint_close(&conn->endpoint);
        }
        /* Those that wait for more from outside get an end; those that answer may finish. */
        for (uint32_t slot = quota->slot_first + 1; slot < quota->slot_first + quota->slot_count; slot++) {
            struct conn *conn = &rt.conns[slot];
            if (conn->task && conn->endpoint.armed & 1u << OP_RECV && conn->task->state == TASK_WAITING &&
                conn->task->is_interruptible)
                task_wake(conn->task, -ECANCELED);
        }
    }
}

/* Waits for the operation that was just queued.  Its result, or why the wait ended before it had one. */
static long finish(struct conn *conn, enum op_kind kind, uint64_t until_ms)
{
    int why = 0;
    while (!conn->has_result) {
        int result = task_wait(why ? NEVER_MS : until_ms, why == 0);
        if (result < 0 && !conn->has_result) {
            why = result;
            ring_cancel(&conn->endpoint, kind); /* its memory is the caller's: it must complete first */
        }
    }
    if (conn->result == -ECANCELED && why)
        return why;
    return conn->result; /* what came in the same moment counts */
}

long rpc_stream_read(struct rpc_stream *stream, void *buffer, size_t bytes, uint32_t timeout_ms)
{
    struct conn *conn = &stream->conn;
    if (rt.is_stopping)
        return -ECANCELED;
    if (bytes == 0)
        return -EINVAL;
    conn->has_result = false;
    ring_recv(&conn->endpoint, buffer, bytes < INT32_MAX ? (uint32_t)bytes : INT32_MAX);
    return finish(conn, OP_RECV, clock_ms() + timeout_ms);
}

int rpc_stream_write(struct rpc_stream *stream, const void *buffer, size_t bytes, uint32_t timeout_ms)
{
    struct conn *conn = &stream->conn;
    const char *at = buffer;
    uint64_t until_ms = clock_ms() + timeout_ms;
    while (bytes > 0) {
        conn->has_result = false;
        ring_send(&conn->endpoint, at, bytes < INT32_MAX ? (uint32_t)bytes : INT32_MAX);
        long sent = finish(conn, OP_SEND, until_ms);
        if (sent < 0)
            return (int)sent;
        at += sent;
        bytes -= (size_t)sent;
    }
    return 0;
}
