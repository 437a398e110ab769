/* test_http_head.c - the strict check of heads: a table of good and bad ones, each fed at once, cut in two, byte by
 * byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "apps/zoobar/dispatcher/http_head.h"

#define H "Host: a\r\n"

struct sample {
    const char *what;
    const char *bytes;
    size_t count; /* 0: strlen(bytes) */
    int verdict;
};
#define BYTES(literal) literal, sizeof(literal) - 1

static const struct sample samples[] = {
    /* good */
    {"the least of 1.1", "GET / HTTP/1.1\r\n" H "\r\n", 0, HTTP_HEAD_WHOLE},
    {"the least of 1.0", "GET / HTTP/1.0\r\n\r\n", 0, HTTP_HEAD_WHOLE},
    {"Host in 1.0", "GET / HTTP/1.0\r\n" H "\r\n", 0, HTTP_HEAD_WHOLE},
    {"HEAD", "HEAD /x?y=%41 HTTP/1.1\r\n" H "\r\n", 0, HTTP_HEAD_WHOLE},
    {"POST with a length", "POST / HTTP/1.1\r\n" H "Content-Length: 10\r\n\r\n", 0, HTTP_HEAD_WHOLE},
    {"POST without a length", "POST / HTTP/1.1\r\n" H "\r\n", 0, HTTP_HEAD_WHOLE},
    {"chunked", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n", 0, HTTP_HEAD_WHOLE},
    {"chunked in other case", "POST / HTTP/1.1\r\n" H "TRANSFER-ENCODING:Chunked \t\r\n\r\n", 0, HTTP_HEAD_WHOLE},
    {"length with leading zeros", "POST / HTTP/1.1\r\n" H "Content-Length: 0000000000000000000000007\r\n\r\n", 0,
     HTTP_HEAD_WHOLE},
    {"length at the limit", "POST / HTTP/1.1\r\n" H "Content-Length: 65536\r\n\r\n", 0, HTTP_HEAD_WHOLE},
    {"Host with port", "GET / HTTP/1.1\r\nHost:127.0.0.1:8080\r\n\r\n", 0, HTTP_HEAD_WHOLE},
    {"Host IPv6", "GET / HTTP/1.1\r\nhost: [::1]:8080\r\n\r\n", 0, HTTP_HEAD_WHOLE},
    {"tab inside a value", "GET / HTTP/1.1\r\n" H "X: a\tb\r\n\r\n", 0, HTTP_HEAD_WHOLE},
    {"high bytes in an unknown field", BYTES("GET / HTTP/1.1\r\n" H "X: \xFF\xFE\r\n\r\n"), HTTP_HEAD_WHOLE},
    {"UTF-8 in a cookie", "GET / HTTP/1.1\r\n" H "Cookie: a=\xC3\xA9\r\n\r\n", 0, HTTP_HEAD_WHOLE},
    {"empty value", "GET / HTTP/1.1\r\n" H "X:\r\n\r\n", 0, HTTP_HEAD_WHOLE},
    {"continue", "POST / HTTP/1.1\r\n" H "Expect: 100-Continue\r\nContent-Length: 1\r\n\r\n", 0, HTTP_HEAD_WHOLE},
    {"two Connection fields", "GET / HTTP/1.1\r\n" H "Connection: a, b\r\nConnection: close\r\n\r\n", 0,
     HTTP_HEAD_WHOLE},
    {"pipelined", "GET / HTTP/1.0\r\n\r\n\n\n\001", 0, HTTP_HEAD_WHOLE},
    {"all token characters", "GET / HTTP/1.1\r\n" H "!#$%&'*+-.^_`|~aZ09: x\r\n\r\n", 0, HTTP_HEAD_WHOLE},

    /* not complete */
    {"nothing", BYTES(""), HTTP_HEAD_MORE},
    {"no empty line", "GET / HTTP/1.1\r\n" H, 0, HTTP_HEAD_MORE},
    {"CR of the empty line", "GET / HTTP/1.1\r\n" H "\r", 0, HTTP_HEAD_MORE},

    /* line ends and control characters */
    {"CR inside a field name's line", "GET / HTTP/1.1\r\n" H "X:\rTransfer-Encoding: chunked\r\n\r\n", 0, 400},
    {"bare LF after the request line", "GET / HTTP/1.1\n" H "\r\n", 0, 400},
    {"bare LF after a field", "GET / HTTP/1.1\r\nHost: a\n\r\n", 0, 400},
    {"bare LF as the empty line", "GET / HTTP/1.1\r\n" H "\n", 0, 400},
    {"LF LF", "GET / HTTP/1.1\r\nHost: a\n\n", 0, 400},
    {"CR CR LF", "GET / HTTP/1.1\r\n" H "\r\r\n", 0, 400},
    {"CR at the end of a value", "GET / HTTP/1.1\r\n" H "X: a\r\r\nY: b\r\n\r\n", 0, 400},
    {"NUL in a value", BYTES("GET / HTTP/1.1\r\n" H "X: a\0b\r\n\r\n"), 400},
    {"NUL in a name", BYTES("GET / HTTP/1.1\r\n" H "X\0: a\r\n\r\n"), 400},
    {"NUL in the target", BYTES("GET /\0 HTTP/1.1\r\n" H "\r\n"), 400},
    {"escape in a value", "GET / HTTP/1.1\r\n" H "X: \033[1m\r\n\r\n", 0, 400},
    {"DEL in a value", "GET / HTTP/1.1\r\n" H "X: \177\r\n\r\n", 0, 400},
    {"vertical tab before the colon", "GET / HTTP/1.1\r\n" H "Content-Length\v: 3\r\n\r\n", 0, 400},
    {"TLS", "\026\003\001\002", 0, 400},
    {"empty line first", "\r\nGET / HTTP/1.1\r\n" H "\r\n", 0, 400},
    {"LF first", "\nGET / HTTP/1.1\r\n" H "\r\n", 0, 400},

    /* request line */
    {"HTTP/0.9", "GET /\r\n\r\n", 0, 400},
    {"HTTP/0.9 said", "GET / HTTP/0.9\r\n\r\n", 0, 400},
    {"HTTP/2.0", "GET / HTTP/2.0\r\n" H "\r\n", 0, 400},
    {"HTTP/1.2", "GET / HTTP/1.2\r\n" H "\r\n", 0, 400},
    {"HTTP/1.10", "GET / HTTP/1.10\r\n" H "\r\n", 0, 400},
    {"HTTP/11", "GET / HTTP/11\r\n" H "\r\n", 0, 400},
    {"http/1.1", "GET / http/1.1\r\n" H "\r\n", 0, 400},
    {"HTTP/1.1 and space", "GET / HTTP/1.1 \r\n" H "\r\n", 0, 400},
    {"RTSP", "GET / RTSP/1.0\r\n" H "\r\n", 0, 400},
    {"ICE", "SOURCE / ICE/1.0\r\n" H "\r\n", 0, 400},
    {"the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 0, 400},
    {"two spaces before the target", "GET  / HTTP/1.1\r\n" H "\r\n", 0, 400},
    {"two spaces before the version", "GET /  HTTP/1.1\r\n" H "\r\n", 0, 400},
    {"tab in the request line", "GET\t/ HTTP/1.1\r\n" H "\r\n", 0, 400},
    {"space in the target", "GET /a b HTTP/1.1\r\n" H "\r\n", 0, 400},
    {"space first", " GET / HTTP/1.1\r\n" H "\r\n", 0, 400},
    {"no target", "GET HTTP/1.1\r\n" H "\r\n", 0, 400},
    {"absolute form", "GET http://a/ HTTP/1.1\r\n" H "\r\n", 0, 400},
    {"authority form", "GET a:80 HTTP/1.1\r\n" H "\r\n", 0, 400},
    {"asterisk form", "GET * HTTP/1.1\r\n" H "\r\n", 0, 400},
    {"fragment", "GET /#a HTTP/1.1\r\n" H "\r\n", 0, 400},
    {"high byte in the target", "GET /\xC3\xA9 HTTP/1.1\r\n" H "\r\n", 0, 400},
    {"method with a comma", "GE,T / HTTP/1.1\r\n" H "\r\n", 0, 400},
    {"no method", " / HTTP/1.1\r\n" H "\r\n", 0, 400},
    {"lower case method", "get / HTTP/1.1\r\n" H "\r\n", 0, 400},
    {"method in mixed case", "Get / HTTP/1.1\r\n" H "\r\n", 0, 400},
    {"unknown method with a hyphen", "M-SEARCH / HTTP/1.1\r\n" H "\r\n", 0, 501},
    {"unknown method", "GETS / HTTP/1.1\r\n" H "\r\n", 0, 501},
    {"PUT", "PUT / HTTP/1.1\r\n" H "\r\n", 0, 405},
    {"DELETE", "DELETE /x HTTP/1.1\r\n" H "\r\n", 0, 405},
    {"OPTIONS *", "OPTIONS * HTTP/1.1\r\n" H "\r\n", 0, 405},
    {"CONNECT", "CONNECT a:1 HTTP/1.1\r\n" H "\r\n", 0, 405},
    {"TRACE", "TRACE / HTTP/1.1\r\n" H "\r\n", 0, 405},
    {"PUT that is not strict", "PUT / HTTP/1.1\r\n" H "X : y\r\n\r\n", 0, 400},

    /* fields */
    {"space before the colon", "GET / HTTP/1.1\r\nHost : a\r\n\r\n", 0, 400},
    {"tab before the colon", "GET / HTTP/1.1\r\nHost\t: a\r\n\r\n", 0, 400},
    {"no colon", "GET / HTTP/1.1\r\n" H "X\r\n\r\n", 0, 400},
    {"no name", "GET / HTTP/1.1\r\n" H ": x\r\n\r\n", 0, 400},
    {"name that is no token", "GET / HTTP/1.1\r\n" H "X(: x\r\n\r\n", 0, 400},
    {"high byte in a name", "GET / HTTP/1.1\r\n" H "X\xC3\xA9: x\r\n\r\n", 0, 400},
    {"folded line", "GET / HTTP/1.1\r\n" H "X: a\r\n b\r\n\r\n", 0, 400},
    {"folded with a tab", "GET / HTTP/1.1\r\n" H "X: a\r\n\tb\r\n\r\n", 0, 400},
    {"white space before the first field", "GET / HTTP/1.1\r\n " H "\r\n", 0, 400},
    {"line of one space", "GET / HTTP/1.1\r\n" H " \r\n\r\n", 0, 400},

    /* Host */
    {"no Host", "GET / HTTP/1.1\r\n\r\n", 0, 400},
    {"two Hosts", "GET / HTTP/1.1\r\n" H "Host: b\r\n\r\n", 0, 400},
    {"the same Host twice", "GET / HTTP/1.1\r\n" H H "\r\n", 0, 400},
    {"two Hosts in 1.0", "GET / HTTP/1.0\r\n" H "HOST: b\r\n\r\n", 0, 400},
    {"empty Host", "GET / HTTP/1.1\r\nHost:\r\n\r\n", 0, 400},
    {"Host with a path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 0, 400},
    {"Host with user", "GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", 0, 400},
    {"list of Hosts", "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", 0, 400},

    /* lengths */
    {"length and chunked", "POST / HTTP/1.1\r\n" H "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", 0, 400},
    {"chunked and length", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n", 0, 400},
    {"two lengths", "POST / HTTP/1.1\r\n" H "Content-Length: 3\r\nContent-Length: 4\r\n\r\n", 0, 400},
    {"one length twice", "POST / HTTP/1.1\r\n" H "Content-Length: 3\r\ncontent-length: 3\r\n\r\n", 0, 400},
    {"list of lengths", "POST / HTTP/1.1\r\n" H "Content-Length: 3, 3\r\n\r\n", 0, 400},
    {"length with plus", "POST / HTTP/1.1\r\n" H "Content-Length: +3\r\n\r\n", 0, 400},
    {"length with minus", "POST / HTTP/1.1\r\n" H "Content-Length: -3\r\n\r\n", 0, 400},
    {"length with a space", "POST / HTTP/1.1\r\n" H "Content-Length: 1 2\r\n\r\n", 0, 400},
    {"length in hexadecimal", "POST / HTTP/1.1\r\n" H "Content-Length: 0x3\r\n\r\n", 0, 400},
    {"length with a point", "POST / HTTP/1.1\r\n" H "Content-Length: 3.0\r\n\r\n", 0, 400},
    {"length in quotes", "POST / HTTP/1.1\r\n" H "Content-Length: \"3\"\r\n\r\n", 0, 400},
    {"no length in the field", "POST / HTTP/1.1\r\n" H "Content-Length:\r\n\r\n", 0, 400},
    {"length over the limit", "POST / HTTP/1.1\r\n" H "Content-Length: 65537\r\n\r\n", 0, 413},
    {"length of 2^64", "POST / HTTP/1.1\r\n" H "Content-Length: 18446744073709551616\r\n\r\n", 0, 413},
    {"length beyond 2^64 and wrong", "POST / HTTP/1.1\r\n" H "Content-Length: 18446744073709551616x\r\n\r\n", 0, 400},
    {"too long, but expected", "POST / HTTP/1.1\r\n" H "Expect: 100-continue\r\nContent-Length: 99999999\r\n\r\n", 0,
     413},
    {"unknown coding", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: xchunked\r\n\r\n", 0, 400},
    {"coding before chunked", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: gzip, chunked\r\n\r\n", 0, 400},
    {"coding after chunked", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked, identity\r\n\r\n", 0, 400},
    {"chunked twice in one", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked, chunked\r\n\r\n", 0, 400},
    {"chunked twice", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 0,
     400},
    {"chunked with a parameter", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked;q=1\r\n\r\n", 0, 400},
    {"empty coding", "POST / HTTP/1.1\r\n" H "Transfer-Encoding:\r\n\r\n", 0, 400},
    {"chunked in 1.0", "POST / HTTP/1.0\r\n" H "Transfer-Encoding: chunked\r\n\r\n", 0, 400},
    {"coding after a tab in the name", "POST / HTTP/1.1\r\n" H "Transfer-Encoding\t: chunked\r\n\r\n", 0, 400},

    /* others that we read */
    {"another expectation", "POST / HTTP/1.1\r\n" H "Expect: 200-ok\r\n\r\n", 0, 417},
    {"two cookies fields", "GET / HTTP/1.1\r\n" H "Cookie: a=1\r\nCookie: b=2\r\n\r\n", 0, 400},
    {"two origins", "GET / HTTP/1.1\r\n" H "Origin: a\r\nOrigin: b\r\n\r\n", 0, 400},
    {"cookie that is not UTF-8", "GET / HTTP/1.1\r\n" H "Cookie: a=\xFF\r\n\r\n", 0, 400},
    {"Connection with a space inside", "GET / HTTP/1.1\r\n" H "Connection: keep alive\r\n\r\n", 0, 400},
};

/* Fed in pieces of `piece` bytes. Each scan sees a block of exactly the bytes there are, so that the sanitizer sees a
 * read beyond. */
static int feed(struct http_head *head, const char *bytes, size_t count, size_t piece)
{
    int verdict = HTTP_HEAD_MORE;
    memset(head, 0, sizeof *head);
    for (size_t at = 0; at < count && verdict == HTTP_HEAD_MORE;) {
        at = at + piece < count ? at + piece : count;
        char *copy = malloc(at);
        assert_non_null(copy);
        memcpy(copy, bytes, at);
        verdict = http_head_scan(head, copy, at);
        free(copy);
    }
    return verdict;
}

static void check(const char *what, const char *bytes, size_t count, int expected)
{
    size_t pieces[] = {count ? count : 1, 1, 2, 7};
    struct http_head first = {0}, head;
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        int verdict = feed(&head, bytes, count, pieces[i]);
        if (verdict != expected)
            fail_msg("%s: verdict %d, expected %d, in pieces of %zu (%s)", what, verdict, expected, pieces[i],
                     head.why ? head.why : "-");
        if (verdict >= 400)
            assert_non_null(head.why);
        if (i == 0)
            first = head;
        assert_int_equal(head.seen, first.seen);
        assert_int_equal(head.bytes, first.bytes);
        assert_int_equal(head.content_length, first.content_length);
        assert_ptr_equal(head.why, first.why);
    }
}

static void test_table(void **state)
{
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++)
        check(samples[i].what, samples[i].bytes, samples[i].count ? samples[i].count : strlen(samples[i].bytes),
              samples[i].verdict);
}

static void test_facts(void **state)
{
    struct http_head head;
    const char *text = "POST /a?b HTTP/1.1\r\nHost: x\r\nConnection: foo , Close\r\nContent-Length: 12\r\n\r\nbody";
    assert_int_equal(feed(&head, text, strlen(text), strlen(text)), HTTP_HEAD_WHOLE);
    assert_int_equal(head.verb, HTTP_VERB_POST);
    assert_int_equal(head.minor, 1);
    assert_int_equal(head.content_length, 12);
    assert_int_equal(head.bytes, strlen(text) - 4);
    assert_memory_equal(text + head.target_at, "/a?b", 4);
    assert_int_equal(head.target_bytes, 4);
    assert_true(head.asks_close);
    assert_false(head.asks_keep_alive);
    assert_false(head.is_chunked);

    text = "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n";
    assert_int_equal(feed(&head, text, strlen(text), 1), HTTP_HEAD_WHOLE);
    assert_true(head.asks_keep_alive);
    assert_int_equal(head.minor, 0);
}

/* A buffer with a head of `fields` fields and a last one that makes it `bytes` long. */
static char *make_head(size_t target_bytes, size_t fields, size_t bytes, size_t *ret_count)
{
    char *head = malloc(HTTP_HEAD_BYTES_MAX * 2), *at = head;
    assert_non_null(head);
    at += sprintf(at, "GET /");
    memset(at, 'a', target_bytes - 1);
    at += target_bytes - 1;
    at += sprintf(at, " HTTP/1.1\r\n" H);
    for (size_t i = 1; i < fields; i++)
        at += sprintf(at, "X: y\r\n");
    if (bytes) {
        at += sprintf(at, "L: ");
        size_t rest = bytes - (size_t)(at - head) - 4;
        memset(at, 'v', rest);
        at += rest;
        at += sprintf(at, "\r\n");
    }
    at += sprintf(at, "\r\n");
    *ret_count = (size_t)(at - head);
    return head;
}

static void test_limits(void **state)
{
    static const struct {
        const char *what;
        size_t target, fields, bytes;
        int verdict;
    } limits[] = {
        {"target at the limit", HTTP_TARGET_BYTES_MAX, 1, 0, HTTP_HEAD_WHOLE},
        {"target over the limit", HTTP_TARGET_BYTES_MAX + 1, 1, 0, 414},
        {"request line far over the limit", HTTP_TARGET_BYTES_MAX * 2, 1, 0, 414},
        {"fields at the limit", 1, HTTP_HEADERS_MAX, 0, HTTP_HEAD_WHOLE},
        {"fields over the limit", 1, HTTP_HEADERS_MAX + 1, 0, 431},
        {"head at the limit", 1, 1, HTTP_HEAD_BYTES_MAX, HTTP_HEAD_WHOLE},
        {"head over the limit", 1, 1, HTTP_HEAD_BYTES_MAX + 1, 431},
    };
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        size_t count;
        char *bytes = make_head(limits[i].target, limits[i].fields, limits[i].bytes, &count);
        struct http_head head;
        if (limits[i].bytes)
            assert_int_equal(count, limits[i].bytes);
        size_t pieces[] = {count, 1000, count > 5000 ? 997 : 1};
        for (size_t j = 0; j < 3; j++)
            if (feed(&head, bytes, count, pieces[j]) != limits[i].verdict)
                fail_msg("%s: expected %d, got %s", limits[i].what, limits[i].verdict, head.why ? head.why : "-");
        free(bytes);
    }
}

/* Without any line end it ends too. */
static void test_endless_line(void **state)
{
    char *bytes = malloc(HTTP_HEAD_BYTES_MAX);
    assert_non_null(bytes);
    memset(bytes, 'a', HTTP_HEAD_BYTES_MAX);
    struct http_head head = {0};
    assert_int_equal(http_head_scan(&head, bytes, HTTP_HEAD_BYTES_MAX), 414);
    free(bytes);
}

static void test_field_names(void **state)
{
    assert_int_equal(http_field_find("HOST", 4), FIELD_HOST);
    assert_int_equal(http_field_find("Hos", 3), FIELD_COUNT);
    assert_int_equal(http_field_find("Hostx", 5), FIELD_COUNT);
    assert_int_equal(http_field_find("sec-Fetch-Site", 14), FIELD_SEC_FETCH_SITE);
    assert_int_equal(http_field_find("", 0), FIELD_COUNT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),        cmocka_unit_test(test_facts),       cmocka_unit_test(test_limits),
        cmocka_unit_test(test_endless_line), cmocka_unit_test(test_field_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
