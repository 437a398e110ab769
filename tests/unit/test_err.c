/* test_err.c - one failure as a value: its text is never longer than its place, and nobody has to want it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "initsvc/contract.h"
#include "rpc/base/err.h"

static void texts_are_put_together(void **state)
{
    struct err e;
    assert_int_equal(err_set(&e, -EINVAL, "no %s", "way"), -EINVAL);
    assert_int_equal(e.code, -EINVAL);
    assert_string_equal(e.text, "no way");
    assert_int_equal(err_sys(&e, -ENOENT, "open %s", "/x"), -ENOENT);
    assert_string_equal(e.text, "open /x: No such file or directory");
    assert_int_equal(err_hint(&e, "make %d", 1), -ENOENT);
    assert_string_equal(e.text, "open /x: No such file or directory (make 1)");
    assert_int_equal(err_prefix(&e, "service '%s'", "bank"), -ENOENT);
    assert_string_equal(e.text, "service 'bank': open /x: No such file or directory (make 1)");
    assert_int_equal(e.code, -ENOENT);
}

static void a_long_text_is_cut_and_ended(void **state)
{
    struct err e;
    char text[2 * ERR_TEXT_BYTES];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    (void)err_sys(&e, -EIO, "%s", text);
    assert_int_equal(strlen(e.text), ERR_TEXT_BYTES - 1);
    (void)err_hint(&e, "%s", text);
    (void)err_prefix(&e, "%s", text);
    assert_int_equal(strlen(e.text), ERR_TEXT_BYTES - 1);
    assert_int_equal(e.code, -EIO);
}

static void nobody_has_to_want_the_text(void **state)
{
    assert_int_equal(err_set(NULL, -EINVAL, "x"), -EINVAL);
    assert_int_equal(err_sys(NULL, -EIO, "x"), -EIO);
    assert_int_equal(err_hint(NULL, "x"), 0);
    assert_int_equal(err_prefix(NULL, "x"), 0);
}

static void every_stage_has_a_name_of_its_own(void **state)
{
    for (int i = 0; i < STAGE_COUNT; i++) {
        assert_true(strlen(init_stage_name((enum init_stage)i)) > 0);
        for (int k = 0; k < i; k++)
            assert_string_not_equal(init_stage_name((enum init_stage)i), init_stage_name((enum init_stage)k));
    }
    assert_string_equal(init_stage_name(STAGE_COUNT), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_are_put_together),
        cmocka_unit_test(a_long_text_is_cut_and_ended),
        cmocka_unit_test(nobody_has_to_want_the_text),
        cmocka_unit_test(every_stage_has_a_name_of_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
