/*
 * http_head.c - the strict check of a request's head.  See http_head.h for the invariants.
 *
 * One pass over the bytes that cuts lines, and one function per kind of line, called when its LF has come:
 *
 *   bytes ──scan──▶ request line ──check_request_line──▶ fields ──check_field──▶ empty line ──finish──▶ WHOLE
 *
 * A refusal is final: the first wrong byte or line decides, however the bytes arrive (I6).
 */
#include "apps/zoobar/dispatcher/http_head.h"

#include <string.h>

#include "apps/zoobar/dispatcher/http_chars.h"

/* METHOD SP TARGET SP "HTTP/1.1" CR: 32 bytes for a method are more than any has. */
#define REQUEST_LINE_BYTES_MAX (32u + 1u + HTTP_TARGET_BYTES_MAX + 1u + 8u + 1u)

static const char *const field_names[FIELD_COUNT] = {
    [FIELD_HOST] = "host",
    [FIELD_CONTENT_LENGTH] = "content-length",
    [FIELD_TRANSFER_ENCODING] = "transfer-encoding",
    [FIELD_CONNECTION] = "connection",
    [FIELD_EXPECT] = "expect",
    [FIELD_CONTENT_TYPE] = "content-type",
    [FIELD_COOKIE] = "cookie",
    [FIELD_ORIGIN] = "origin",
    [FIELD_SEC_FETCH_SITE] = "sec-fetch-site",
    [FIELD_IF_NONE_MATCH] = "if-none-match",
};
_Static_assert(sizeof field_names / sizeof *field_names == FIELD_COUNT, "a name for each field");

enum http_field http_field_find(const char *name, size_t bytes)
{
    for (int field = 0; field < FIELD_COUNT; field++)
        if (equals_lower(name, bytes, field_names[field]))
            return (enum http_field)field;
    return FIELD_COUNT;
}

static int refuse(struct http_head *head, int status, const char *why)
{
    head->why = why;
    return status;
}

static void find_verb(struct http_head *head, const char *method, size_t bytes)
{
    static const struct {
        const char *name;
        enum http_verb verb;
    } methods[] = {
        {"GET", HTTP_VERB_GET},       {"HEAD", HTTP_VERB_HEAD},    {"POST", HTTP_VERB_POST},
        {"PUT", HTTP_VERB_OTHER},     {"DELETE", HTTP_VERB_OTHER}, {"OPTIONS", HTTP_VERB_OTHER},
        {"CONNECT", HTTP_VERB_OTHER}, {"TRACE", HTTP_VERB_OTHER},  {"PATCH", HTTP_VERB_OTHER},
    };
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
        if (strlen(methods[i].name) == bytes && memcmp(methods[i].name, method, bytes) == 0) {
            head->verb = methods[i].verb;
            head->is_known_method = true;
        }
}

/* line is without CR LF. */
static int check_request_line(struct http_head *head, const char *line, size_t bytes)
{
    /* A token may be more, but methods are case-sensitive and none has small letters: who sends "get" is confused. */
    size_t method_bytes = 0;
    while (method_bytes < bytes &&
           ((line[method_bytes] >= 'A' && line[method_bytes] <= 'Z') || line[method_bytes] == '-'))
        method_bytes++;
    if (method_bytes == 0 || method_bytes == bytes || line[method_bytes] != ' ')
        return refuse(head, 400, "method is not capital letters followed by one space");

    size_t target_at = method_bytes + 1, target_end = target_at;
    while (target_end < bytes && line[target_end] != ' ') {
        unsigned char c = (unsigned char)line[target_end++];
        if (c <= 0x20 || c >= 0x7F || c == '#')
            return refuse(head, 400, "target holds a character that must be encoded");
    }
    if (target_end == target_at)
        return refuse(head, 400, "no target");
    if (bytes - target_end != strlen(" HTTP/1.x") || memcmp(line + target_end, " HTTP/1.", 8) != 0 ||
        (line[bytes - 1] != '0' && line[bytes - 1] != '1'))
        return refuse(head, 400, "version is neither HTTP/1.0 nor HTTP/1.1");
    if (target_end - target_at > HTTP_TARGET_BYTES_MAX)
        return refuse(head, 414, "target too long");

    find_verb(head, line, method_bytes);
    /* CONNECT's authority and OPTIONS's asterisk are refused later, with their methods. */
    if (head->verb != HTTP_VERB_OTHER && line[target_at] != '/')
        return refuse(head, 400, "target is not in origin form");
    head->minor = (uint8_t)(line[bytes - 1] - '0');
    head->target_at = (uint32_t)(head->line_at + target_at);
    head->target_bytes = (uint32_t)(target_end - target_at);
    head->has_request_line = true;
    return HTTP_HEAD_MORE;
}

static int check_host(struct http_head *head, const char *value, size_t bytes)
{
    if (bytes == 0 || bytes > HTTP_HOST_BYTES_MAX)
        return refuse(head, 400, "Host is empty or too long");
    for (size_t i = 0; i < bytes; i++) {
        unsigned char c = (unsigned char)value[i];
        if (!is_digit(c) && !is_alpha(c) && !strchr(".-_:[]", c))
            return refuse(head, 400, "Host holds a character that no host name has");
    }
    return HTTP_HEAD_MORE;
}

static int check_length(struct http_head *head, const char *value, size_t bytes)
{
    if (bytes == 0)
        return refuse(head, 400, "Content-Length is empty");
    for (size_t i = 0; i < bytes; i++) {
        if (!is_digit((unsigned char)value[i]))
            return refuse(head, 400, "Content-Length is not digits only");
        if (head->content_length > UINT32_MAX)
            continue; /* large enough to be refused, and never overflows */
        head->content_length = head->content_length * 10 + (uint64_t)(value[i] - '0');
    }
    return HTTP_HEAD_MORE;
}

/* A list of tokens; close and keep-alive mean something here, the rest (upgrade, ...) is nothing that we do. */
static int check_connection(struct http_head *head, const char *value, size_t bytes)
{
    for (size_t at = 0; at < bytes;) {
        size_t end = at;
        while (end < bytes && is_token_char((unsigned char)value[end]))
            end++;
        if (equals_lower(value + at, end - at, "close"))
            head->asks_close = true;
        else if (equals_lower(value + at, end - at, "keep-alive"))
            head->asks_keep_alive = true;
        while (end < bytes && (value[end] == ' ' || value[end] == '\t'))
            end++;
        if (end < bytes && value[end] != ',')
            return refuse(head, 400, "Connection is no list of tokens");
        for (at = end; at < bytes && (value[at] == ',' || value[at] == ' ' || value[at] == '\t');)
            at++;
    }
    return HTTP_HEAD_MORE;
}

static int check_value(struct http_head *head, enum http_field field, const char *value, size_t bytes)
{
    switch (field) {
    case FIELD_HOST:
        return check_host(head, value, bytes);
    case FIELD_CONTENT_LENGTH:
        return check_length(head, value, bytes);
    case FIELD_TRANSFER_ENCODING:
        if (!equals_lower(value, bytes, "chunked"))
            return refuse(head, 400, "Transfer-Encoding is not exactly 'chunked'");
        head->is_chunked = true;
        return HTTP_HEAD_MORE;
    case FIELD_CONNECTION:
        return check_connection(head, value, bytes);
    case FIELD_EXPECT:
        if (!equals_lower(value, bytes, "100-continue"))
            return refuse(head, 417, "an expectation other than 100-continue");
        head->wants_continue = true;
        return HTTP_HEAD_MORE;
    default:
        /* These go on as text of a message, which is UTF-8. */
        return is_utf8(value, bytes) ? HTTP_HEAD_MORE : refuse(head, 400, "a field that we pass on is not UTF-8");
    }
}

/* line is without CR LF and not empty. */
static int check_field(struct http_head *head, const char *line, size_t bytes)
{
    size_t name_bytes = 0;
    while (name_bytes < bytes && is_token_char((unsigned char)line[name_bytes]))
        name_bytes++;
    if (name_bytes == 0 || name_bytes == bytes || line[name_bytes] != ':')
        return refuse(head, 400, "field name is no token followed by a colon");
    if (++head->header_count > HTTP_HEADERS_MAX)
        return refuse(head, 431, "too many fields");

    enum http_field field = http_field_find(line, name_bytes);
    if (field == FIELD_COUNT)
        return HTTP_HEAD_MORE;
    uint32_t bit = 1u << field;
    if ((head->seen & bit) && field != FIELD_CONNECTION)
        return refuse(head, 400, field == FIELD_HOST ? "more than one Host" : "a field that may come once came twice");
    head->seen |= bit;

    size_t at = name_bytes + 1, end = bytes;
    while (at < end && (line[at] == ' ' || line[at] == '\t'))
        at++;
    while (end > at && (line[end - 1] == ' ' || line[end - 1] == '\t'))
        end--;
    return check_value(head, field, line + at, end - at);
}

/* All lines are right one by one: what they say together. */
static int finish(struct http_head *head)
{
    bool has_length = head->seen & 1u << FIELD_CONTENT_LENGTH;
    if (has_length && head->is_chunked)
        return refuse(head, 400, "both Content-Length and Transfer-Encoding");
    if (head->is_chunked && head->minor == 0)
        return refuse(head, 400, "Transfer-Encoding in HTTP/1.0");
    if (head->minor == 1 && !(head->seen & 1u << FIELD_HOST))
        return refuse(head, 400, "no Host");
    if (head->verb == HTTP_VERB_OTHER)
        return head->is_known_method ? refuse(head, 405, "method not served") : refuse(head, 501, "unknown method");
    if (head->content_length > HTTP_BODY_BYTES_MAX)
        return refuse(head, 413, "body too long");
    return HTTP_HEAD_WHOLE;
}

static int check_line(struct http_head *head, const char *line, size_t bytes)
{
    if (!head->has_request_line)
        return check_request_line(head, line, bytes);
    if (bytes == 0)
        return finish(head);
    return check_field(head, line, bytes);
}

int http_head_scan(struct http_head *head, const char *buffer, size_t count)
{
    while (head->scanned < count) {
        unsigned char c = (unsigned char)buffer[head->scanned++];
        if (head->is_after_cr) {
            if (c != '\n')
                return refuse(head, 400, "CR without LF");
            head->is_after_cr = false;
            int verdict = check_line(head, buffer + head->line_at, head->scanned - 2 - head->line_at);
            if (verdict != HTTP_HEAD_MORE) {
                head->bytes = head->scanned;
                return verdict;
            }
            head->line_at = head->scanned;
        } else if (c == '\r') {
            head->is_after_cr = true;
        } else if (c == '\n') {
            return refuse(head, 400, "LF without CR");
        } else if (is_control(c) && c != '\t') {
            return refuse(head, 400, "control character");
        }
        if (!head->has_request_line && head->scanned - head->line_at > REQUEST_LINE_BYTES_MAX)
            return refuse(head, 414, "request line too long");
        if (head->scanned >= HTTP_HEAD_BYTES_MAX)
            return refuse(head, 431, "head too long");
    }
    return HTTP_HEAD_MORE;
}
