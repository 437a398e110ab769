/* test_http_reply.c - heads of responses: what is in them, and that no value can end its line. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "apps/zoobar/dispatcher/http_reply.h"

static char head[HTTP_REPLY_HEAD_BYTES_MAX + 1];

static const char *build(const struct http_reply *reply)
{
    size_t bytes;
    const char *bad = NULL;
    int result = http_reply_head(reply, head, HTTP_REPLY_HEAD_BYTES_MAX, &bytes, &bad);
    if (result)
        fail_msg("%d: %s", result, bad);
    assert_true(bytes < sizeof head);
    head[bytes] = '\0';
    assert_int_equal(strlen(head), bytes);
    assert_string_equal(head + bytes - 4, "\r\n\r\n");
    assert_ptr_equal(strstr(head, "\r\n\r\n"), head + bytes - 4);
    return head;
}

static void assert_has(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("no '%s' in:\n%s", part, text);
}

static void test_plain(void **state)
{
    char *cookies[] = {"PyZoobarLogin=a#b; HttpOnly", "x=y"};
    struct http_reply reply = {.status = 200,
                               .content_type = "text/html; charset=utf-8",
                               .set_cookie = cookies,
                               .set_cookie_count = 2,
                               .body_bytes = 1234,
                               .is_keep_alive = true,
                               .date_unix_s = 784111777};
    const char *text = build(&reply);
    assert_int_equal(strncmp(text, "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n", 54), 0);
    assert_has(text, "\r\nContent-Type: text/html; charset=utf-8\r\n");
    assert_has(text, "\r\nContent-Length: 1234\r\n");
    assert_has(text, "\r\nSet-Cookie: PyZoobarLogin=a#b; HttpOnly\r\n");
    assert_has(text, "\r\nSet-Cookie: x=y\r\n");
    assert_has(text, "\r\nCache-Control: no-store\r\n");
    assert_has(text, "\r\nX-Content-Type-Options: nosniff\r\n");
    assert_has(text, "\r\nX-Frame-Options: DENY\r\n");
    assert_has(text, "\r\nReferrer-Policy: same-origin\r\n");
    assert_has(text, "\r\nContent-Security-Policy: default-src 'none'; ");
    assert_has(text, "frame-ancestors 'none'\r\n");
    assert_null(strstr(text, "Connection"));
    assert_null(strstr(text, "Location"));
    assert_null(strstr(text, "Server"));
}

static void test_variants(void **state)
{
    struct http_reply reply = {.status = 302, .location = "/zoobar/index.cgi/", .date_unix_s = -1};
    const char *text = build(&reply);
    assert_has(text, "HTTP/1.1 302 Found\r\n");
    assert_has(text, "\r\nLocation: /zoobar/index.cgi/\r\n");
    assert_has(text, "\r\nContent-Length: 0\r\n");
    assert_has(text, "\r\nConnection: close\r\n");
    assert_null(strstr(text, "Date"));

    reply = (struct http_reply){.status = 304,
                                .etag = "\"abc\"",
                                .cache_control = "public, max-age=60",
                                .body_bytes = 9,
                                .is_keep_alive = true,
                                .is_minor_0 = true,
                                .content_security_policy = "sandbox"};
    text = build(&reply);
    assert_has(text, "\r\nETag: \"abc\"\r\n");
    assert_has(text, "\r\nCache-Control: public, max-age=60\r\n");
    assert_has(text, "\r\nConnection: keep-alive\r\n");
    assert_has(text, "\r\nContent-Security-Policy: sandbox\r\n");
    assert_null(strstr(text, "\r\nContent-Length"));
    assert_null(strstr(text, "\r\nContent-Type"));
    assert_false(http_status_has_body(304));

    reply = (struct http_reply){.status = 503, .retry_after_s = 2, .allow = "GET, HEAD", .content_type = ""};
    text = build(&reply);
    assert_has(text, "\r\nRetry-After: 2\r\n");
    assert_has(text, "\r\nAllow: GET, HEAD\r\n");
    assert_has(text, "\r\nContent-Type: application/octet-stream\r\n");
    assert_has(text, "\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n");
}

/* W06: whatever field it is and wherever it stands, a control character is never sent. */
static void test_injection(void **state)
{
    static const char *const values[] = {
        "/\r\nSet-Cookie: a=b", "/\nX: y", "/\rX: y", "\n", "a\tb", "a\177", "a\001b",
        "x\r\n\r\n<html>",      "\033[2J", "a\r",
    };
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        char *cookies[] = {"fine=1", (char *)values[i]};
        for (int field = 0; field < 7; field++) {
            struct http_reply reply = {.status = 200, .body_bytes = 1};
            const char **slots[] = {&reply.content_type,  &reply.location,
                                    &reply.cache_control, &reply.content_security_policy,
                                    &reply.etag,          &reply.allow};
            static const char *const names[] = {"Content-Type", "Location", "Cache-Control", "Content-Security-Policy",
                                                "ETag",         "Allow",    "Set-Cookie"};
            if (field < 6) {
                *slots[field] = values[i];
            } else {
                reply.set_cookie = cookies;
                reply.set_cookie_count = 2;
            }
            size_t bytes = 77;
            const char *bad = NULL;
            assert_int_equal(http_reply_head(&reply, head, HTTP_REPLY_HEAD_BYTES_MAX, &bytes, &bad), -EINVAL);
            assert_string_equal(bad, names[field]);
            assert_int_equal(bytes, 77);
        }
    }
}

static void test_refusals(void **state)
{
    static const unsigned statuses[] = {0, 1, 99, 100, 101, 199, 299, 600, 999, 4294967295u};
    size_t bytes;
    const char *bad;
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++) {
        struct http_reply reply = {.status = statuses[i]};
        assert_int_equal(http_reply_head(&reply, head, HTTP_REPLY_HEAD_BYTES_MAX, &bytes, &bad), -EINVAL);
        assert_string_equal(bad, "status");
    }
    char *long_value = malloc(HTTP_REPLY_HEAD_BYTES_MAX + 1);
    assert_non_null(long_value);
    memset(long_value, 'a', HTTP_REPLY_HEAD_BYTES_MAX);
    long_value[HTTP_REPLY_HEAD_BYTES_MAX] = '\0';
    struct http_reply reply = {.status = 302, .location = long_value};
    assert_int_equal(http_reply_head(&reply, head, HTTP_REPLY_HEAD_BYTES_MAX, &bytes, &bad), -EMSGSIZE);
    assert_string_equal(bad, "Location");
    free(long_value);

    /* Every size that is too small says so and writes no byte beyond. */
    reply = (struct http_reply){.status = 404, .content_type = "text/html", .is_keep_alive = true};
    build(&reply);
    size_t needed = strlen(head);
    for (size_t size = 0; size <= needed; size++) {
        char *small = malloc(size ? size : 1);
        assert_non_null(small);
        assert_int_equal(http_reply_head(&reply, small, size, &bytes, &bad), -EMSGSIZE);
        free(small);
    }
}

static void test_dates(void **state)
{
    static const struct {
        int64_t unix_s;
        const char *text;
    } samples[] = {
        {0, "Thu, 01 Jan 1970 00:00:00 GMT"},          {951782399, "Mon, 28 Feb 2000 23:59:59 GMT"},
        {951782400, "Tue, 29 Feb 2000 00:00:00 GMT"},  {951868800, "Wed, 01 Mar 2000 00:00:00 GMT"},
        {1709164800, "Thu, 29 Feb 2024 00:00:00 GMT"}, {1735689599, "Tue, 31 Dec 2024 23:59:59 GMT"},
        {4107542400, "Mon, 01 Mar 2100 00:00:00 GMT"}, {253402300799, "Fri, 31 Dec 9999 23:59:59 GMT"},
    };
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
        char date[HTTP_DATE_BYTES];
        http_date(samples[i].unix_s, date);
        assert_string_equal(date, samples[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain),    cmocka_unit_test(test_variants), cmocka_unit_test(test_injection),
        cmocka_unit_test(test_refusals), cmocka_unit_test(test_dates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
