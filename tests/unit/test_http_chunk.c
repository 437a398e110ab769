/* test_http_chunk.c - the strict check of chunked framing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "apps/zoobar/dispatcher/http_chunk.h"
#include "apps/zoobar/dispatcher/http_head.h"

enum { MORE = 0, DONE = 1 };

static int feed(const char *bytes, size_t count, size_t piece, size_t *ret_used)
{
    struct http_chunk chunk = {0};
    *ret_used = 0;
    for (size_t at = 0; at < count && !chunk.is_done;) {
        size_t length = count - at < piece ? count - at : piece, used;
        int status = http_chunk_scan(&chunk, bytes + at, length, &used);
        if (status)
            return status;
        assert_true(used == length || chunk.is_done);
        at += used;
        *ret_used = at;
    }
    return chunk.is_done ? DONE : MORE;
}

static void test_table(void **state)
{
    static const struct {
        const char *bytes;
        int verdict;
        size_t rest; /* bytes behind the body */
    } samples[] = {
        {"0\r\n\r\n", DONE, 0},
        {"3\r\nabc\r\n0\r\n\r\n", DONE, 0},
        {"3\r\nabc\r\n0\r\n\r\nGET", DONE, 3},
        {"a\r\n0123456789\r\n00\r\n\r\n", DONE, 0},
        {"00000003\r\n\r\n\r\r\n0\r\n\r\n", DONE, 0}, /* data may be anything */
        {"1\r\nX\r\n1\r\nY\r\n0\r\n\r\n", DONE, 0},
        {"", MORE, 0},
        {"5\r\nabc", MORE, 0},
        {"0\r\n\r", MORE, 0},
        {"\r\n", 400, 0},
        {"3\nabc\r\n0\r\n\r\n", 400, 0},
        {"3\r\nabc\n0\r\n\r\n", 400, 0},
        {"3\r\nabcd\r\n0\r\n\r\n", 400, 0},
        {"3\r\nabc\r\n0\r\n\n", 400, 0},
        {"3\r\nabc\r\n0\n\r\n", 400, 0},
        {"3;x=y\r\nabc\r\n0\r\n\r\n", 400, 0},
        {"3;\n9\r\nabc\r\n0\r\n\r\n", 400, 0},
        {"3 \r\nabc\r\n0\r\n\r\n", 400, 0},
        {" 3\r\nabc\r\n0\r\n\r\n", 400, 0},
        {"0x3\r\nabc\r\n0\r\n\r\n", 400, 0},
        {"-1\r\n", 400, 0},
        {"+3\r\nabc\r\n", 400, 0},
        {"3\r\rabc", 400, 0},
        {"000000003\r\nabc\r\n", 400, 0},
        {"FFFFFFFFF\r\n", 400, 0},
        {"0\r\nX: y\r\n\r\n", 400, 0},
        {"FFFFFFFF\r\n", 413, 0},
        {"10001\r\n", 413, 0},
        {"1\r\nX\r\n10000\r\n", 413, 0},
        {"1\r\nX\r\nFFFFFFFF\r\n", 413, 0},
        {"10000\r\n", MORE, 0},
    };
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
        size_t count = strlen(samples[i].bytes), used;
        for (size_t piece = 1; piece <= count + 1; piece++) {
            int verdict = feed(samples[i].bytes, count, piece, &used);
            if (verdict != samples[i].verdict)
                fail_msg("sample %zu: %d, expected %d, in pieces of %zu", i, verdict, samples[i].verdict, piece);
            if (verdict <= DONE)
                assert_int_equal(used, count - samples[i].rest);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_table)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
