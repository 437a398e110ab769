/* http_reply.c - builds the head of a response.  See http_reply.h for the invariants. */
#include "apps/zoobar/dispatcher/http_reply.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "apps/zoobar/dispatcher/http_chars.h"

/* Own scripts, styles and pictures, nothing inline, nothing of others, in nobody's frame. */
#define POLICY_DEFAULT                                                                                                 \
    "default-src 'none'; style-src 'self'; img-src 'self'; script-src 'self'; form-action 'self'; base-uri 'none'; "   \
    "frame-ancestors 'none'"

static const char *const status_texts[] = {
    [200] = "OK",
    [204] = "No Content",
    [301] = "Moved Permanently",
    [302] = "Found",
    [303] = "See Other",
    [304] = "Not Modified",
    [307] = "Temporary Redirect",
    [308] = "Permanent Redirect",
    [400] = "Bad Request",
    [401] = "Unauthorized",
    [403] = "Forbidden",
    [404] = "Not Found",
    [405] = "Method Not Allowed",
    [408] = "Request Timeout",
    [409] = "Conflict",
    [411] = "Length Required",
    [413] = "Content Too Large",
    [414] = "URI Too Long",
    [415] = "Unsupported Media Type",
    [417] = "Expectation Failed",
    [422] = "Unprocessable Content",
    [429] = "Too Many Requests",
    [431] = "Request Header Fields Too Large",
    [500] = "Internal Server Error",
    [501] = "Not Implemented",
    [502] = "Bad Gateway",
    [503] = "Service Unavailable",
    [504] = "Gateway Timeout",
};

const char *http_status_text(unsigned status)
{
    return status < sizeof status_texts / sizeof *status_texts ? status_texts[status] : NULL;
}

bool http_status_has_body(unsigned status)
{
    return status != 204 && status != 304;
}

/* Days since 1970-01-01 to a date of the Gregorian calendar: 400-year eras of 146,097 days, years that begin in March.
 */
void http_date(int64_t unix_s, char buffer[HTTP_DATE_BYTES])
{
    static const char days[][4] = {"Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"};
    static const char months[][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    uint32_t day = (uint32_t)(unix_s / 86400), second = (uint32_t)(unix_s % 86400);
    uint32_t shifted = day + 719468; /* days since 0000-03-01 */
    uint32_t era = shifted / 146097, day_of_era = shifted % 146097;
    uint32_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    uint32_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    uint32_t march_month = (5 * day_of_year + 2) / 153; /* 0 = March */
    uint32_t month = (march_month + 2) % 12;
    uint32_t year = era * 400 + year_of_era + (month < 2);
    uint32_t day_of_month = day_of_year - (153 * march_month + 2) / 5 + 1;
    (void)snprintf(buffer, HTTP_DATE_BYTES, "%s, %02u %s %04u %02u:%02u:%02u GMT", days[day % 7], day_of_month % 100,
                   months[month], year % 10000, second / 3600, second / 60 % 60, second % 60);
}

struct writer {
    char *buffer;
    size_t size, at;
    int result;
    const char *bad; /* the field that result is about */
};

__attribute__((format(printf, 3, 4))) static void put(struct writer *w, const char *name, const char *format, ...)
{
    if (w->result)
        return;
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(w->buffer + w->at, w->size - w->at, format, arguments);
    va_end(arguments);
    if (length < 0 || (size_t)length >= w->size - w->at) {
        w->result = -EMSGSIZE;
        w->bad = name;
        return;
    }
    w->at += (size_t)length;
}

/* A field whose value came from a service (I1); none when the value is empty. */
static void put_field(struct writer *w, const char *name, const char *value)
{
    if (w->result || !value || !*value)
        return;
    for (const char *c = value; *c; c++)
        if (is_control((unsigned char)*c)) {
            w->result = -EINVAL;
            w->bad = name;
            return;
        }
    put(w, name, "%s: %s\r\n", name, value);
}

static const char *value_or(const char *value, const char *fallback)
{
    return value && *value ? value : fallback;
}

int http_reply_head(const struct http_reply *reply, char *buffer, size_t size, size_t *ret_bytes, const char **ret_bad)
{
    struct writer w = {.buffer = buffer, .size = size};
    const char *text = http_status_text(reply->status);
    if (!text) {
        *ret_bad = "status";
        return -EINVAL;
    }
    put(&w, "status", "HTTP/1.1 %u %s\r\n", reply->status, text);
    if (reply->date_unix_s >= 0) {
        char date[HTTP_DATE_BYTES];
        http_date(reply->date_unix_s, date);
        put(&w, "Date", "Date: %s\r\n", date);
    }
    if (http_status_has_body(reply->status)) {
        put_field(&w, "Content-Type", value_or(reply->content_type, "application/octet-stream"));
        put(&w, "Content-Length", "Content-Length: %zu\r\n", reply->body_bytes);
    }
    if (!reply->is_keep_alive)
        put(&w, "Connection", "Connection: close\r\n");
    else if (reply->is_minor_0)
        put(&w, "Connection", "Connection: keep-alive\r\n");
    put_field(&w, "Location", reply->location);
    for (size_t i = 0; i < reply->set_cookie_count; i++)
        put_field(&w, "Set-Cookie", reply->set_cookie[i]);
    put_field(&w, "ETag", reply->etag);
    put_field(&w, "Allow", reply->allow);
    if (reply->retry_after_s)
        put(&w, "Retry-After", "Retry-After: %u\r\n", reply->retry_after_s);
    put_field(&w, "Cache-Control", value_or(reply->cache_control, "no-store"));
    put_field(&w, "Content-Security-Policy", value_or(reply->content_security_policy, POLICY_DEFAULT));
    put(&w, "security headers",
        "X-Content-Type-Options: nosniff\r\n"
        "X-Frame-Options: DENY\r\n"
        "Referrer-Policy: same-origin\r\n"
        "Cross-Origin-Resource-Policy: same-origin\r\n"
        "Cross-Origin-Opener-Policy: same-origin\r\n"
        "\r\n");
    if (w.result) {
        *ret_bad = w.bad;
        return w.result;
    }
    *ret_bytes = w.at;
    return 0;
}
