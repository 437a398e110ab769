/* test_template.c - each value is escaped for its place, and a value in any other place is an error of the build. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "apps/zoobar/dynamic/out.h"
#include "apps/zoobar/dynamic/template.h"
#include "rpc/base/own.h"
#include "tests/unit/test_pages_arena.h"

static struct template template;

static void parse(const char *text, enum template_language language)
{
    struct err e = {0};
    int r = template_parse(text, strlen(text), language, &template, &e);
    if (r < 0)
        fail_msg("%s: %s", text, e.text);
}

static enum template_place place_in(const char *text, enum template_language language)
{
    parse(text, language);
    for (size_t i = 0; i < template.count; i++)
        if (template.nodes[i].kind == NODE_VALUE || template.nodes[i].kind == NODE_INT)
            return template.nodes[i].place;
    fail_msg("%s holds no value", text);
    return PLACE_COUNT;
}

static void places_are_known(void **state)
{
    assert_int_equal(place_in("{{x}}", TEMPLATE_HTML), PLACE_TEXT);
    assert_int_equal(place_in("<p>{{x}}</p>", TEMPLATE_HTML), PLACE_TEXT);
    assert_int_equal(place_in("<!DOCTYPE html><title>{{x}}</title>", TEMPLATE_HTML), PLACE_TEXT);
    assert_int_equal(place_in("<!-- \"<a href=\" -->{{x}}", TEMPLATE_HTML), PLACE_TEXT);
    assert_int_equal(place_in("<script src=\"/x\"></script>{{x}}", TEMPLATE_HTML), PLACE_TEXT);
    assert_int_equal(place_in("<input value=\"{{x}}\">", TEMPLATE_HTML), PLACE_ATTRIBUTE);
    assert_int_equal(place_in("<input disabled class=\"a {{x}} b\" id=\"y\">", TEMPLATE_HTML), PLACE_ATTRIBUTE);
    assert_int_equal(place_in("<input value=\"a?b{{x}}\">", TEMPLATE_HTML), PLACE_ATTRIBUTE);
    assert_int_equal(place_in("<a href=\"/u?user={{x}}&amp;y=1\">", TEMPLATE_HTML), PLACE_QUERY);
    assert_int_equal(place_in("<p id=\"a?\" title=\"{{x}}\">", TEMPLATE_HTML), PLACE_ATTRIBUTE);
    assert_int_equal(place_in("var a = \"'{{x}}\";", TEMPLATE_JS), PLACE_JS_STRING);
    assert_int_equal(place_in("var a = \"\\\"\" + {{x:int}};", TEMPLATE_JS), PLACE_JS_CODE);
    assert_int_equal(place_in("// it's \"\nvar a = {{x:int}};", TEMPLATE_JS), PLACE_JS_CODE);
}

static void refused(const char *text, enum template_language language, const char *why)
{
    struct err e = {0};
    assert_int_equal(template_parse(text, strlen(text), language, &template, &e), -22);
    if (!strstr(e.text, why))
        fail_msg("%s: %s", text, e.text);
}

static void other_places_are_refused(void **state)
{
    refused("<{{x}}>", TEMPLATE_HTML, "1:1: write &lt;");
    refused("<p {{x}}>", TEMPLATE_HTML, "no value may stand here");
    refused("<p class={{x}}>", TEMPLATE_HTML, "double quotes");
    refused("<p class='{{x}}'>", TEMPLATE_HTML, "double quotes");
    refused("<p onclick=\"{{x}}\">", TEMPLATE_HTML, "script or a style");
    refused("<p OnClick=\"go()\">", TEMPLATE_HTML, "script or a style");
    refused("<p style=\"color: {{x}}\">", TEMPLATE_HTML, "script or a style");
    refused("<iframe srcdoc=\"{{x}}\">", TEMPLATE_HTML, "script or a style");
    refused("<a href=\"{{x}}\">", TEMPLATE_HTML, "behind its \"?\"");
    refused("<a href=\"/u/{{x}}?a=b\">", TEMPLATE_HTML, "behind its \"?\"");
    refused("<p data-x=\"{{x}}\">", TEMPLATE_HTML, "no value may stand in this attribute");
    refused("<meta content=\"{{x}}\">", TEMPLATE_HTML, "no value may stand in this attribute");
    refused("<!-- {{x}} -->", TEMPLATE_HTML, "no value may stand here");
    refused("<script>var a = {{x}};</script>", TEMPLATE_HTML, "a script belongs into a file");
    refused("<script>\n</script>", TEMPLATE_HTML, "a script belongs into a file");
    refused("<style>p {}</style>", TEMPLATE_HTML, "style sheet");
    refused("a < b", TEMPLATE_HTML, "write &lt;");
    refused("var a = {{x}};", TEMPLATE_JS, "numbers only");
    refused("// {{x:int}}\n", TEMPLATE_JS, "no value may stand here");
    refused("var a = '{{x}}';", TEMPLATE_JS, "double quotes");
    refused("var a = `{{x}}`;", TEMPLATE_JS, "double quotes");
    refused("var a = /{{x}}/;", TEMPLATE_JS, "double quotes");
    refused("var a = \"{{x}}\n\";", TEMPLATE_JS, "before its line");
}

static void raw_values_are_rare(void **state)
{
    parse("<div>{{{profile_html}}}</div>", TEMPLATE_HTML);
    assert_int_equal(template.nodes[1].kind, NODE_RAW);
    refused("<div>{{{profile}}}</div>", TEMPLATE_HTML, "_html");
    refused("<p class=\"{{{a_html}}}\">", TEMPLATE_HTML, "between tags only");
    refused("var a = {{{a_html}}};", TEMPLATE_JS, "numbers only");
}

static void blocks_nest_and_close(void **state)
{
    parse("{{#if a}}x{{else}}y{{/if}}{{#each r}}{{#if b}}{{c}}{{/if}}{{/each}}", TEMPLATE_HTML);
    static const enum template_kind kinds[] = {NODE_IF,   NODE_LITERAL, NODE_ELSE,  NODE_LITERAL, NODE_END_IF,
                                               NODE_EACH, NODE_IF,      NODE_VALUE, NODE_END_IF,  NODE_END_EACH};
    assert_int_equal(template.count, ARRAY_COUNT(kinds));
    for (size_t i = 0; i < ARRAY_COUNT(kinds); i++)
        assert_int_equal(template.nodes[i].kind, kinds[i]);
    refused("{{#if a}}x", TEMPLATE_HTML, "still open");
    refused("x{{/if}}", TEMPLATE_HTML, "no open block");
    refused("{{#if a}}{{/each}}", TEMPLATE_HTML, "no open block");
    refused("{{#each a}}{{else}}{{/each}}", TEMPLATE_HTML, "no open block");
    refused("{{#if a}}{{else}}{{else}}{{/if}}", TEMPLATE_HTML, "no open block");
    refused("{{#each a}}{{#each b}}{{/each}}{{/each}}", TEMPLATE_HTML, "do not nest");
    refused("{{#if a}}<p class=\"{{/if}}\">", TEMPLATE_HTML, "where it began");
    refused("<a href=\"/x{{#if a}}?{{/if}}{{b}}\">", TEMPLATE_HTML, "where it began");
    refused("<p {{#if a}}hidden{{/if}}>", TEMPLATE_HTML, "a block may begin only");
    refused("{{#if a}}{{#if a}}{{#if a}}{{#if a}}{{#if a}}{{#if a}}{{#if a}}{{#if a}}{{#if a}}", TEMPLATE_HTML,
            "too many blocks");
}

static void mistakes_have_a_place(void **state)
{
    refused("one\n  {{x", TEMPLATE_HTML, "2:3: this tag is not closed");
    refused("{{X}}", TEMPLATE_HTML, "1:3: this is no name");
    refused("{{}}", TEMPLATE_HTML, "no name");
    refused("{{a b}}", TEMPLATE_HTML, "no name");
    refused("{{#when a}}", TEMPLATE_HTML, "a block is");
    refused("{{a_name_that_is_longer_than_31_bytes}}", TEMPLATE_HTML, "no name");
    refused("<p", TEMPLATE_HTML, "still open at the end");
    refused("<p class=\"", TEMPLATE_HTML, "still open at the end");
}

static void lines_of_tags_alone_disappear(void **state)
{
    parse("a\n  {{#if x}}  \nb\n{{/if}}\n{{! a remark with <p> }}\nc {{#if x}}\nd{{/if}}", TEMPLATE_HTML);
    static const char *const literals[] = {"a\n", NULL, "b\n", NULL, "c ", NULL, "\nd", NULL};
    assert_int_equal(template.count, ARRAY_COUNT(literals));
    for (size_t i = 0; i < ARRAY_COUNT(literals); i++) {
        assert_int_equal(template.nodes[i].kind == NODE_LITERAL, literals[i] != NULL);
        if (literals[i])
            assert_memory_equal(template.nodes[i].literal, literals[i], template.nodes[i].literal_bytes);
    }
    assert_int_equal(template.nodes[2].line, 3);
}

static const char *written(void (*write)(struct out *, const char *), const char *value)
{
    struct out out;
    out_init(&out, &test_arena);
    write(&out, value);
    char *text = out_string(&out);
    assert_non_null(text);
    return text;
}

static void escapes_end_no_place(void **state)
{
    assert_string_equal(written(out_text, "<b>&\"'x"), "&lt;b&gt;&amp;&#34;&#39;x");
    assert_string_equal(written(out_attribute, "\"><b>&'\r\n\tx"), "&#34;&gt;&lt;b&gt;&amp;&#39;&#13;&#10;&#9;x");
    assert_string_equal(written(out_query, "a b&c=d/e?f#g%\"<\xc3\xbc~"), "a%20b%26c%3Dd%2Fe%3Ff%23g%25%22%3C%C3%BC~");
    assert_string_equal(written(out_query_path, "/users?a=b c"), "/users%3Fa%3Db%20c");
    assert_string_equal(written(out_location, "/u?a=%20b c\"\xc3\xbc\r\nX: y"), "/u?a=%20b%20c%22%C3%BC%0D%0AX:%20y");
    assert_string_equal(written(out_js_string, "\"</script>\\\n'x \xe2\x80\xa8\xc3\xbc"),
                        "\\x22\\x3c\\x2fscript\\x3e\\x5c\\x0a\\x27x \\u2028\xc3\xbc");
    assert_string_equal(written(out_text, NULL), "");
    assert_string_equal(written(out_attribute, NULL), "");
    assert_string_equal(written(out_query, NULL), "");
    assert_string_equal(written(out_js_string, NULL), "");
    for (int c = 1; c < 256; c++) {
        const char value[] = {(char)c, '\0'};
        assert_null(strpbrk(written(out_text, value), "<>\"'"));
        assert_null(strpbrk(written(out_attribute, value), "<>\"'\r\n\t"));
        assert_null(strpbrk(written(out_query, value), "<>\"'&=#? \r\n"));
        assert_null(strpbrk(written(out_js_string, value), "<>\"'&\r\n"));
        assert_null(strpbrk(written(out_location, value), "<>\"\\ \r\n"));
    }
}

static void pages_are_bounded(void **state)
{
    struct out out;
    static char block[64 << 10];
    memset(block, 'x', sizeof block);
    out_init(&out, &test_arena);
    for (size_t i = 0; i < OUT_BYTES_MAX / sizeof block; i++)
        out_raw(&out, block, sizeof block);
    assert_true(out_is_ok(&out));
    assert_int_equal(out.used, OUT_BYTES_MAX);
    out_raw(&out, "x", 1);
    assert_false(out_is_ok(&out));
    out_init(&out, &test_no_memory);
    out_int(&out, INT64_MIN);
    assert_false(out_is_ok(&out));
    assert_null(out_string(&out));
    out_init(&out, &test_arena);
    out_int(&out, INT64_MIN);
    assert_string_equal(out_string(&out), "-9223372036854775808");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(places_are_known),      cmocka_unit_test(other_places_are_refused),
        cmocka_unit_test(raw_values_are_rare),   cmocka_unit_test(blocks_nest_and_close),
        cmocka_unit_test(mistakes_have_a_place), cmocka_unit_test(lines_of_tags_alone_disappear),
        cmocka_unit_test(escapes_end_no_place),  cmocka_unit_test(pages_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, test_arena_clear);
}
