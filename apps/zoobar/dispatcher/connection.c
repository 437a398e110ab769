/*
 * connection.c - serves one connection from outside.
 *
 *                ┌──────────────────────── keep-alive ─────────────────────────┐
 *                ▼                                                             │
 *   take_in() ──WHOLE──▶ answer() ──▶ route, call_service() ──▶ send_reply() ──┴──▶ close
 *      │  └── not strict, too slow, too long ──▶ send_page(4xx) ──▶ linger() ──────▶ close
 *      └── end or nothing came in time ───────────────────────────────────────────▶ close
 *
 * Invariants
 *  I1  After anything that was not a strict request the connection ends: nothing behind it is parsed.
 *  I2  Each wait has a deadline, and the deadline of a head or body counts from its begin, not from the last byte.
 *  I3  One line of log per request, made of checked text only; the query and the body are not in it.
 */
#include "apps/zoobar/dispatcher/connection.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "apps/zoobar/api/web.rpc.h"
#include "apps/zoobar/dispatcher/http_reply.h"
#include "apps/zoobar/dispatcher/http_request.h"
#include "apps/zoobar/dispatcher/http_url.h"
#include "apps/zoobar/dispatcher/pool.h"
#include "rpc/base/clock.h"
#include "rpc/base/log.h"
#include "rpc/rpc.h"

#define CROWDED_IDLE_MS 1000u
#define CROWDED_HEAD_MS 3000u
#define CROWDED_BODY_MS 5000u
#define CROWDED_SEND_MS 3000u
#define LINGER_MS 1000u          /* after a refusal: at most this long, */
#define LINGER_QUIET_MS 200u     /* ... until so long nothing came, */
#define LINGER_BYTES_MAX 262144u /* ... and so much */
#define RETRY_AFTER_S 2u
#define LOG_PATH_BYTES_MAX 200 /* of the target in the log */
#define HELD_PER_REPLY 1024u   /* by a reply besides its body: struct and short texts */

enum { NO_REPLY = -1 }; /* instead of a status: the client is gone, or never asked */

struct serving {
    struct connection *c;
    const struct route_table *routes;
    const struct connection_limits *limits;
    uint64_t begin_ms; /* of the request: its first byte */
};

static uint32_t limit_ms(uint32_t usual_ms, uint32_t crowded_ms)
{
    return pool_is_crowded() && crowded_ms < usual_ms ? crowded_ms : usual_ms;
}

/* ---- log ---- */

static void log_request(const struct serving *s, unsigned status, const char *why)
{
    static const char *const verbs[] = {
        [HTTP_VERB_OTHER] = "-", [HTTP_VERB_GET] = "GET", [HTTP_VERB_HEAD] = "HEAD", [HTTP_VERB_POST] = "POST"};
    const struct http_head *head = &s->c->request.head;
    const char *target = head->has_request_line ? s->c->buffer + head->target_at : "-";
    int target_bytes = head->has_request_line ? (int)head->target_bytes : 1;
    const char *query = memchr(target, '?', (size_t)target_bytes);
    if (query)
        target_bytes = (int)(query - target);
    if (target_bytes > LOG_PATH_BYTES_MAX)
        target_bytes = LOG_PATH_BYTES_MAX;
    log_line("%s %.*s %u %u ms%s%s", verbs[head->verb], target_bytes, target, status,
             (unsigned)(clock_ms() - s->begin_ms), why ? ": " : "", why ? why : "");
}

/* ---- sending ---- */

static int64_t wall_clock_s(void)
{
    struct timespec now;
    return clock_gettime(CLOCK_REALTIME, &now) == 0 ? (int64_t)now.tv_sec : -1;
}

/* The head and as much of the body as fits go out as one.  0 or a negative errno; -EINVAL, -EMSGSIZE: *ret_bad, nothing
 * sent. */
static int send_head_and_body(struct serving *s, struct http_reply *reply, const void *body, const char **ret_bad)
{
    struct connection *c = s->c;
    size_t head_bytes;
    reply->date_unix_s = wall_clock_s();
    reply->is_minor_0 = c->request.head.minor == 0;
    int result = http_reply_head(reply, c->out, HTTP_REPLY_HEAD_BYTES_MAX, &head_bytes, ret_bad);
    if (result)
        return result;
    size_t bytes = reply->body_bytes;
    if (!http_status_has_body(reply->status) || c->request.head.verb == HTTP_VERB_HEAD)
        bytes = 0;
    size_t first = bytes < sizeof c->out - head_bytes ? bytes : sizeof c->out - head_bytes;
    if (first)
        memcpy(c->out + head_bytes, body, first);
    uint32_t send_ms = limit_ms(s->limits->send_ms, CROWDED_SEND_MS);
    result = rpc_stream_write(c->stream, c->out, head_bytes + first, send_ms);
    if (result == 0 && first < bytes)
        result = rpc_stream_write(c->stream, (const char *)body + first, bytes - first, send_ms);
    return result == 0 ? 0 : -EPIPE;
}

/* A page of our own.  why: for the log; NULL for nothing.  False when the connection is to end. */
static bool send_page(struct serving *s, unsigned status, const char *location, bool is_keep_alive, const char *why)
{
    char body[320];
    const char *text = http_status_text(status);
    int length =
        snprintf(body, sizeof body,
                 "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>%u %s</title></head>\n"
                 "<body><h1>%u %s</h1></body></html>\n",
                 status, text, status, text);
    struct http_reply reply = {
        .status = status,
        .content_type = "text/html; charset=utf-8",
        .location = location,
        .allow = status == 405 ? "GET, HEAD, POST" : NULL,
        .retry_after_s = status == 503 ? RETRY_AFTER_S : 0,
        .body_bytes = (size_t)length,
        .is_keep_alive = is_keep_alive,
    };
    const char *bad;
    int result = send_head_and_body(s, &reply, body, &bad);
    log_request(s, status, result == -EINVAL || result == -EMSGSIZE ? bad : why);
    return result == 0 && is_keep_alive;
}

/* Closing with unread bytes makes the kernel send a reset, which can overtake the reply: read them first, within
 * bounds. */
static void linger(struct serving *s)
{
    struct connection *c = s->c;
    uint64_t until_ms = clock_ms() + LINGER_MS, now_ms;
    size_t total = 0;
    while ((now_ms = clock_ms()) < until_ms && total < LINGER_BYTES_MAX && !pool_is_crowded()) {
        uint64_t left_ms = until_ms - now_ms;
        long got = rpc_stream_read(c->stream, c->out, sizeof c->out,
                                   left_ms < LINGER_QUIET_MS ? (uint32_t)left_ms : LINGER_QUIET_MS);
        if (got <= 0)
            return;
        total += (size_t)got;
    }
}

/* ---- taking in ---- */

/* Room for what the head announces, or for more of what comes. */
static bool make_room(struct connection *c)
{
    const struct http_request *request = &c->request;
    size_t needed = c->count + 1;
    if (request->is_head_whole && request->head.bytes + request->head.content_length > needed)
        needed = request->head.bytes + (size_t)request->head.content_length;
    return needed <= c->size || pool_grow(c);
}

static int send_continue(struct serving *s)
{
    static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
    return rpc_stream_write(s->c->stream, text, sizeof text - 1, s->limits->send_ms);
}

/* Why reading ended without a request, as a status: got is what rpc_stream_read() said. */
static int ended(struct connection *c, long got)
{
    if (c->count == 0 || (got < 0 && got != -ETIMEDOUT))
        return NO_REPLY;
    c->request.why = got == 0 ? "ended in the middle" : "too slow";
    return got == 0 ? 400 : 408;
}

/* Reads until there is a whole request.  HTTP_REQUEST_WHOLE, NO_REPLY, or the status to refuse with. */
static int take_in(struct serving *s)
{
    struct connection *c = s->c;
    int verdict = HTTP_REQUEST_HEAD, before = HTTP_REQUEST_HEAD;
    bool is_waiting = c->count == 0; /* for the first byte */
    s->begin_ms = clock_ms();
    uint64_t until_ms = s->begin_ms + (is_waiting ? limit_ms(s->limits->idle_ms, CROWDED_IDLE_MS)
                                                  : limit_ms(s->limits->head_ms, CROWDED_HEAD_MS));
    http_request_init(&c->request);
    for (;;) {
        if (c->count)
            verdict = http_request_feed(&c->request, c->buffer, &c->count);
        if (verdict != HTTP_REQUEST_HEAD && verdict != HTTP_REQUEST_BODY)
            return verdict;
        if (verdict != before) {
            before = verdict;
            until_ms = clock_ms() + limit_ms(s->limits->body_ms, CROWDED_BODY_MS);
            bool has_begun = c->count > c->request.head.bytes; /* then the client did not wait */
            if (c->request.head.wants_continue && c->request.head.minor == 1 && !has_begun && send_continue(s) < 0)
                return NO_REPLY;
        }
        if (!make_room(c)) {
            c->request.why = "no large buffer is free";
            return 503;
        }
        uint64_t now_ms = clock_ms();
        long got = now_ms < until_ms ? rpc_stream_read(c->stream, c->buffer + c->count, c->size - c->count,
                                                       (uint32_t)(until_ms - now_ms))
                                     : -ETIMEDOUT;
        if (got <= 0)
            return ended(c, got);
        c->count += (size_t)got;
        if (is_waiting) {
            is_waiting = false;
            s->begin_ms = clock_ms();
            until_ms = s->begin_ms + limit_ms(s->limits->head_ms, CROWDED_HEAD_MS);
        }
    }
}

/* ---- answering ---- */

static bool may_keep_alive(struct connection *c)
{
    return http_request_keeps_alive(&c->request) && c->request_count < CONNECTION_REQUESTS_MAX && !pool_is_crowded() &&
           pool_may_keep(c);
}

static unsigned status_of(enum rpc_status status)
{
    switch (status) {
    case RPC_UNAVAILABLE:
    case RPC_RESOURCE_EXHAUSTED: /* too much to do: it may be better later, as for UNAVAILABLE */
        return 503;
    case RPC_DEADLINE_EXCEEDED:
        return 504;
    case RPC_NOT_FOUND:
        return 404;
    default:
        return 502;
    }
}

/* What the messages of protobuf-c call char * is only read. */
static char *text_of(struct connection *c, enum http_field field)
{
    return (char *)http_request_text(c->request.fields[field], c->buffer);
}

static enum rpc_status call_service(struct serving *s, struct rpc_peer *peer, size_t query_at,
                                    WebHandleReply **ret_reply)
{
    static char *const verbs[] = {[HTTP_VERB_GET] = "GET", [HTTP_VERB_HEAD] = "HEAD", [HTTP_VERB_POST] = "POST"};
    struct connection *c = s->c;
    WebHandleRequest request = WEB_HANDLE_REQUEST__INIT;
    request.method = verbs[c->request.head.verb];
    request.path = c->path;
    request.raw_target = (char *)http_request_text(c->request.target, c->buffer);
    request.query = request.raw_target + query_at;
    request.host = text_of(c, FIELD_HOST);
    request.cookie = text_of(c, FIELD_COOKIE);
    request.content_type = text_of(c, FIELD_CONTENT_TYPE);
    request.origin = text_of(c, FIELD_ORIGIN);
    request.sec_fetch_site = text_of(c, FIELD_SEC_FETCH_SITE);
    request.if_none_match = text_of(c, FIELD_IF_NONE_MATCH);
    request.body.data = (uint8_t *)c->buffer + c->request.body_at;
    request.body.len = c->request.body_bytes;
    rpc_set_deadline_ms(s->limits->answer_ms);
    return web_handle(peer, &request, ret_reply);
}

/* Sends what a service answered.  False when the connection is to end. */
static bool send_reply(struct serving *s, const WebHandleReply *answer)
{
    pool_hold(s->c, answer->body.len + answer->body.len / 2 + HELD_PER_REPLY); /* an arena has room to spare */
    if (pool_is_full())
        return send_page(s, 503, NULL, false, "answers that nobody reads fill the memory");
    struct http_reply reply = {
        .status = answer->status,
        .content_type = answer->content_type,
        .location = answer->location,
        .cache_control = answer->cache_control,
        .content_security_policy = answer->content_security_policy,
        .etag = answer->etag,
        .allow = answer->allow,
        .set_cookie = answer->set_cookie,
        .set_cookie_count = answer->n_set_cookie,
        .body_bytes = answer->body.len,
        .is_keep_alive = may_keep_alive(s->c),
    };
    const char *bad = NULL;
    int result = send_head_and_body(s, &reply, answer->body.data, &bad);
    if (result == -EINVAL || result == -EMSGSIZE) {
        char why[96];
        (void)snprintf(why, sizeof why, "the service's %s is %s", bad,
                       result == -EINVAL ? "not acceptable" : "too long");
        return send_page(s, 502, NULL, reply.is_keep_alive, why);
    }
    log_request(s, reply.status, result ? "the client did not take it" : NULL);
    return result == 0 && reply.is_keep_alive;
}

/* A whole, strict request is there.  False when the connection is to end. */
static bool answer(struct serving *s)
{
    struct connection *c = s->c;
    struct http_url url;
    const char *why;
    if (http_url_parse(c->buffer + c->request.target.at, c->request.target.bytes, c->path, sizeof c->path, &url,
                       &why)) {
        (void)send_page(s, 400, NULL, false, why);
        linger(s);
        return false;
    }
    bool is_keep_alive = may_keep_alive(c);
    const struct route *route = route_find(s->routes, c->path);
    if (!route)
        return send_page(s, 404, NULL, is_keep_alive, "no route");
    if (route->redirect)
        return send_page(s, 302, route->redirect, is_keep_alive, NULL);

    if (pool_is_full())
        return send_page(s, 503, NULL, false, "answers that nobody reads fill the memory");
    WebHandleReply *reply;
    enum rpc_status status = call_service(s, route->peer, url.query_at, &reply);
    if (status == RPC_OK)
        return send_reply(s, reply);
    pool_hold(c, HELD_PER_REPLY);
    char text[256];
    (void)snprintf(text, sizeof text, "%s: %s", rpc_status_name(status), rpc_error_text()); /* cut if longer */
    return send_page(s, status_of(status), NULL, is_keep_alive, text);
}

/* One request.  False when the connection is to end. */
static bool serve_request(struct serving *s)
{
    struct connection *c = s->c;
    int verdict = take_in(s);
    if (verdict == NO_REPLY)
        return false;
    if (verdict != HTTP_REQUEST_WHOLE) {
        (void)send_page(s, (unsigned)verdict, NULL, false, c->request.why);
        linger(s);
        return false;
    }
    c->request_count++;
    if (!answer(s))
        return false;
    c->count = http_request_rest(&c->request, c->buffer, c->count);
    pool_shrink(c);
    return true;
}

void connection_serve(struct rpc_stream *stream, const struct route_table *routes,
                      const struct connection_limits *limits)
{
    struct serving serving = {.c = pool_take(), .routes = routes, .limits = limits};
    if (!serving.c) {
        static const char text[] = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nRetry-After: 2\r\n"
                                   "Connection: close\r\n\r\n";
        (void)rpc_stream_write(stream, text, sizeof text - 1, CROWDED_IDLE_MS); /* it is closed either way */
        return;
    }
    serving.c->stream = stream;
    while (serve_request(&serving))
        ;
    pool_give_back(serving.c);
}
