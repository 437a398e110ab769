/* test_http_url.c - targets: decoded once, or refused. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "apps/zoobar/dispatcher/http_url.h"

static void test_table(void **state)
{
    static const struct {
        const char *target;
        const char *path; /* NULL: refused */
        const char *query;
    } samples[] = {
        {"/", "/", ""},
        {"/?", "/", ""},
        {"/?a=b", "/", "a=b"},
        {"/a/b", "/a/b", ""},
        {"/a/b/", "/a/b/", ""},
        {"/a%20b", "/a b", ""},
        {"/%41%6a%6A", "/Ajj", ""},
        {"/a?b=%2541&c=%zz%00", "/a", "b=%2541&c=%zz%00"}, /* the query goes on as it is */
        {"/%2541", "/%41", ""},                            /* once, not twice */
        {"/%252e%252e/x", "/%2e%2e/x", ""},
        {"/a?b?c", "/a", "b?c"},
        {"/%3f", "/?", ""},
        {"/%23", "/#", ""},
        {"/%C3%A9", "/\xC3\xA9", ""},
        {"/%F0%9F%98%80", "/\xF0\x9F\x98\x80", ""},
        {"/...", "/...", ""},
        {"/.a/a./..a", "/.a/a./..a", ""},
        {"/a+b", "/a+b", ""},
        {"/a;b=c", "/a;b=c", ""},
        {"/?a=\\", "/", "a=\\"},
        {"/~!$&'()*,:@|{}\"<>^`[]", "/~!$&'()*,:@|{}\"<>^`[]", ""},
        /* refused */
        {"", NULL, NULL},
        {"a", NULL, NULL},
        {"*", NULL, NULL},
        {"http://a/", NULL, NULL},
        {"//", NULL, NULL},
        {"//a", NULL, NULL},
        {"/a//b", NULL, NULL},
        {"/a/b//", NULL, NULL},
        {"/.", NULL, NULL},
        {"/..", NULL, NULL},
        {"/./", NULL, NULL},
        {"/../a", NULL, NULL},
        {"/a/..", NULL, NULL},
        {"/a/./b", NULL, NULL},
        {"/%2e", NULL, NULL},
        {"/%2e%2e/etc/passwd", NULL, NULL},
        {"/.%2E/x", NULL, NULL},
        {"/a/%2E%2e", NULL, NULL},
        {"/..%2f", NULL, NULL},
        {"/a%2fb", NULL, NULL},
        {"/a%2Fb", NULL, NULL},
        {"/a%5cb", NULL, NULL},
        {"/a\\b", NULL, NULL},
        {"/..\\x", NULL, NULL},
        {"/%00", NULL, NULL},
        {"/a%00.css", NULL, NULL},
        {"/%0a", NULL, NULL},
        {"/%0D%0aSet-Cookie:%20a", NULL, NULL},
        {"/%7f", NULL, NULL},
        {"/%1b", NULL, NULL},
        {"/%", NULL, NULL},
        {"/%4", NULL, NULL},
        {"/%4?1", NULL, NULL},
        {"/%zz", NULL, NULL},
        {"/%u0041", NULL, NULL},
        {"/%+41", NULL, NULL},
        {"/%ff", NULL, NULL},
        {"/%c0%af", NULL, NULL},        /* overlong slash */
        {"/%c0%ae%c0%ae/", NULL, NULL}, /* overlong dots */
        {"/%e0%80%af", NULL, NULL},     /* overlong slash */
        {"/%ed%a0%80", NULL, NULL},     /* surrogate */
        {"/%f4%90%80%80", NULL, NULL},  /* beyond U+10FFFF */
        {"/%c3", NULL, NULL},           /* cut */
        {"/%c3/a", NULL, NULL},
        {"/\xC3\xA9", NULL, NULL}, /* not encoded */
        {"/a b", NULL, NULL},
        {"/a#b", NULL, NULL},
        {"/?a#b", NULL, NULL},
        {"/?a b", NULL, NULL},
        {"/?\xC3\xA9", NULL, NULL},
    };
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
        size_t bytes = strlen(samples[i].target);
        char *target = malloc(bytes ? bytes : 1), path[256]; /* exactly its bytes, for the sanitizer */
        assert_non_null(target);
        memcpy(target, samples[i].target, bytes);
        const char *why = NULL;
        struct http_url url;
        int result = http_url_parse(target, bytes, path, sizeof path, &url, &why);
        if (result != (samples[i].path ? 0 : -EINVAL))
            fail_msg("%s: %d (%s)", samples[i].target, result, why ? why : "-");
        if (result) {
            assert_non_null(why);
        } else {
            assert_string_equal(path, samples[i].path);
            assert_int_equal(url.path_bytes, strlen(path));
            assert_int_equal(bytes - url.query_at, strlen(samples[i].query));
            assert_memory_equal(target + url.query_at, samples[i].query, bytes - url.query_at);
        }
        free(target);
    }
}

static void test_room(void **state)
{
    char path[5];
    const char *why;
    struct http_url url;
    assert_int_equal(http_url_parse("/abc", 4, path, 5, &url, &why), 0);
    assert_int_equal(http_url_parse("/abcd", 5, path, 5, &url, &why), -EINVAL);
    assert_int_equal(http_url_parse("/%41%42%43", 10, path, 5, &url, &why), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_table), cmocka_unit_test(test_room)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
