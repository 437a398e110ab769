/* test_toml_depth.c - keys of very many parts are found where they are; what only looks like one is let pass. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hostd/toml_depth.h"
#include "rpc/base/own.h"

#define TEXT_BYTES 8192

/* head, then `count` times part, then tail; in a block of its own, so that the sanitizer sees a read behind its end. */
static bool is_bounded(const char *head, const char *part, size_t count, const char *tail, uint32_t place[2])
{
    char text[TEXT_BYTES];
    size_t used = (size_t)snprintf(text, sizeof text, "%s", head);
    for (size_t i = 0; i < count; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "%s", part);
    used += (size_t)snprintf(text + used, sizeof text - used, "%s", tail);
    assert_true(used < sizeof text);
    FREE_AUTO char *copy = malloc(used + (used == 0));
    assert_non_null(copy);
    memcpy(copy, text, used);
    return toml_depth_is_bounded(copy, used, &place[0], &place[1]);
}

static void keys_of_many_parts_are_found(void **state)
{
    static const struct {
        const char *head, *part, *tail;
        uint32_t line, column;
    } rows[] = {
        {"a", ".a", " = 1\n", 1, 1},
        {"x = 1\n  a", ".a", " = 1\n", 2, 3},
        {"x = \"#\" # '\n[a", ".b", "]\n", 2, 2},
        {"x = { y", " . y", " = 1 }", 1, 7},
        {"x = \"\"\"\n\\\"\"\"\n\"\"\"\ny", ".\"a.b\"", " = 1\n", 4, 1},
        {"x = '''\n'\\'''\ny", ".'a'", " = 1\n", 3, 1},
        {"x = \"\\\\\"\ny", ".z", "", 2, 1},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        uint32_t place[2] = {0};
        assert_true(is_bounded(rows[i].head, rows[i].part, TOML_KEY_PARTS_MAX - 1, rows[i].tail, place));
        assert_false(is_bounded(rows[i].head, rows[i].part, TOML_KEY_PARTS_MAX, rows[i].tail, place));
        assert_int_equal(place[0], rows[i].line);
        assert_int_equal(place[1], rows[i].column);
    }
}

static void dots_of_other_things_are_no_parts(void **state)
{
    static const struct {
        const char *head, *part, *tail;
    } rows[] = {
        {"x = \"", ".", "\"\n"},
        {"x = '", ".", "'\n"},
        {"x = '''", ".\n", "'''\n"},
        {"x = \"\"\"", "\\\".", "\"\"\""},
        {"# ", ".", ""},
        {"x = [", "1.5, ", "]\n"},
        {"", "a.b = 1.5\n", ""},
        {"", "[a.b]\nc.d = 2\n", ""},
        {"x = \"", "\\\".", ""},
        {"x = \"\"\"", ".", ""},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        uint32_t place[2] = {0};
        assert_true(is_bounded(rows[i].head, rows[i].part, 4 * TOML_KEY_PARTS_MAX, rows[i].tail, place));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_of_many_parts_are_found),
        cmocka_unit_test(dots_of_other_things_are_no_parts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
