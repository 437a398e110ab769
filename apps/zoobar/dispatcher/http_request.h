/*
 * http_request.h - takes in one request, head and body, from the bytes of a connection.  Pure.
 *
 *     http_request_init(&request);
 *     while ((verdict = http_request_feed(&request, buffer, &count)) is HTTP_REQUEST_HEAD or _BODY)
 *         count += read(buffer + count, size - count);
 *     ... use the texts and the body, in buffer ...
 *     rest = http_request_rest(&request, buffer, &count);   the next request of the connection, if pipelined
 *
 * Two parsers: the strict checks (http_head, http_chunk) look at the bytes first, llhttp takes them apart.
 *
 *  I1  llhttp never sees a byte that the strict checks have not passed, and never one beyond the end of the request.
 *  I2  Where both know a thing (method, version, target, lengths, where the request ends), they agree, or it is 400.
 *  I3  The verdict depends on the bytes alone, not on how they were cut into reads.
 *  I4  The body is decoded in place: it never ends behind the bytes it was decoded from, so
 *      HTTP_REQUEST_BUFFER_BYTES hold any request.
 *  I5  Texts are offsets into buffer: it may be moved (and grown) between calls.
 *
 * Caller: connection.c.
 */
#ifndef ZOOBAR_DISPATCHER_HTTP_REQUEST_H
#define ZOOBAR_DISPATCHER_HTTP_REQUEST_H

#include <llhttp/llhttp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "apps/zoobar/dispatcher/http_chunk.h"
#include "apps/zoobar/dispatcher/http_head.h"

/* Head and body, and room to read the framing of chunks into. */
#define HTTP_REQUEST_BUFFER_BYTES (HTTP_HEAD_BYTES_MAX + HTTP_BODY_BYTES_MAX + 4096u)

enum {
    HTTP_REQUEST_HEAD = 0, /* more bytes of the head are needed */
    HTTP_REQUEST_WHOLE = 1,
    HTTP_REQUEST_BODY = 2, /* the head is complete, more bytes of the body are needed */
    /* else: the status to refuse with; why says why */
};

struct http_text {
    uint32_t at, bytes;
};

struct http_request {
    struct http_head head;
    struct http_chunk chunk;
    struct http_text target;              /* as it came */
    struct http_text fields[FIELD_COUNT]; /* values, trimmed; bytes 0 when absent.  FIELD_CONNECTION: the last one */
    size_t body_at, body_bytes;           /* decoded */
    const char *why;                      /* of a refusal, for the log; a constant */

    /* its own */
    bool is_head_whole;
    llhttp_t parser;
    char *buffer;                 /* only while llhttp runs */
    struct http_text name, value; /* of the field that llhttp is in */
    bool is_headers_complete, is_message_complete, is_contradicted, is_keep_alive;
};

void http_request_init(struct http_request *request);

/*
 * buffer holds *count bytes, all that came since the request began, as left by the call before and with new ones
 * appended.  May move bytes down and lower *count.
 */
int http_request_feed(struct http_request *request, char *buffer, size_t *count);

/* After HTTP_REQUEST_WHOLE: moves the bytes behind the request to the start of the buffer; returns how many. */
size_t http_request_rest(const struct http_request *request, char *buffer, size_t count);

/* After HTTP_REQUEST_WHOLE: the client may send another request on this connection. */
bool http_request_keeps_alive(const struct http_request *request);

/* Terminates a text with NUL, in the buffer, and returns it.  What follows a text (a space, CR) is not needed any more.
 */
const char *http_request_text(struct http_text text, char *buffer);

#endif
