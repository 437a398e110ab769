/* test_schema.c - methods read from ELF notes: what is accepted, what is refused, and no byte outside is touched. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "hostd/schema.h"
#include "tests/unit/hostd_fixture.h"

static int read_notes(const char *first, const char *second, struct schema *schema, struct err *e)
{
    char *image = malloc(FIXTURE_ELF_BYTES);
    assert_non_null(image);
    size_t bytes = fixture_elf(image, first, second, false);
    image = realloc(image, bytes); /* so that the sanitizer sees a read behind the end */
    int r = schema_read(image, bytes, schema, e);
    free(image);
    return r;
}

static void methods_are_read(void **state)
{
    static struct schema schema;
    struct err e;
    assert_int_equal(read_notes("Bank.Open A B\nBank.Log A_1 B\n", "Web.Handle X Y\n", &schema, &e), 0);
    assert_int_equal(schema.count, 3);
    assert_string_equal(schema.methods[0], "Bank.Open");
    assert_string_equal(schema.methods[1], "Bank.Log");
    assert_string_equal(schema.methods[2], "Web.Handle");
    assert_false(schema.is_dynamic);
    assert_int_equal(read_notes(NULL, NULL, &schema, &e), 0);
    assert_int_equal(schema.count, 0);
}

static void malformed_notes_are_refused(void **state)
{
    static struct schema schema;
    static const char *const texts[] = {
        "Bank.Open A B",                                                          /* no end of line */
        "Bank.Open A\n",                                                          /* two words */
        "Bank.Open A B C\n",                                                      /* four */
        "Bank.Open  A B\n",                                                       /* an empty word */
        " Bank.Open A B\n",                                                       /* likewise */
        "BankOpen A B\n",                                                         /* no method */
        "Bank.Open.Now A B\n",                                                    /* too many parts */
        ".Open A B\n",                                                            /* no interface */
        "Bank. A B\n",                                                            /* no method's name */
        "Bank.Open A B-C\n",                                                      /* no identifier */
        "1ank.Open A B\n",                                                        /* likewise */
        "\n",                                                                     /* an empty line */
        "Bank.Open A B\nBank.Open A B\n",                                         /* twice */
        "Bank.aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa A B\n", /* 64 bytes with its NUL: too long */
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct err e = {0};
        int r = read_notes(texts[i], NULL, &schema, &e);
        if (r != -EINVAL || !e.text[0])
            fail_msg("'%s' gives %d", texts[i], r);
    }
}

static void two_notes_cannot_declare_one_method(void **state)
{
    static struct schema schema;
    struct err e;
    assert_int_equal(read_notes("Bank.Open A B\n", "Bank.Open A B\n", &schema, &e), -EINVAL);
    assert_string_equal(e.text, "its schema notes declare Bank.Open twice");
}

static void too_many_methods_are_refused(void **state)
{
    static struct schema schema;
    static char text[FIXTURE_ELF_BYTES];
    struct err e;
    size_t used = 0;
    for (unsigned i = 0; i <= SCHEMA_METHODS_MAX; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "I.m%u A B\n", i);
    assert_int_equal(read_notes(text, NULL, &schema, &e), -E2BIG);
}

static void other_files_are_no_programs(void **state)
{
    static struct schema schema;
    char image[FIXTURE_ELF_BYTES];
    struct err e;
    assert_int_equal(schema_read("#!/bin/sh\n", 10, &schema, &e), -ENOEXEC);
    assert_int_equal(schema_read("", 0, &schema, &e), -ENOEXEC);
    size_t bytes = fixture_elf(image, NULL, NULL, true);
    assert_int_equal(schema_read(image, bytes, &schema, &e), 0);
    assert_true(schema.is_dynamic);
    ((Elf64_Ehdr *)(void *)image)->e_machine = EM_386;
    assert_int_equal(schema_read(image, bytes, &schema, &e), -ENOEXEC);
}

/* Cut at every length, and with every byte of the headers changed: some result, and no read outside. */
static void no_file_makes_it_read_outside(void **state)
{
    static struct schema schema;
    struct err e;
    char whole[FIXTURE_ELF_BYTES];
    size_t bytes = fixture_elf(whole, "Bank.Open A B\n", "Web.Handle X Y\n", false);
    for (size_t cut = 0; cut < bytes; cut++) {
        char *image = malloc(cut + 1);
        assert_non_null(image);
        memcpy(image, whole, cut);
        image = realloc(image, cut ? cut : 1);
        assert_int_not_equal(schema_read(image, cut, &schema, &e), 0);
        free(image);
    }
    char *image = malloc(bytes);
    assert_non_null(image);
    for (size_t at = 0; at < bytes; at++)
        for (unsigned flip = 1; flip < 256; flip = flip * 2 + 1) {
            memcpy(image, whole, bytes);
            image[at] = (char)(image[at] ^ (char)flip);
            (void)schema_read(image, bytes, &schema, &e);
        }
    free(image);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(methods_are_read),
        cmocka_unit_test(malformed_notes_are_refused),
        cmocka_unit_test(two_notes_cannot_declare_one_method),
        cmocka_unit_test(too_many_methods_are_refused),
        cmocka_unit_test(other_files_are_no_programs),
        cmocka_unit_test(no_file_makes_it_read_outside),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
