/* test_since.c - a moment as a person writes it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <stdint.h>

#include "hostd/since.h"

#define NOW_MS 2000000000123ull

static void moments_are_understood(void **state)
{
    static const struct {
        const char *text;
        uint64_t ms;
    } moments[] = {
        {"0", NOW_MS},
        {"90", NOW_MS - 90000},
        {"90s", NOW_MS - 90000},
        {"10m", NOW_MS - 600000},
        {"2h", NOW_MS - 7200000},
        {"3d", NOW_MS - 3 * 86400000ull},
        {"999999999d", 0},
        {"2001-09-09T01:46:40Z", 1000000000000},
        {"2001-09-09t01:46:40.5z", 1000000000500},
        {"2001-09-09 01:46:40.1239Z", 1000000000123},
        {"2001-09-09T03:46:40+02:00", 1000000000000},
        {"2001-09-08T20:16:40-05:30", 1000000000000},
        {"2001-09-09", 999993600000},
        {"2000-02-29", 951782400000},
        {"1960-01-01", 0},
    };
    for (size_t i = 0; i < sizeof moments / sizeof moments[0]; i++) {
        uint64_t ms = 1;
        assert_int_equal(since_parse(moments[i].text, NOW_MS, &ms), 0);
        assert_int_equal(ms, moments[i].ms);
    }
}

static void other_words_are_refused(void **state)
{
    static const char *const texts[] = {
        "",
        "-1",
        "+1",
        " 1",
        "1 ",
        "1w",
        "1mm",
        "m",
        "1.5h",
        "1234567890",
        "yesterday",
        "2001-9-9",
        "2001-02-29",
        "2001-13-01",
        "2001-00-01",
        "2001-01-00",
        "2001-01-32",
        "2001-09-09T",
        "2001-09-09T01:46",
        "2001-09-09T01:46:40",
        "2001-09-09T24:00:00Z",
        "2001-09-09T01:60:00Z",
        "2001-09-09T01:46:61Z",
        "2001-09-09T01:46:40.Z",
        "2001-09-09T01:46:40Zx",
        "2001-09-09T01:46:40+2:00",
        "2001-09-09T01:46:40+24:00",
        "2001-09-09T01:46:40+02:60",
        "2001-09-09T01:46:40+0200",
        "2001/09/09",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        uint64_t ms = 7;
        assert_int_equal(since_parse(texts[i], NOW_MS, &ms), -EINVAL);
        assert_int_equal(ms, 7);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(moments_are_understood),
        cmocka_unit_test(other_words_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
