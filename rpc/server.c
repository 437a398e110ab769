/*
 * server.c - calls that come in: who may ask what, one task per call, one answer per call.
 *
 * Invariants
 *  I1  The link's allow list is asked before anything else of a request is looked at: what is not on it does not even
 *      reach the decoder of its payload.
 *  I2  A caller's name is the peer of the link, its generation that of the listener that its connection came in by.
 *      Nothing that came over the wire takes part.
 *  I3  Each request is answered by exactly one frame, unless its connection is gone.
 *  I4  (connection, call id) names one running call.  A cancel reaches only calls of its own connection.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rpc/base/clock.h"
#include "rpc/base/hash.h"
#include "rpc/base/log.h"
#include "rpc/base/own.h"
#include "rpc/base/weaken.h"
#include "rpc/codec.h"
#include "rpc/runtime.h"

#define CALL_BUCKETS 1024u /* a power of two; fibres_max is of that order, so chains are short */

struct rpc_call {
    struct task *task;
    struct conn *conn; /* NULL: it is gone, nobody waits for the answer */
    struct list conn_node, bucket_node;
    uint32_t id;
    struct rpc_caller caller;
    char text[FRAME_TEXT_BYTES_MAX + 1];
};

/* What a new task takes over from the frame, while the frame's bytes are still there. */
struct request {
    struct conn *conn;
    const struct frame *frame;
    const struct served_method *method;
};

static struct list buckets[CALL_BUCKETS];

/* ---- methods ---- */

static int by_id(const void *a, const void *b)
{
    uint32_t x = ((const struct served_method *)a)->id, y = ((const struct served_method *)b)->id;
    return x < y ? -1 : x > y;
}

int server_init(struct err *e)
{
    for (uint32_t i = 0; i < CALL_BUCKETS; i++)
        list_init(&buckets[i]);
    size_t count = 0;
    for (size_t i = 0; i < rt.service->interface_count; i++)
        count += rt.service->interfaces[i].method_count;
    rt.methods = calloc(count + 1, sizeof *rt.methods);
    if (!rt.methods)
        return err_set(e, -ENOMEM, "no memory for %zu methods", count);
    for (size_t i = 0; i < rt.service->interface_count; i++) {
        const struct rpc_interface *interface = &rt.service->interfaces[i];
        for (size_t j = 0; j < interface->method_count; j++)
            rt.methods[rt.method_count++] = (struct served_method){
                .id = interface->methods[j].id,
                .place = (uint32_t)j,
                .method = &interface->methods[j],
                .interface = interface,
            };
    }
    qsort(rt.methods, rt.method_count, sizeof *rt.methods, by_id);
    for (uint32_t i = 1; i < rt.method_count; i++)
        if (rt.methods[i].id == rt.methods[i - 1].id)
            return err_set(e, -EEXIST, "methods %s and %s have the same number", rt.methods[i - 1].method->name,
                           rt.methods[i].method->name);
    return 0;
}

static const struct served_method *find_method(uint32_t id)
{
    struct served_method wanted = {.id = id};
    return bsearch(&wanted, rt.methods, rt.method_count, sizeof wanted, by_id);
}

/* ---- answers ---- */

static void answer_error(struct conn *conn, uint32_t id, enum rpc_status status, const char *text)
{
    struct frame frame = {
        .type = FRAME_ERROR, .status = (uint8_t)status, .id = id, .payload_bytes = (uint32_t)strlen(text)};
    uint8_t *at = conn_append(conn, &frame);
    if (at)
        memcpy(at, text, frame.payload_bytes);
}

/* Waits until the peer has taken enough that the answer fits.  false: the connection is gone. */
static bool wait_for_room(struct rpc_call *call, size_t payload_bytes)
{
    while (call->conn && !conn_has_room(call->conn, payload_bytes)) {
        list_append(&call->conn->room_waiters, &call->task->node);
        (void)task_wait(NEVER_MS, false); /* bounded: the connection is broken off after SEND_STALL_MS */
    }
    return call->conn != NULL;
}

static void answer(struct rpc_call *call, enum rpc_status status, const ProtobufCMessage *reply, bool is_flat)
{
    if (call->task->is_cancelled) {
        status = RPC_CANCELLED; /* the caller only wants its id back */
        call->text[0] = '\0';
    } else if ((unsigned)status >= RPC_STATUS_COUNT) {
        status = RPC_UNKNOWN;
    }
    size_t bytes = status == RPC_OK ? codec_size(reply, is_flat) : strlen(call->text);
    if (bytes > rt.contract->message_bytes_max) {
        status = rpc_fail(call, RPC_INTERNAL, "the reply has %zu bytes, %u are allowed", bytes,
                          rt.contract->message_bytes_max);
        bytes = strlen(call->text);
    }
    if (!wait_for_room(call, bytes))
        return;
    if (status != RPC_OK) {
        answer_error(call->conn, call->id, status, call->text);
        return;
    }
    struct frame frame = {.type = FRAME_REPLY, .id = call->id, .payload_bytes = (uint32_t)bytes};
    uint8_t *at = conn_append(call->conn, &frame);
    if (at)
        codec_pack(reply, is_flat, at);
}

/* ---- calls ---- */

static struct list *bucket_of(const struct conn *conn, uint32_t id)
{
    /* Our callers number their calls by place in a table: those of one connection lie side by side, in few lines of
     * the cache.  Who numbers them otherwise makes longer chains for himself; the longest has fibres_max calls. */
    uint32_t slot = weakened("cancel-scope") ? 0 : conn->endpoint.slot;
    return &buckets[(id + (slot * 0x9E3779B9u >> 16)) & (CALL_BUCKETS - 1)];
}

static struct rpc_call *find_call(const struct conn *conn, uint32_t id)
{
    struct list *bucket = bucket_of(conn, id);
    for (struct list *node = bucket->next; node != bucket; node = node->next) {
        struct rpc_call *call = OWNER_OF(node, struct rpc_call, bucket_node);
        if ((call->conn == conn || weakened("cancel-scope")) && call->id == id)
            return call;
    }
    return NULL;
}

static enum rpc_status handle(struct rpc_call *call, const struct request *request, ProtobufCMessage **ret_reply)
{
    const struct served_method *served = request->method;
    const struct rpc_method *method = served->method;
    ProtobufCMessage *message = codec_unpack(method->input, method->is_input_flat, rpc_allocator(),
                                             request->frame->payload, request->frame->payload_bytes);
    if (!message) {
        if (call->task->fibre.is_arena_full)
            return rpc_fail(call, RPC_RESOURCE_EXHAUSTED, "the request takes too much memory");
        return rpc_fail(call, RPC_INVALID_ARGUMENT, "the request is no %s", method->input->name);
    }
    ProtobufCMessage *reply = rpc_alloc(method->output->sizeof_message);
    if (!reply)
        return rpc_fail(call, RPC_RESOURCE_EXHAUSTED, "no memory for the reply");
    protobuf_c_message_init(method->output, reply);
    *ret_reply = reply;
    return served->interface->dispatch(served->interface->handlers, served->place, call, message, reply);
}

static void run_call(void *arg)
{
    const struct request *request = arg; /* valid until we first wait: decoding comes before that */
    struct conn *conn = request->conn;
    const struct rpc_method *method = request->method->method;
    struct rpc_call call; /* not set as a whole: most of it is text, of which one byte counts */
    call.task = task_self();
    call.conn = conn;
    call.id = request->frame->id;
    call.caller = (struct rpc_caller){
        .name = weakened("caller") ? weaken_claim(request->frame->payload, request->frame->payload_bytes)
                                   : conn->link->contract->peer,
        .generation = conn->generation,
        .is_verified = rt.contract->flags & CONTRACT_SEALED,
    };
    call.text[0] = '\0';
    list_append(&conn->calls, &call.conn_node);
    list_append(bucket_of(conn, call.id), &call.bucket_node);

    ProtobufCMessage *reply = NULL;
    enum rpc_status status = handle(&call, request, &reply);
    answer(&call, status, reply, method->is_output_flat);

    list_remove(&call.conn_node);
    list_remove(&call.bucket_node);
}

void server_conn_lost(struct conn *conn)
{
    struct list *node;
    while ((node = list_take(&conn->calls))) {
        struct rpc_call *call = OWNER_OF(node, struct rpc_call, conn_node);
        list_remove(&call->bucket_node);
        call->conn = NULL;
        task_cancel(call->task);
    }
}

/* ---- requests ---- */

static void log_denied(struct link *link, const char *name, uint32_t id)
{
    uint64_t now_ms = clock_ms();
    if (now_ms < link->log_next_ms) {
        link->log_left_out++;
        return;
    }
    link->log_next_ms = now_ms + LOG_PAUSE_MS;
    server_log_left_out(link);
    log_line("denied: %s asked for %s (%08x), which the %s on line %u does not allow", link->contract->peer, name, id,
             link == operator_link() ? "operator list of the service" : "link", link->contract->toml_line);
}

void server_log_left_out(struct link *link)
{
    if (link->log_left_out > 0)
        log_line("denied: %u more calls of %s, not shown one by one", link->log_left_out, link->contract->peer);
    link->log_left_out = 0;
}

static void deny(struct conn *conn, const struct frame *frame, const struct served_method *method)
{
    struct link *link = conn->link;
    notes_denied(link, method ? (uint32_t)(method - rt.methods) : rt.method_count);
    log_denied(link, method ? method->method->name : "a method that is not served here", frame->method);
    char text[FRAME_TEXT_BYTES_MAX + 1];
    (void)snprintf(text, sizeof text, "%s may not call %s", link->contract->peer,
                   method ? method->method->name : "this method");
    answer_error(conn, frame->id, RPC_PERMISSION_DENIED, text);
}

static void begin_call(struct conn *conn, const struct frame *frame, const struct served_method *method)
{
    if (rt.is_stopping) {
        answer_error(conn, frame->id, RPC_UNAVAILABLE, "the service is stopping");
        return;
    }
    if (frame->deadline_ms == 0) {
        answer_error(conn, frame->id, RPC_DEADLINE_EXCEEDED, "");
        return;
    }
    struct request request = {conn, frame, method};
    struct task *task = task_new(&conn->link->share, run_call, &request);
    if (!task) {
        answer_error(conn, frame->id, RPC_RESOURCE_EXHAUSTED, "too many calls at once");
        return;
    }
    uint32_t deadline_ms = frame->deadline_ms < DEADLINE_MS_MAX ? frame->deadline_ms : DEADLINE_MS_MAX;
    task->end_ms = task->deadline_ms = rt.now_ms + deadline_ms;
    task->is_served = true;
    rt.served_running++;
    task_go(task); /* at once: if it does not wait, the next call finds the same warm stack */
}

static void request_came(struct conn *conn, const struct frame *frame)
{
    const struct served_method *method = find_method(frame->method);
    if (!contract_allows(conn->link->contract, frame->method)) {
        deny(conn, frame, method);
        return;
    }
    notes_called(conn->link);
    if (!method)
        answer_error(conn, frame->id, RPC_UNIMPLEMENTED, "this service does not implement the method");
    else
        begin_call(conn, frame, method);
}

int server_frame(struct conn *conn, const struct frame *frame)
{
    struct rpc_call *call;
    switch (frame->type) {
    case FRAME_REQUEST:
        if (!weakened("duplicate-id") && find_call(conn, frame->id))
            return -EPROTO; /* two calls of one name */
        request_came(conn, frame);
        return 0;
    case FRAME_CANCEL:
        /* No such call: its answer and the cancel crossed on their way. */
        call = find_call(conn, frame->id);
        if (call)
            task_cancel(call->task);
        return 0;
    default:
        return -EPROTO; /* a caller does not answer */
    }
}

/* ---- what handlers see ---- */

const struct rpc_caller *rpc_caller(const struct rpc_call *call)
{
    return &call->caller;
}

enum rpc_status rpc_fail(struct rpc_call *call, enum rpc_status status, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(call->text, sizeof call->text, format, args); /* cut at what a frame carries */
    va_end(args);
    return status;
}
