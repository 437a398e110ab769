/* Profiles: kept as they came, bounded in characters; and what counts as text and as a user name. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "apps/zoobar/person/people.h"
#include "tests/unit/db_temp.h"

static struct db_temp temp;
static struct people *people;

static int set_up(void **state)
{
    return db_temp_make(&temp) || people_open(temp.path, &people, NULL) ? -1 : 0;
}

static int tear_down(void **state)
{
    people_close(people);
    people = NULL;
    db_temp_remove(&temp);
    return 0;
}

/* Each of these is a batch of its own. */
static int add(const char *username)
{
    assert_int_equal(people_begin(people), 0);
    int result = people_add(people, username);
    assert_int_equal(people_end(people), 0);
    return result;
}

static int set_profile(const char *username, const char *profile)
{
    assert_int_equal(people_begin(people), 0);
    int result = people_set_profile(people, username, profile);
    assert_int_equal(people_end(people), 0);
    return result;
}

static void assert_profile(const char *username, const char *expected)
{
    char *profile = NULL;
    assert_int_equal(people_get(people, username, &profile), 0);
    assert_string_equal(profile, expected);
    free(profile);
}

static void profile_is_kept_as_it_came(void **state)
{
    static const char *const profiles[] = {
        "",
        "hello",
        "#!python\r\nprint('hi')\r\n",
        "a\rb\nc\r\n\n",
        "\t trailing  ",
        "<b>&amp;</b>",
        "'; DROP TABLE person",
        "\xF0\x9F\x98\x80 \xE2\x82\xAC",
        "\x01\x1b[31m",
        "\xEF\xBB\xBFmark",
    };
    char *profile = NULL;
    assert_int_equal(people_get(people, "alice", &profile), -ENOENT);
    assert_null(profile);
    assert_int_equal(set_profile("alice", "x"), -ENOENT);
    assert_int_equal(add("alice"), 0);
    assert_profile("alice", "");
    for (size_t k = 0; k < sizeof profiles / sizeof *profiles; k++) {
        assert_int_equal(set_profile("alice", profiles[k]), 0);
        assert_profile("alice", profiles[k]);
        assert_int_equal(add("alice"), 0); /* leaves it as it is */
        assert_profile("alice", profiles[k]);
    }
    people_close(people);
    people = NULL;
    assert_int_equal(people_open(temp.path, &people, NULL), 0);
    assert_profile("alice", profiles[sizeof profiles / sizeof *profiles - 1]);
}

/* Characters, not bytes: 5,000 of one to four bytes each, and not one more. */
static void profile_length_is_counted_in_characters(void **state)
{
    static const char *const characters[] = {"a", "\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x98\x80"};
    static char text[PEOPLE_PROFILE_BYTES_MAX + 8];
    assert_int_equal(add("alice"), 0);
    for (size_t k = 0; k < sizeof characters / sizeof *characters; k++) {
        size_t bytes = strlen(characters[k]);
        for (size_t at = 0; at < PEOPLE_PROFILE_CHARACTERS_MAX; at++)
            memcpy(text + at * bytes, characters[k], bytes);
        text[PEOPLE_PROFILE_CHARACTERS_MAX * bytes] = 0;
        assert_int_equal(set_profile("alice", text), 0);
        assert_profile("alice", text);
        memcpy(text + PEOPLE_PROFILE_CHARACTERS_MAX * bytes, "a", 2);
        assert_int_equal(set_profile("alice", text), -EINVAL);
        text[PEOPLE_PROFILE_CHARACTERS_MAX * bytes] = 0;
        assert_profile("alice", text);
    }
    assert_int_equal(db_temp_query(&temp, "SELECT length(profile) FROM person"), PEOPLE_PROFILE_CHARACTERS_MAX);
}

static void profile_is_utf8(void **state)
{
    assert_int_equal(add("alice"), 0);
    for (size_t k = 1; k < sizeof bad_names / sizeof *bad_names; k++)
        if (strlen(bad_names[k]) < 100)
            assert_int_equal(set_profile("alice", bad_names[k]), -EINVAL);
    assert_profile("alice", "");
}

static void odd_names_are_names(void **state)
{
    const size_t count = sizeof odd_names / sizeof *odd_names;
    for (size_t k = 0; k < count; k++)
        assert_int_equal(add(odd_names[k]), 0);
    for (size_t k = 0; k < count; k++)
        assert_int_equal(set_profile(odd_names[k], odd_names[(k + 1) % count]), 0);
    for (size_t k = 0; k < count; k++)
        assert_profile(odd_names[k], odd_names[(k + 1) % count]);
    for (size_t k = 0; k < sizeof bad_names / sizeof *bad_names; k++)
        assert_int_equal(add(bad_names[k]), -EINVAL);
    assert_int_equal(db_temp_query(&temp, "SELECT count(*) FROM person"), count);
}

/* The file has the columns that other programs look for, and none that belongs to other services. */
static void table_is_as_agreed(void **state)
{
    assert_int_equal(db_temp_query(&temp, "SELECT count(*) FROM pragma_table_info('person')"), 2);
    assert_int_equal(db_temp_query(&temp, "SELECT count(*) FROM pragma_table_info('person')"
                                          " WHERE name IN ('username', 'profile')"),
                     2);
}

/* Every code point in its one valid form, and every form of one to three bytes against the rule said another way. */
static void utf8_is_the_shortest_form(void **state)
{
    size_t characters;
    for (uint32_t c = 1; c <= 0x110000; c++) {
        char text[5] = {0};
        if (c < 0x80) {
            text[0] = (char)c;
        } else if (c < 0x800) {
            text[0] = (char)(0xC0 | c >> 6), text[1] = (char)(0x80 | (c & 0x3F));
        } else if (c < 0x10000) {
            text[0] = (char)(0xE0 | c >> 12), text[1] = (char)(0x80 | (c >> 6 & 0x3F));
            text[2] = (char)(0x80 | (c & 0x3F));
        } else {
            text[0] = (char)(0xF0 | c >> 18), text[1] = (char)(0x80 | (c >> 12 & 0x3F));
            text[2] = (char)(0x80 | (c >> 6 & 0x3F)), text[3] = (char)(0x80 | (c & 0x3F));
        }
        bool is_valid = c < 0x110000 && (c < 0xD800 || c > 0xDFFF);
        if (text_is_utf8(text, 4, &characters) != is_valid || (is_valid && characters != 1))
            fail_msg("U+%X", c);
    }
    /* A form counts once: of all two-byte texts 128 * 128 pairs of ASCII and 30 * 64 characters are valid. */
    size_t valid = 0;
    for (unsigned pair = 0; pair < 0x10000; pair++) {
        const char text[3] = {(char)(pair >> 8), (char)pair, 0};
        valid += text[0] && text[1] && text_is_utf8(text, 2, NULL);
    }
    assert_int_equal(valid, 127 * 127 + 30 * 64);
    assert_false(text_is_utf8("abc", 2, NULL));
    assert_true(text_is_utf8("abc", 3, NULL));
    assert_true(text_is_utf8("", 0, &characters) && characters == 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(profile_is_kept_as_it_came),
        TEST(profile_length_is_counted_in_characters),
        TEST(profile_is_utf8),
        TEST(odd_names_are_names),
        TEST(table_is_as_agreed),
        cmocka_unit_test(utf8_is_the_shortest_form),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
