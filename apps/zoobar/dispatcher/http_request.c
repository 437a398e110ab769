/* http_request.c - takes in one request by two parsers that must agree.  See http_request.h for the invariants. */
#include "apps/zoobar/dispatcher/http_request.h"

#include <string.h>

/* ---- what llhttp tells ---- */

/* A span may come in pieces: they follow each other, but for the folding that the strict check refuses. */
static int add_piece(struct http_request *request, struct http_text *text, const char *at, size_t bytes)
{
    uint32_t offset = (uint32_t)(at - request->buffer);
    if (text->bytes == 0)
        text->at = offset;
    else if (text->at + text->bytes != offset)
        return HPE_USER;
    text->bytes += (uint32_t)bytes;
    return HPE_OK;
}

static int on_url(llhttp_t *parser, const char *at, size_t bytes)
{
    struct http_request *request = parser->data;
    return add_piece(request, &request->target, at, bytes);
}

static int on_name(llhttp_t *parser, const char *at, size_t bytes)
{
    struct http_request *request = parser->data;
    return add_piece(request, &request->name, at, bytes);
}

static int on_value(llhttp_t *parser, const char *at, size_t bytes)
{
    struct http_request *request = parser->data;
    return add_piece(request, &request->value, at, bytes);
}

static int on_value_complete(llhttp_t *parser)
{
    struct http_request *request = parser->data;
    enum http_field field = http_field_find(request->buffer + request->name.at, request->name.bytes);
    struct http_text value = request->value;
    while (value.bytes &&
           (request->buffer[value.at + value.bytes - 1] == ' ' || request->buffer[value.at + value.bytes - 1] == '\t'))
        value.bytes--;
    if (field != FIELD_COUNT)
        request->fields[field] = value;
    request->name = request->value = (struct http_text){0, 0};
    return HPE_OK;
}

/* The flags are gone after the message: compare what both parsers know of the framing here. */
static int on_headers_complete(llhttp_t *parser)
{
    struct http_request *request = parser->data;
    const struct http_head *head = &request->head;
    static const uint8_t methods[] = {
        [HTTP_VERB_GET] = HTTP_GET, [HTTP_VERB_HEAD] = HTTP_HEAD, [HTTP_VERB_POST] = HTTP_POST};
    bool has_length = head->seen & 1u << FIELD_CONTENT_LENGTH;

    request->is_headers_complete = true;
    request->is_keep_alive = llhttp_should_keep_alive(parser);
    request->is_contradicted = parser->method != methods[head->verb] || parser->http_major != 1 ||
                               parser->http_minor != head->minor || request->target.at != head->target_at ||
                               request->target.bytes != head->target_bytes ||
                               !!(parser->flags & F_CHUNKED) != head->is_chunked ||
                               !!(parser->flags & F_TRANSFER_ENCODING) != head->is_chunked ||
                               !!(parser->flags & F_CONTENT_LENGTH) != has_length ||
                               (has_length && parser->content_length != head->content_length);
    return request->is_contradicted ? HPE_USER : HPE_OK;
}

/* Decoded in place (I4): where it goes to lies at or before where it comes from, and llhttp is past that. */
static int on_body(llhttp_t *parser, const char *at, size_t bytes)
{
    struct http_request *request = parser->data;
    if (bytes > HTTP_BODY_BYTES_MAX - request->body_bytes)
        return HPE_USER;
    memmove(request->buffer + request->body_at + request->body_bytes, at, bytes);
    request->body_bytes += bytes;
    return HPE_OK;
}

static int on_message_complete(llhttp_t *parser)
{
    struct http_request *request = parser->data;
    request->is_message_complete = true;
    return HPE_OK;
}

static const llhttp_settings_t settings = {
    .on_url = on_url,
    .on_header_field = on_name,
    .on_header_value = on_value,
    .on_header_value_complete = on_value_complete,
    .on_headers_complete = on_headers_complete,
    .on_body = on_body,
    .on_message_complete = on_message_complete,
};

/* ---- taking in ---- */

static int refuse(struct http_request *request, int status, const char *why)
{
    request->why = why;
    return status;
}

/* is_end: the strict check says that the request ends with these bytes. */
static int run_llhttp(struct http_request *request, char *buffer, size_t at, size_t bytes, bool is_end)
{
    request->buffer = buffer;
    llhttp_errno_t result = llhttp_execute(&request->parser, buffer + at, bytes);
    request->buffer = NULL;
    /* "Upgrade: h2c" and the like: it stops at the end of the request for a protocol that we do not speak; we go on. */
    bool is_upgrade = result == HPE_PAUSED_UPGRADE && request->is_message_complete;
    if (request->is_contradicted)
        return refuse(request, 400, "the parsers disagree about the head");
    if (result != HPE_OK && !is_upgrade)
        return refuse(request, 400, llhttp_get_error_reason(&request->parser));
    if (request->is_message_complete != is_end)
        return refuse(request, 400, "the parsers disagree about the end");
    return 0;
}

static int take_head(struct http_request *request, char *buffer, size_t count)
{
    int verdict = http_head_scan(&request->head, buffer, count);
    if (verdict == HTTP_HEAD_MORE)
        return HTTP_REQUEST_HEAD;
    if (verdict != HTTP_HEAD_WHOLE)
        return refuse(request, verdict, request->head.why);

    request->is_head_whole = true;
    request->body_at = request->head.bytes;
    bool has_body = request->head.is_chunked || request->head.content_length > 0;
    int status = run_llhttp(request, buffer, 0, request->head.bytes, !has_body);
    if (status)
        return status;
    return request->is_headers_complete ? 0 : refuse(request, 400, "the parsers disagree about the end of the head");
}

static int take_body(struct http_request *request, char *buffer, size_t *count)
{
    size_t raw_at = request->body_at + request->body_bytes, raw_bytes = *count - raw_at, used;
    bool is_end;
    if (request->head.is_chunked) {
        int status = http_chunk_scan(&request->chunk, buffer + raw_at, raw_bytes, &used);
        if (status)
            return refuse(request, status, request->chunk.why);
        is_end = request->chunk.is_done;
    } else {
        size_t left = (size_t)request->head.content_length - request->body_bytes;
        used = raw_bytes < left ? raw_bytes : left;
        is_end = used == left;
    }
    if (used == 0)
        return HTTP_REQUEST_BODY;
    int status = run_llhttp(request, buffer, raw_at, used, is_end);
    if (status)
        return status;

    size_t body_end = request->body_at + request->body_bytes, rest_at = raw_at + used;
    if (body_end != rest_at)
        memmove(buffer + body_end, buffer + rest_at, *count - rest_at);
    *count -= rest_at - body_end;
    return is_end ? HTTP_REQUEST_WHOLE : HTTP_REQUEST_BODY;
}

void http_request_init(struct http_request *request)
{
    memset(request, 0, sizeof *request);
    llhttp_init(&request->parser, HTTP_REQUEST, &settings);
    request->parser.data = request;
}

int http_request_feed(struct http_request *request, char *buffer, size_t *count)
{
    if (!request->is_head_whole) {
        int verdict = take_head(request, buffer, *count);
        if (verdict || !request->is_head_whole)
            return verdict;
        if (request->is_message_complete)
            return HTTP_REQUEST_WHOLE;
    }
    return take_body(request, buffer, count);
}

size_t http_request_rest(const struct http_request *request, char *buffer, size_t count)
{
    size_t end = request->body_at + request->body_bytes;
    memmove(buffer, buffer + end, count - end);
    return count - end;
}

bool http_request_keeps_alive(const struct http_request *request)
{
    const struct http_head *head = &request->head;
    bool wants = head->minor == 1 ? !head->asks_close : head->asks_keep_alive && !head->asks_close;
    return wants && request->is_keep_alive; /* both parsers think so */
}

const char *http_request_text(struct http_text text, char *buffer)
{
    if (text.bytes == 0)
        return "";
    buffer[text.at + text.bytes] = '\0';
    return buffer + text.at;
}
