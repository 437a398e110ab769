/* test_hints.c - every failed stage gets one hint, and keeps the one that it has. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "hostd/hints.h"

static void each_stage_and_error_gets_one_hint(void **state)
{
    (void)state;
    for (int stage = STAGE_NONE + 1; stage < STAGE_COUNT; stage++) {
        for (int code = 1; code < 134; code++) {
            struct err e = {0};
            (void)err_sys(&e, -code, "what");
            hint_add((enum init_stage)stage, &e);
            size_t bytes = strlen(e.text);
            assert_true(bytes > 0 && e.text[bytes - 1] == ')');
            assert_non_null(strstr(e.text, " ("));
            assert_int_equal(e.code, -code);
        }
    }
}

static void a_hint_of_the_module_is_kept(void **state)
{
    (void)state;
    struct err e = {0};
    (void)err_sys(&e, -EPERM, "io_uring_setup");
    (void)err_hint(&e, "see sysctl kernel.io_uring_disabled");
    hint_add(STAGE_RING, &e);
    hint_add(STAGE_RING, &e);
    assert_string_equal(e.text, "io_uring_setup: Operation not permitted (see sysctl kernel.io_uring_disabled)");
}

static void the_stage_counts_before_the_error(void **state)
{
    (void)state;
    struct err e = {0};
    (void)err_sys(&e, -ENOSPC, "make network namespace");
    hint_add(STAGE_NETNS, &e);
    assert_non_null(strstr(e.text, "user.max_net_namespaces"));
    (void)err_sys(&e, -ENOSPC, "write");
    hint_add(STAGE_SETUP, &e);
    assert_non_null(strstr(e.text, "file system is full"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_stage_and_error_gets_one_hint),
        cmocka_unit_test(a_hint_of_the_module_is_kept),
        cmocka_unit_test(the_stage_counts_before_the_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
