/*
 * http_head.h - the strict check of a request's head, before any other parser sees a byte of it.  Pure.
 *
 *     struct http_head head = {0};
 *     while ((verdict = http_head_scan(&head, buffer, count)) == HTTP_HEAD_MORE)
 *         ... append more bytes to buffer ...
 *
 * What two parsers read differently is what smuggles requests.  So nothing ambiguous passes here (RFC 9112; where it
 * lets a recipient choose between repair and refusal, this refuses):
 *
 *  I1  Every CR is followed by LF and every LF preceded by CR; no other control character, but tabs inside values.
 *  I2  The request line is METHOD SP TARGET SP VERSION with single spaces, METHOD capital letters (and "-"), TARGET
 *      printable ASCII without '#', VERSION exactly HTTP/1.0 or HTTP/1.1.  No empty line comes before it.
 *  I3  A field is NAME ":" VALUE, NAME a token: no space before the colon, none in front of the line (no folding).
 *  I4  Exactly one Host in HTTP/1.1, at most one in 1.0; at most one of each other field that anybody here reads.
 *  I5  Content-Length: digits only.  Transfer-Encoding: exactly "chunked", in 1.1 only.  Never both.
 *  I6  The verdict depends on the bytes alone, not on how they were cut into reads.
 *
 * Caller: http_request.c.
 */
#ifndef ZOOBAR_DISPATCHER_HTTP_HEAD_H
#define ZOOBAR_DISPATCHER_HTTP_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP_HEAD_BYTES_MAX 16384u  /* of request line and fields with the empty line; a browser sends 1 KiB */
#define HTTP_TARGET_BYTES_MAX 4096u /* of the request target */
#define HTTP_HEADERS_MAX 100u       /* field lines */
#define HTTP_HOST_BYTES_MAX 255u    /* a DNS name with a port */
#define HTTP_BODY_BYTES_MAX                                                                                            \
    65536u /* decoded: a profile of 5,000 characters, four bytes each, percent-encoded, fits                           \
            */

enum http_verb { HTTP_VERB_OTHER, HTTP_VERB_GET, HTTP_VERB_HEAD, HTTP_VERB_POST };

/* Fields that mean something to us. A bit each in http_head.seen. */
enum http_field {
    FIELD_HOST,
    FIELD_CONTENT_LENGTH,
    FIELD_TRANSFER_ENCODING,
    FIELD_CONNECTION,
    FIELD_EXPECT,
    FIELD_CONTENT_TYPE,
    FIELD_COOKIE,
    FIELD_ORIGIN,
    FIELD_SEC_FETCH_SITE,
    FIELD_IF_NONE_MATCH,
    FIELD_COUNT
};

enum {
    HTTP_HEAD_MORE = 0,  /* right so far, not complete */
    HTTP_HEAD_WHOLE = 1, /* complete and strict */
    /* else: the status to refuse with: 400, 405, 413, 414, 417, 431, 501 */
};

struct http_head {
    /* of the scan */
    size_t scanned; /* bytes looked at */
    size_t line_at; /* start of the line that is being looked at */
    bool is_after_cr;
    bool has_request_line;
    uint32_t header_count;
    uint32_t seen; /* bits of enum http_field */

    /* what it found; complete with HTTP_HEAD_WHOLE */
    enum http_verb verb;
    bool is_known_method; /* a method of the registry that we do not serve: 405, not 501 */
    uint8_t minor;        /* HTTP/1.minor */
    uint32_t target_at, target_bytes;
    uint64_t content_length; /* saturates */
    bool is_chunked;
    bool wants_continue;
    bool asks_close, asks_keep_alive;
    size_t bytes;    /* of the whole head */
    const char *why; /* of a refusal, for the log; a constant */
};

/* The field of that name, FIELD_COUNT when it is none of them. */
enum http_field http_field_find(const char *name, size_t bytes);

/* buffer holds the count bytes that came since the head began (also what follows it); a later call gets the same and
 * more. */
int http_head_scan(struct http_head *head, const char *buffer, size_t count);

#endif
