/* test_http_request.c - whole requests through both parsers: bodies, pipelining, and the same verdict however they are
 * cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "apps/zoobar/dispatcher/http_request.h"

#define H "Host: a\r\n"
#define CHUNKED "Transfer-Encoding: chunked\r\n"

static char buffer[HTTP_REQUEST_BUFFER_BYTES];
static struct http_request request;

/* Feeds in pieces; returns the last verdict.  *ret_count: bytes in the buffer, *ret_fed: bytes taken from the input. */
static int feed(const char *bytes, size_t total, size_t piece, size_t *ret_count, size_t *ret_fed)
{
    size_t count = 0, fed = 0;
    int verdict = HTTP_REQUEST_HEAD;
    memset(buffer, 0xEE, sizeof buffer);
    http_request_init(&request);
    while (fed < total && (verdict == HTTP_REQUEST_HEAD || verdict == HTTP_REQUEST_BODY)) {
        size_t length = total - fed < piece ? total - fed : piece;
        if (length > sizeof buffer - count)
            length = sizeof buffer - count;
        assert_true(length > 0);
        memcpy(buffer + count, bytes + fed, length);
        fed += length;
        count += length;
        verdict = http_request_feed(&request, buffer, &count);
    }
    *ret_count = count;
    *ret_fed = fed;
    return verdict;
}

static void test_table(void **state)
{
    static const struct {
        const char *bytes;
        int verdict;
        const char *body, *rest;
        bool keeps_alive;
    } samples[] = {
        {"GET / HTTP/1.1\r\n" H "\r\n", HTTP_REQUEST_WHOLE, "", "", true},
        {"GET / HTTP/1.1\r\n" H "Connection: close\r\n\r\n", HTTP_REQUEST_WHOLE, "", "", false},
        {"GET / HTTP/1.0\r\n\r\n", HTTP_REQUEST_WHOLE, "", "", false},
        {"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", HTTP_REQUEST_WHOLE, "", "", true},
        {"GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n", HTTP_REQUEST_WHOLE, "", "", false},
        {"GET / HTTP/1.1\r\n" H "\r\nGET /2 HTTP/1.1\r\n", HTTP_REQUEST_WHOLE, "", "GET /2 HTTP/1.1\r\n", true},
        {"POST / HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\nabcdef", HTTP_REQUEST_WHOLE, "abc", "def", true},
        {"POST / HTTP/1.1\r\n" H "Content-Length: 0\r\n\r\ndef", HTTP_REQUEST_WHOLE, "", "def", true},
        {"POST / HTTP/1.1\r\n" H "\r\ndef", HTTP_REQUEST_WHOLE, "", "def", true},
        {"POST / HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc", HTTP_REQUEST_WHOLE, "abc", "", false},
        {"GET / HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\nabcx", HTTP_REQUEST_WHOLE, "abc", "x", true},
        {"HEAD / HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\nabcx", HTTP_REQUEST_WHOLE, "abc", "x", true},
        {"POST / HTTP/1.1\r\n" H CHUNKED "\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\nxyz", HTTP_REQUEST_WHOLE, "abcdefg",
         "xyz", true},
        {"POST / HTTP/1.1\r\n" H CHUNKED "\r\n0\r\n\r\n", HTTP_REQUEST_WHOLE, "", "", true},
        {"GET / HTTP/1.1\r\n" H CHUNKED "\r\n1\r\nX\r\n0\r\n\r\nQ", HTTP_REQUEST_WHOLE, "X", "Q", true},
        {"POST / HTTP/1.1\r\n" H CHUNKED "\r\n2\r\n\r\n\r\n0\r\n\r\n", HTTP_REQUEST_WHOLE, "\r\n", "", true},
        /* an upgrade is not followed, and its request ends where it ends */
        {"GET / HTTP/1.1\r\n" H "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n\r\nR",
         HTTP_REQUEST_WHOLE, "", "R", true},
        {"POST / HTTP/1.1\r\n" H "Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 2\r\n\r\nabR",
         HTTP_REQUEST_WHOLE, "ab", "R", true},
        {"POST / HTTP/1.1\r\n" H "Connection: upgrade\r\nUpgrade: websocket\r\n" CHUNKED "\r\n2\r\nab\r\n0\r\n\r\nR",
         HTTP_REQUEST_WHOLE, "ab", "R", true},
        /* not complete */
        {"POST / HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\nab", HTTP_REQUEST_BODY, "ab", "", true},
        {"POST / HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\n", HTTP_REQUEST_BODY, "", "", true},
        {"POST / HTTP/1.1\r\n" H CHUNKED "\r\n3\r\nabc\r\n0\r\n\r", HTTP_REQUEST_BODY, "abc", "", true},
        {"GET / HTTP/1.1\r\n", HTTP_REQUEST_HEAD, "", "", true},
        /* refused */
        {"POST / HTTP/1.1\r\n" H "X:\rTransfer-Encoding: chunked\r\n\r\n", 400, "", "", false},
        {"POST / HTTP/1.1\r\n" H CHUNKED "Content-Length: 3\r\n\r\n0\r\n\r\n", 400, "", "", false},
        {"POST / HTTP/1.1\r\n" H CHUNKED "\r\n3;a=b\r\nabc\r\n0\r\n\r\n", 400, "", "", false},
        {"POST / HTTP/1.1\r\n" H CHUNKED "\r\n3\r\nabc0\r\n\r\n", 400, "", "", false},
        {"POST / HTTP/1.1\r\n" H CHUNKED "\r\n0\r\nX: y\r\n\r\n", 400, "", "", false},
        {"POST / HTTP/1.1\r\n" H CHUNKED "\r\n1\r\nX\r\n10000\r\n", 413, "", "", false},
        {"DELETE / HTTP/1.1\r\n" H "\r\n", 405, "", "", false},
    };
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
        size_t total = strlen(samples[i].bytes), count, fed;
        for (size_t piece = 1; piece <= total; piece++) {
            int verdict = feed(samples[i].bytes, total, piece, &count, &fed);
            if (verdict != samples[i].verdict)
                fail_msg("sample %zu: %d, expected %d, in pieces of %zu (%s)", i, verdict, samples[i].verdict, piece,
                         request.why ? request.why : "-");
            if (verdict >= 400) {
                assert_non_null(request.why);
                continue;
            }
            assert_int_equal(request.body_bytes, strlen(samples[i].body));
            assert_memory_equal(buffer + request.body_at, samples[i].body, request.body_bytes);
            if (verdict != HTTP_REQUEST_WHOLE)
                continue;
            assert_true(http_request_keeps_alive(&request) == samples[i].keeps_alive);
            /* what was read beyond, and what was not read, are the rest */
            size_t rest = http_request_rest(&request, buffer, count);
            assert_int_equal(rest + (total - fed), strlen(samples[i].rest));
            assert_memory_equal(buffer, samples[i].rest, rest);
        }
    }
}

static void test_fields(void **state)
{
    static const char text[] = "POST /a%20b?c=d HTTP/1.1\r\nhost:  example.org:80 \t\r\nCookie: PyZoobarLogin=a#b\r\n"
                               "X-Other: cookie\r\nOrigin: null\r\nContent-Type: text/plain\r\nIf-None-Match:\r\n"
                               "Sec-Fetch-Site: cross-site\r\nContent-Length: 4\r\n\r\nbody";
    for (size_t piece = 1; piece < sizeof text; piece++) {
        size_t count, fed;
        assert_int_equal(feed(text, sizeof text - 1, piece, &count, &fed), HTTP_REQUEST_WHOLE);
        assert_string_equal(http_request_text(request.target, buffer), "/a%20b?c=d");
        assert_string_equal(http_request_text(request.fields[FIELD_HOST], buffer), "example.org:80");
        assert_string_equal(http_request_text(request.fields[FIELD_COOKIE], buffer), "PyZoobarLogin=a#b");
        assert_string_equal(http_request_text(request.fields[FIELD_ORIGIN], buffer), "null");
        assert_string_equal(http_request_text(request.fields[FIELD_CONTENT_TYPE], buffer), "text/plain");
        assert_string_equal(http_request_text(request.fields[FIELD_SEC_FETCH_SITE], buffer), "cross-site");
        assert_string_equal(http_request_text(request.fields[FIELD_IF_NONE_MATCH], buffer), "");
        assert_string_equal(http_request_text(request.fields[FIELD_EXPECT], buffer), "");
        assert_memory_equal(buffer + request.body_at, "body", 4);
    }
}

/* The longest request there is, in chunks of one byte, fits the buffer (I4). */
static void test_largest(void **state)
{
    size_t size = HTTP_HEAD_BYTES_MAX + HTTP_BODY_BYTES_MAX * 6 + 100, count, fed;
    char *bytes = malloc(size), *at = bytes;
    assert_non_null(bytes);
    at += sprintf(at, "POST / HTTP/1.1\r\n" H CHUNKED "X: ");
    size_t padding = HTTP_HEAD_BYTES_MAX - (size_t)(at - bytes) - 4;
    memset(at, 'p', padding);
    at += padding;
    at += sprintf(at, "\r\n\r\n");
    for (size_t i = 0; i < HTTP_BODY_BYTES_MAX; i++)
        at += sprintf(at, "1\r\n%c\r\n", 'a' + (int)(i % 26));
    at += sprintf(at, "0\r\n\r\n");
    static const size_t pieces[] = {1 << 20, 1460, 16385};
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        assert_int_equal(feed(bytes, (size_t)(at - bytes), pieces[i], &count, &fed), HTTP_REQUEST_WHOLE);
        assert_int_equal(request.body_bytes, HTTP_BODY_BYTES_MAX);
        assert_int_equal(fed, at - bytes);
        for (size_t j = 0; j < HTTP_BODY_BYTES_MAX; j++)
            if (buffer[request.body_at + j] != 'a' + (int)(j % 26))
                fail_msg("byte %zu of the body is wrong", j);
    }
    free(bytes);
}

/* A buffer may be moved and grown between two reads (I5). */
static void test_moved(void **state)
{
    static const char text[] = "POST /x HTTP/1.1\r\n" H CHUNKED "\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
    char *moving = NULL;
    size_t count = 0;
    int verdict = HTTP_REQUEST_HEAD;
    http_request_init(&request);
    for (size_t i = 0; i < sizeof text - 1; i++) {
        char *moved = malloc(count + 1);
        assert_non_null(moved);
        if (count)
            memcpy(moved, moving, count);
        free(moving);
        moving = moved;
        moving[count++] = text[i];
        verdict = http_request_feed(&request, moving, &count);
    }
    assert_int_equal(verdict, HTTP_REQUEST_WHOLE);
    assert_memory_equal(moving + request.body_at, "abcde", 5);
    assert_memory_equal(moving + request.target.at, "/x", 2);
    free(moving);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_fields),
        cmocka_unit_test(test_largest),
        cmocka_unit_test(test_moved),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
