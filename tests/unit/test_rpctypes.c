/* test_rpctypes.c - schema notes of messages: what is accepted, what is refused, and no byte outside is touched. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "hostd/rpctypes.h"
#include "rpc/base/own.h"
#include "tests/unit/rpctypes.h"

static int read_text(const char *methods, const char *messages, struct types **ret_types, struct err *e)
{
    char *image = malloc(FIXTURE_ELF_BYTES);
    assert_non_null(image);
    size_t bytes = fixture_typed_elf(image, methods, messages, strlen(messages));
    image = realloc(image, bytes); /* so that the sanitizer sees a read behind the end */
    int result = types_read(image, bytes, ret_types, e);
    free(image);
    return result;
}

static void types_are_read(void **state)
{
    struct err e = {0};
    FREE_AUTO struct types *types = NULL;
    assert_int_equal(read_text("A.Do In Out\n",
                               "message In\n1 name one string\n2 color one enum my.Color\n"
                               "message Out\n536870911 parts many message Part\nmessage Part\n"
                               "enum my.Color\n0 RED\n-2147483648 BLUE\n0 ROT\n",
                               &types, &e),
                     0);
    assert_int_equal(types->count, 4);
    assert_int_equal(types->method_count, 1);
    assert_string_equal(types->at[types->methods[0].input].name, "In");
    const struct type *out = &types->at[types->methods[0].output];
    assert_string_equal(out->name, "Out");
    assert_int_equal(out->field_count, 1);
    assert_true(types_fields(types, out)->is_many);
    assert_int_equal(types_fields(types, out)->number, 536870911);
    assert_string_equal(types->at[types_fields(types, out)->nested].name, "Part");
    const struct type *color = &types->at[3];
    assert_true(color->is_enum);
    assert_int_equal(types_fields(types, color)[1].number, INT32_MIN);
}

static void malformed_notes_are_refused(void **state)
{
    static const char *const texts[] = {
        "message In\nmessage Out",                                   /* no end of line */
        "1 name one string\nmessage In\nmessage Out\n",              /* a field of nothing */
        "message In\n1 name one\nmessage Out\n",                     /* a word is missing */
        "message In\n1 name one string x\nmessage Out\n",            /* one too many */
        "message In\n1 name some string\nmessage Out\n",             /* label */
        "message In\n1 name one text\nmessage Out\n",                /* type */
        "message In\n0 name one string\nmessage Out\n",              /* numbers */
        "message In\n-1 name one string\nmessage Out\n",             /* ... */
        "message In\n01 name one string\nmessage Out\n",             /* ... */
        "message In\n536870912 name one string\nmessage Out\n",      /* ... */
        "message In\n99999999999 name one string\nmessage Out\n",    /* ... */
        "message In\n1 na-me one string\nmessage Out\n",             /* names */
        "message In\n1  one string\nmessage Out\n",                  /* ... */
        "message In.\nmessage Out\n",                                /* ... */
        "message In\n1 a one string\n1 b one string\nmessage Out\n", /* twice */
        "message In\n1 a one string\n2 a one string\nmessage Out\n", /* ... */
        "message In\nmessage In\nmessage Out\n",                     /* ... */
        "message In\n1 a one message Gone\nmessage Out\n",           /* what is not there */
        "message In\n1 a one message\nmessage Out\n",                /* ... */
        "message In\n1 a one enum Out\nmessage Out\n",               /* of another kind */
        "message In\n1 a one message C\nmessage Out\nenum C\n",      /* ... */
        "message In\n",                                              /* a method's message is not there */
        "message In\nenum Out\n",                                    /* ... */
        "message In\n1 a one message In\nmessage Out\n",             /* contains itself */
        "message In\n1 a one message Out\nmessage Out\n1 b one message In\n",
        "message In\nmessage Out\nenum C\n1\n",
        "message In\nmessage Out\nenum C\n4294967296 RED\n",
        "message In\nmessage Out\nenum C\n-0 RED\n",
        "message In\nmessage Out\nenum C\n- RED\n",
        "\nmessage In\nmessage Out\n",
    };
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
        struct err e = {0};
        struct types *types = NULL;
        if (read_text("A.Do In Out\n", texts[i], &types, &e) != -EINVAL || !e.text[0])
            fail_msg("accepted: %s", texts[i]);
        assert_null(types);
    }
    struct err e = {0};
    struct types *types = NULL;
    assert_int_equal(read_text("A.Do In\n", "message In\n", &types, &e), -EINVAL);
    assert_int_equal(read_text("A. In In\n", "message In\n", &types, &e), -EINVAL);
    assert_int_equal(types_read("no ELF", 6, &types, &e), -ENOEXEC);
}

static void nesting_has_an_end(void **state)
{
    char text[4096];
    for (uint32_t levels = TYPES_NESTING_MAX; levels <= TYPES_NESTING_MAX + 1; levels++) {
        size_t used = 0;
        for (uint32_t i = 1; i < levels; i++)
            used += (size_t)sprintf(text + used, "message M%u\n1 a one message M%u\n2 b one message M%u\n", i, i + 1,
                                    i + 1);
        (void)sprintf(text + used, "message M%u\n", levels);
        struct err e = {0};
        FREE_AUTO struct types *types = NULL;
        assert_int_equal(read_text("A.Do M1 M2\n", text, &types, &e), levels <= TYPES_NESTING_MAX ? 0 : -EINVAL);
    }
}

static void what_is_too_much_is_refused(void **state)
{
    static char text[FIXTURE_ELF_BYTES];
    size_t used = 0;
    for (uint32_t i = 0; i <= TYPES_MAX; i++)
        used += (size_t)sprintf(text + used, "message M%u\n", i);
    struct err e = {0};
    struct types *types = NULL;
    assert_int_equal(read_text("A.Do M1 M2\n", text, &types, &e), -E2BIG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(types_are_read),
        cmocka_unit_test(malformed_notes_are_refused),
        cmocka_unit_test(nesting_has_an_end),
        cmocka_unit_test(what_is_too_much_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
