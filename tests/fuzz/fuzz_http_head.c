/*
 * fuzz_http_head.c - anything as the bytes of a connection: every request of it, fed at once and cut in pieces of a
 * size that the first byte chooses, gets the same verdict, the same body and the same rest; targets are decoded.
 *
 *     clang -g -O1 -fsanitize=fuzzer,address,undefined -I. -isystem /usr/share/include tests/fuzz/fuzz_http_head.c \
 *         apps/zoobar/dispatcher/http_{request,head,chunk,url}.c build/lib/libllhttp.a
 */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "apps/zoobar/dispatcher/http_chars.h"
#include "apps/zoobar/dispatcher/http_request.h"
#include "apps/zoobar/dispatcher/http_url.h"

#define REQUESTS_MAX 16

struct outcome {
    int verdict;
    size_t consumed; /* bytes of the input that were requests before this one, and this one's */
    struct http_request request;
    char buffer[HTTP_REQUEST_BUFFER_BYTES];
};

static struct outcome at_once, in_pieces;

/* Takes in one request from the start of bytes. */
static void run(struct outcome *outcome, const uint8_t *bytes, size_t total, size_t piece)
{
    size_t count = 0, fed = 0;
    http_request_init(&outcome->request);
    outcome->verdict = HTTP_REQUEST_HEAD;
    while (fed < total && (outcome->verdict == HTTP_REQUEST_HEAD || outcome->verdict == HTTP_REQUEST_BODY)) {
        size_t length = total - fed < piece ? total - fed : piece;
        if (length > sizeof outcome->buffer - count)
            length = sizeof outcome->buffer - count;
        assert(length > 0);
        memcpy(outcome->buffer + count, bytes + fed, length);
        fed += length;
        count += length;
        outcome->verdict = http_request_feed(&outcome->request, outcome->buffer, &count);
    }
    size_t end = outcome->request.body_at + outcome->request.body_bytes;
    outcome->consumed = outcome->verdict == HTTP_REQUEST_WHOLE ? fed - (count - end) : 0;
}

static void check_target(void)
{
    char path[HTTP_TARGET_BYTES_MAX + 1];
    struct http_url url;
    const char *why;
    struct http_text target = at_once.request.target;
    if (http_url_parse(at_once.buffer + target.at, target.bytes, path, sizeof path, &url, &why) != 0)
        return;
    assert(path[0] == '/' && strlen(path) == url.path_bytes && is_utf8(path, url.path_bytes));
    assert(!strstr(path, "/../") && !strstr(path, "/./") && !strstr(path, "//") && !strchr(path, '\\'));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    size_t piece = (size_t)data[0] + 1;
    data++;
    size--;
    for (int i = 0; i < REQUESTS_MAX && size; i++) {
        run(&at_once, data, size, sizeof at_once.buffer);
        run(&in_pieces, data, size, piece);
        const struct http_request *a = &at_once.request, *b = &in_pieces.request;
        assert(at_once.verdict == in_pieces.verdict);
        assert(at_once.consumed == in_pieces.consumed);
        if (at_once.verdict >= 400)
            assert(a->why);
        if (at_once.verdict != HTTP_REQUEST_WHOLE)
            break;
        assert(a->body_bytes == b->body_bytes && a->body_bytes <= HTTP_BODY_BYTES_MAX);
        assert(memcmp(at_once.buffer, in_pieces.buffer, a->body_at + a->body_bytes) == 0);
        assert(memcmp(a->fields, b->fields, sizeof a->fields) == 0);
        assert(http_request_keeps_alive(a) == http_request_keeps_alive(b));
        check_target();
        data += at_once.consumed;
        size -= at_once.consumed;
    }
    return 0;
}
