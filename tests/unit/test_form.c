/* test_form.c - what clients send as forms is read as the URL standard says, within bounds, and numbers are strict. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "apps/zoobar/dynamic/form.h"
#include "rpc/base/own.h"
#include "tests/unit/test_pages_arena.h"

static struct form parse_bytes(const char *text, size_t bytes)
{
    /* a copy without a NUL behind it, so that reading on is seen */
    char *copy = malloc(bytes ? bytes : 1);
    memcpy(copy, text, bytes);
    struct form form;
    assert_int_equal(form_parse(&form, copy, bytes, &test_arena), 0);
    free(copy);
    return form;
}

static struct form parse(const char *text)
{
    return parse_bytes(text, strlen(text));
}

static const char *value(const struct form *form, const char *name)
{
    const struct form_field *field = form_find(form, name);
    return field ? field->value : NULL;
}

static void fields_are_decoded(void **state)
{
    struct form form = parse("recipient=al+ice%26co&zoobars=5&submission=Send&empty=&bare&%6eame=x%3dy");
    assert_int_equal(form.count, 6);
    assert_string_equal(value(&form, "recipient"), "al ice&co");
    assert_string_equal(value(&form, "zoobars"), "5");
    assert_string_equal(value(&form, "empty"), "");
    assert_string_equal(value(&form, "bare"), "");
    assert_string_equal(value(&form, "name"), "x=y");
    assert_null(value(&form, "Recipient"));
    form = parse("a=1=2&b=+%2B+");
    assert_string_equal(value(&form, "a"), "1=2");
    assert_string_equal(value(&form, "b"), " + ");
    form = parse("u=%C3%BC%e2%82%AC");
    assert_string_equal(value(&form, "u"), "\xc3\xbc\xe2\x82\xac");
}

static void bad_escapes_stand_for_themselves(void **state)
{
    struct form form = parse("a=%&b=%4&c=%zz%41&d=100%&e=%%41&f=%4");
    assert_string_equal(value(&form, "a"), "%");
    assert_string_equal(value(&form, "b"), "%4");
    assert_string_equal(value(&form, "c"), "%zzA");
    assert_string_equal(value(&form, "d"), "100%");
    assert_string_equal(value(&form, "e"), "%A");
    assert_string_equal(value(&form, "f"), "%4");
}

static void separators_alone_are_no_fields(void **state)
{
    assert_int_equal(parse("").count, 0);
    assert_int_equal(parse("&&&").count, 0);
    struct form form = parse("&a=1&&=x&");
    assert_int_equal(form.count, 2);
    assert_string_equal(value(&form, "a"), "1");
    assert_string_equal(value(&form, ""), "x");
}

static void the_first_of_two_counts(void **state)
{
    struct form form = parse("zoobars=1&zoobars=1000");
    assert_string_equal(value(&form, "zoobars"), "1");
}

static void what_is_no_text_is_marked(void **state)
{
    struct form form =
        parse("ok=%C3%BC&nul=admin%00x&bad=%FF&over=%C0%AF&half=%ED%A0%80&big=%F4%90%80%80&cut=%E2%82&n%00ame=1");
    assert_true(form_find(&form, "ok")->is_text);
    assert_false(form_find(&form, "nul")->is_text);
    assert_int_equal(form_find(&form, "nul")->value_bytes, 7);
    assert_false(form_find(&form, "bad")->is_text);
    assert_false(form_find(&form, "over")->is_text);
    assert_false(form_find(&form, "half")->is_text);
    assert_false(form_find(&form, "big")->is_text);
    assert_false(form_find(&form, "cut")->is_text);
    assert_null(form_find(&form, "n")); /* a name that holds a NUL is no name */
    form = parse_bytes("a=\0b", 4);
    assert_false(form_find(&form, "a")->is_text);
}

static void fields_are_bounded(void **state)
{
    char text[20000];
    size_t used = 0;
    for (unsigned i = 0; i < 1000; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "f%u=%u&", i, i);
    struct form form = parse(text);
    assert_int_equal(form.count, FORM_FIELDS_MAX);
    assert_string_equal(value(&form, "f31"), "31");
    assert_null(value(&form, "f32"));
}

static void no_memory_is_an_error(void **state)
{
    struct form form;
    assert_true(form_parse(&form, "a=1", 3, &test_no_memory) < 0);
}

static void only_the_form_type_is_a_form(void **state)
{
    assert_true(form_is_type("application/x-www-form-urlencoded"));
    assert_true(form_is_type("Application/X-WWW-Form-Urlencoded; charset=UTF-8"));
    assert_false(form_is_type("application/x-www-form-urlencodedx"));
    assert_false(form_is_type("text/plain"));
    assert_false(form_is_type("multipart/form-data; boundary=x"));
    assert_false(form_is_type(""));
}

static void amounts_are_whole_and_positive(void **state)
{
    static const char *const bad[] = {"",
                                      "0",
                                      "00",
                                      "-1",
                                      "+1",
                                      " 1",
                                      "1 ",
                                      "1.0",
                                      "1e3",
                                      "0x10",
                                      "1_000",
                                      "1,0",
                                      "NaN",
                                      "inf",
                                      "1+1",
                                      "٣",
                                      "1\n",
                                      "9223372036854775808",
                                      "18446744073709551617",
                                      "99999999999999999999999999",
                                      "-9223372036854775808"};
    int64_t amount = 7;
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++)
        assert_false(form_amount(bad[i], &amount));
    assert_int_equal(amount, 7);
    assert_true(form_amount("1", &amount) && amount == 1);
    assert_true(form_amount("007", &amount) && amount == 7);
    assert_true(form_amount("9223372036854775807", &amount) && amount == INT64_MAX);
}

static void delays_are_capped(void **state)
{
    assert_int_equal(form_seconds_ms("2", 10000), 2000);
    assert_int_equal(form_seconds_ms("0.25", 10000), 250);
    assert_int_equal(form_seconds_ms("1.0009", 10000), 1000);
    assert_int_equal(form_seconds_ms("10", 10000), 10000);
    assert_int_equal(form_seconds_ms("11", 10000), 10000);
    assert_int_equal(form_seconds_ms("99999999999999999999999999999", 10000), 10000);
    assert_int_equal(form_seconds_ms("0", 10000), 0);
    assert_int_equal(form_seconds_ms("", 10000), 0);
    assert_int_equal(form_seconds_ms("-1", 10000), 0);
    assert_int_equal(form_seconds_ms(".5", 10000), 0);
    assert_int_equal(form_seconds_ms("1e9", 10000), 0);
    assert_int_equal(form_seconds_ms("nan", 10000), 0);
}

static void only_local_paths_are_followed(void **state)
{
    static const char *const bad[] = {"",
                                      "//other.example/",
                                      "///other.example",
                                      "/\\other.example",
                                      "\\/other.example",
                                      "/a\\b",
                                      "http://other.example/",
                                      "https:other.example",
                                      "javascript:alert(1)",
                                      "other.example",
                                      " /x",
                                      "/\t/other.example",
                                      "/\n/other.example",
                                      "/x\r\nSet-Cookie: a=b",
                                      "/x\x7f",
                                      "?x",
                                      "zoobar/"};
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++)
        assert_false(form_is_local_path(bad[i]));
    assert_true(form_is_local_path("/"));
    assert_true(form_is_local_path("/zoobar/index.cgi/users?user=a//b&x=http://y"));
    assert_true(form_is_local_path("/zoobar/index.cgi/users?user=\xc3\xbc"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_are_decoded),
        cmocka_unit_test(bad_escapes_stand_for_themselves),
        cmocka_unit_test(separators_alone_are_no_fields),
        cmocka_unit_test(the_first_of_two_counts),
        cmocka_unit_test(what_is_no_text_is_marked),
        cmocka_unit_test(fields_are_bounded),
        cmocka_unit_test(no_memory_is_an_error),
        cmocka_unit_test(only_the_form_type_is_a_form),
        cmocka_unit_test(amounts_are_whole_and_positive),
        cmocka_unit_test(delays_are_capped),
        cmocka_unit_test(only_local_paths_are_followed),
    };
    return cmocka_run_group_tests(tests, NULL, test_arena_clear);
}
