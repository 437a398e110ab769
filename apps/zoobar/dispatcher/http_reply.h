/*
 * http_reply.h - builds the head of a response.  Pure.
 *
 *  I1  No value that came from a service can end its line: with a control character in one nothing is sent at all.
 *  I2  Every response says its length (but 204 and 304, which have no body), so a connection never loses step.
 *  I3  Every response carries the security headers; what the service does not set gets the strict default.
 *
 * Caller: connection.c.
 */
#ifndef ZOOBAR_DISPATCHER_HTTP_REPLY_H
#define ZOOBAR_DISPATCHER_HTTP_REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP_REPLY_HEAD_BYTES_MAX 6144u /* browsers take a cookie of 4 KiB; more than that is a service's fault */
#define HTTP_DATE_BYTES 30u             /* "Sun, 06 Nov 1994 08:49:37 GMT" and a NUL */

/* Texts may be NULL or "" when there is none. */
struct http_reply {
    unsigned status; /* of the table in http_reply.c: 200 to 505 */
    const char *content_type, *location, *cache_control, *content_security_policy, *etag, *allow;
    char *const *set_cookie;
    size_t set_cookie_count;
    size_t body_bytes;
    uint32_t retry_after_s; /* 0 = none */
    bool is_keep_alive;
    bool is_minor_0;     /* the request was HTTP/1.0: keep-alive must be said */
    int64_t date_unix_s; /* below 0 = no Date */
};

/* "Not Found"; NULL for a status that we never send. */
const char *http_status_text(unsigned status);

/* False for 204 and 304: the body is not sent, whatever it is. */
bool http_status_has_body(unsigned status);

/* Writes the date of RFC 9110 section 5.6.7.  Only the bytes of buffer are used: no time zone, no locale.  unix_s from
 * 0 to the year 9999. */
void http_date(int64_t unix_s, char buffer[HTTP_DATE_BYTES]);

/*
 * Writes the head, with its empty line, into buffer.  Returns 0 and its length; -EINVAL for an unknown status or a
 * value that breaks I1, -EMSGSIZE when it is longer than size; *ret_bad then names the field.
 */
int http_reply_head(const struct http_reply *reply, char *buffer, size_t size, size_t *ret_bytes, const char **ret_bad);

#endif
