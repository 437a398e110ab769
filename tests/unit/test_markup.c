/* test_markup.c - no profile scripts a visitor's browser, and harmless markup still shows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "apps/zoobar/profile/markup.h"
#include "rpc/base/own.h"

static void *heap_alloc(void *data, size_t bytes)
{
    return malloc(bytes);
}

static void heap_free(void *data, void *block)
{
    free(block);
}

static ProtobufCAllocator heap = {.alloc = heap_alloc, .free = heap_free};

/*
 * The promise, checked on the output alone: every "<" begins one of our tags, exactly as we write them, tags that are
 * no void ones are balanced, and no quote, "&" but of our entities, or control character is left.
 */
static void assert_safe(const char *html)
{
    static const char *const names[] = {"b",  "i",  "u",  "s",  "em", "strong", "small", "big", "sub",        "sup",
                                        "tt", "p",  "ul", "ol", "li", "dl",     "dt",    "dd",  "blockquote", "pre",
                                        "h3", "h4", "h5", "h6", "br", "hr",     "code",  "kbd", "samp",       "span"};
    static const char *const entities[] = {"&amp;", "&lt;", "&gt;", "&#34;", "&#39;"};
    const char *open[MARKUP_DEPTH_MAX + 1];
    size_t depth = 0;
    for (const char *c = html; *c; c++) {
        assert_true((unsigned char)*c >= 0x20 || strchr("\t\n\r", *c));
        assert_false(strchr("'\">", *c));
        if (*c == '&') {
            bool is_known = false;
            for (size_t i = 0; i < ARRAY_COUNT(entities); i++)
                is_known |= strncmp(c, entities[i], strlen(entities[i])) == 0;
            assert_true(is_known);
        }
        if (*c != '<')
            continue;
        bool is_end = c[1] == '/';
        const char *name = c + 1 + is_end, *stop = strchr(name, '>');
        assert_non_null(stop);
        const char *known = NULL;
        for (size_t i = 0; i < ARRAY_COUNT(names); i++)
            if (strlen(names[i]) == (size_t)(stop - name) && strncmp(names[i], name, strlen(names[i])) == 0)
                known = names[i];
        assert_non_null(known);
        if (is_end) {
            assert_true(depth > 0);
            assert_ptr_equal(open[--depth], known);
        } else if (strcmp(known, "br") != 0 && strcmp(known, "hr") != 0) {
            assert_true(depth < MARKUP_DEPTH_MAX);
            open[depth++] = known;
        }
        c = stop;
    }
    assert_int_equal(depth, 0);
}

static char *render(const char *text, size_t bytes)
{
    char *html = markup_render(text, bytes, &heap);
    assert_non_null(html);
    assert_safe(html);
    return html;
}

static void shows(const char *text, const char *expected)
{
    char *html = render(text, strlen(text));
    assert_string_equal(html, expected);
    free(html);
}

static void harmless_markup_shows(void **state)
{
    shows("", "");
    shows("hello", "hello");
    shows("two\nlines\r\nand more", "two\nlines\nand more");
    shows("<b>bold</b> <i>italic</i>", "<b>bold</b> <i>italic</i>");
    shows("<ul><li>one<li>two</ul>", "<ul><li>one</li><li>two</li></ul>");
    shows("<p>one<p>two", "<p>one</p><p>two</p>");
    shows("Visitor <i>alice</i>: <p>Your balance <br/>is 5</p><hr>",
          "Visitor <i>alice</i>: <p>Your balance <br>is 5</p><hr>");
    shows("<h1>Me</h1><pre>a  b</pre>", "<h3>Me</h3><pre>a  b</pre>");
    shows("gr\xc3\xbc\xc3\x9f"
          "e &amp; &lt;b&gt; &copy;",
          "gr\xc3\xbc\xc3\x9f"
          "e &amp; &lt;b&gt; \xc2\xa9");
    shows("1 < 2 & 3 > 2 \"quoted\" 'too'", "1 &lt; 2 &amp; 3 &gt; 2 &#34;quoted&#34; &#39;too&#39;");
}

static void attributes_and_links_are_gone(void **state)
{
    shows("<b onclick=alert(1) style='x' id=zoobars class=\"10\">x</b>", "<b>x</b>");
    shows("<p/onmouseover=alert(1)>x", "<p>x</p>");
    shows("<a href=\"javascript:alert(1)\">x</a>", "x");
    shows("<a href=\"&#106;avascript&colon;alert(1)\">x</a>", "x");
    shows("<a href=http://other.example/ target=_blank>x</a>", "x");
    shows("<span id=\"zoobars\" class=\"1000\">x</span>", "<span>x</span>");
}

static void what_runs_is_dropped(void **state)
{
    shows("a<script>alert(1)</script>b", "ab");
    shows("a<SCRIPT SRC=//other.example/x.js></SCRIPT>b", "ab");
    shows("<scr<script>ipt>alert(1)</script>", "ipt&gt;alert(1)");
    shows("a<style>*{background:url(//other.example)}</style>b", "ab");
    shows("<img src=x onerror=alert(1)>", "");
    shows("<image src=x onerror=alert(1)>", "");
    shows("<svg><script>alert(1)</script></svg>a", "a");
    shows("<svg/onload=alert(1)>", "");
    shows("<svg><p><style><!--</style><img src=x onerror=alert(1)>-->", "");
    shows("<math><mtext><table><mglyph><style><!--</style><img title=\"--&gt;&lt;img src=1 onerror=alert(1)&gt;\">",
          "");
    shows("<iframe src=javascript:alert(1)>x</iframe>a", "a");
    shows("<iframe srcdoc='<script>alert(1)</script>'></iframe>a", "a");
    shows("<object data=x>in</object><embed src=x>", "in");
    shows("<template><script>alert(1)</script></template>a", "a");
    shows("<meta http-equiv=refresh content='0;url=//other.example'><base href=//other.example><link rel=stylesheet "
          "href=x>a",
          "a");
    shows("<form action=//other.example><input name=x><button>b</button></form>", "b");
    shows("<body onload=alert(1)>a", "a");
    shows("<!--<script>alert(1)</script>-->a", "a");
    shows("<!--><script>alert(1)</script>-->", "--&gt;");
    shows("<![CDATA[<script>alert(1)</script>]]>", "alert(1)]]&gt;");
    shows("<?php alert(1) ?>a<!DOCTYPE x>", "a");
}

static void text_elements_show_as_text(void **state)
{
    shows("<textarea><script>alert(1)</script></textarea>", "&lt;script&gt;alert(1)&lt;/script&gt;");
    shows("<title><img src=x onerror=alert(1)></title>", "&lt;img src=x onerror=alert(1)&gt;");
    shows("<noscript><p title=\"</noscript><img src=x onerror=alert(1)>\">", "<p></p>");
    shows("<xmp><b>x</b></xmp>", "&lt;b&gt;x&lt;/b&gt;");
    shows("<plaintext><b>x</b>", "&lt;b&gt;x&lt;/b&gt;");
    shows("&lt;script&gt;alert(1)&lt;/script&gt;", "&lt;script&gt;alert(1)&lt;/script&gt;");
    shows("&#60;script&#x3e;alert(1)", "&lt;script&gt;alert(1)");
}

static void nothing_leaves_its_box(void **state)
{
    shows("</div></div></section></main></body></html>a", "a");
    shows("<div>a</div>b</div>c", "a<br>bc");
    shows("<b><i>x</b>y</i>", "<b><i>x</i></b><i>y</i>");
    shows("<table><tr><td>a<td>b<tr><td>c</table>", "a b <br>c <br>");
    shows("<table><b>fostered</table>", "<b>fostered</b>");
    shows("<b><p><b>x", "<b><p><b>x</b></p></b>");
    shows("<", "&lt;");
    shows("<b", "");
    shows("<b a='", "");
    shows("</", "&lt;/");
    shows("<a<b<c>x", "x");
}

static void any_bytes_give_clean_text(void **state)
{
    static const char nul[] = "a\0b<b\0>c</b>";
    char *html = render(nul, sizeof nul - 1);
    free(html);
    shows("\xff\xfe x \xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd x \xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
    shows("\xc0\xaf", "\xef\xbf\xbd\xef\xbf\xbd");
    shows("\xf4\x90\x80\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
    shows("a\x01\x02\x1b[31m\x7f\xc2\x9b"
          "b",
          "a\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd[31m\xef\xbf\xbd\xef\xbf\xbd"
          "b");
    shows("&#1;&#27;&#x9b;", "\xe2\x80\xba"); /* the last is what old pages meant by it */
    shows("\xe2\x80\xae"
          "rtl",
          "\xe2\x80\xae"
          "rtl");
    char *plain = markup_plain("\0<b>\xff", 5, &heap);
    assert_string_equal(plain, "<pre>\n\xef\xbf\xbd&lt;b&gt;\xef\xbf\xbd</pre>");
    assert_safe(plain);
    free(plain);
}

/* unit, over and over, until the text is as long as profiles may be. */
static char *repeat(const char *head, const char *unit, size_t *ret_bytes)
{
    char *text = malloc(MARKUP_BYTES_MAX + 1);
    assert_non_null(text);
    size_t used = strlen(head), step = strlen(unit);
    memcpy(text, head, used);
    while (used + step <= MARKUP_CHARACTERS_MAX) {
        memcpy(text + used, unit, step);
        used += step;
    }
    *ret_bytes = used;
    return text;
}

static void bombs_stay_small(void **state)
{
    static const char *const units[][2] = {
        {"", "<b>"},
        {"", "<div>"},
        {"", "<table>"},
        {"", "<table><tr><td>"},
        {"", "</p>"},
        {"", "<a>"},
        {"", "<b><p>"},
        {"", "<i></b>"},
        {"", "&"},
        {"", "\""},
        {"", "<"},
        {"", "<svg>"},
        {"", "<template>"},
        {"", "<select>"},
        {"", "<frameset>"},
        {"", "<b><i><u><s><em><strong><tt><code><small><big><p>"},
        {"<font a><font b><font c><font d><font e><font f><font g><font h><font i><font j><font k><font l>", "<p>"},
        {"<font a><font b><font c><font d><font e><font f><font g><font h><font i><font j><font k><font l>", "<p></p>"},
        {"<b ", "a='>' "},
        {"<b ", "a "},
        {"<!--", "-"},
        {"", "<li>"},
        {"", "\xff"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(units); i++) {
        size_t bytes;
        char *text = repeat(units[i][0], units[i][1], &bytes);
        char *html = render(text, bytes);
        assert_true(strlen(html) < MARKUP_HTML_BYTES_MAX);
        free(html);
        free(text);
    }
}

/* A tag of many different attributes, and formatting elements that are opened again and again. */
static void made_up_bombs_stay_small(void **state)
{
    static const char *const heads[] = {"<b ", "", ""}, *const tails[] = {"", "<p>", "</b>"};
    char *text = malloc(MARKUP_CHARACTERS_MAX + 1);
    assert_non_null(text);
    for (size_t i = 0; i < ARRAY_COUNT(heads); i++) {
        size_t limit = *tails[i] ? MARKUP_CHARACTERS_MAX / 2 : MARKUP_CHARACTERS_MAX;
        size_t used = strlen(heads[i]), step = strlen(tails[i]);
        memcpy(text, heads[i], used);
        for (unsigned n = 0; used + 16 < limit; n++)
            used += (size_t)(*tails[i] ? snprintf(text + used, 16, "<b %x>", n) : snprintf(text + used, 16, "%x ", n));
        for (; step && used + step <= MARKUP_CHARACTERS_MAX; used += step)
            memcpy(text + used, tails[i], step);
        char *html = render(text, used);
        assert_true(strlen(html) < MARKUP_HTML_BYTES_MAX);
        free(html);
    }
    free(text);
}

/* Tables inside tables make the parser open all of hundreds of elements again for each <p>: some 40 MiB. */
static void what_wants_too_much_memory_is_plain(void **state)
{
    char *text = malloc(MARKUP_CHARACTERS_MAX + 1);
    assert_non_null(text);
    size_t used = 0;
    for (unsigned n = 0; used + 24 < MARKUP_CHARACTERS_MAX / 2; n++)
        used += (size_t)snprintf(text + used, 24, "<table><b %x>", n);
    for (; used + 3 <= MARKUP_CHARACTERS_MAX; used += 3)
        memcpy(text + used, "<p>", 3);
    for (unsigned i = 0; i < 2; i++) { /* and the next text has all memory again */
        char *html = render(text, used);
        assert_int_equal(strncmp(html, "<pre>\n&lt;table&gt;", 19), 0);
        free(html);
        shows("<b>x</b>", "<b>x</b>");
    }
    free(text);
}

static void too_long_a_text_is_plain(void **state)
{
    static char text[3 * MARKUP_BYTES_MAX];
    memset(text, '<', sizeof text);
    memcpy(text, "<b>", 3);
    char *html = render(text, MARKUP_CHARACTERS_MAX + 1);
    assert_int_equal(strncmp(html, "<pre>\n&lt;b&gt;", 15), 0);
    free(html);
    html = render(text, sizeof text); /* and cut */
    assert_true(strlen(html) < MARKUP_HTML_BYTES_MAX);
    free(html);
    size_t used = 3; /* as many characters as a profile may have, all of them long */
    for (; used + 4 <= MARKUP_BYTES_MAX && used / 4 < MARKUP_CHARACTERS_MAX - 3; used += 4)
        memcpy(text + used, "\xf0\x9f\x90\xbb", 4);
    html = render(text, used);
    assert_int_equal(strncmp(html, "<b>\xf0", 4), 0);
    free(html);
}

static void *no_alloc(void *data, size_t bytes)
{
    return NULL;
}

static void no_memory_is_no_page(void **state)
{
    ProtobufCAllocator none = {.alloc = no_alloc, .free = heap_free};
    assert_null(markup_render("<b>x", 4, &none));
    assert_null(markup_plain("x", 1, &none));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(harmless_markup_shows),    cmocka_unit_test(attributes_and_links_are_gone),
        cmocka_unit_test(what_runs_is_dropped),     cmocka_unit_test(text_elements_show_as_text),
        cmocka_unit_test(nothing_leaves_its_box),   cmocka_unit_test(any_bytes_give_clean_text),
        cmocka_unit_test(bombs_stay_small),         cmocka_unit_test(made_up_bombs_stay_small),
        cmocka_unit_test(too_long_a_text_is_plain), cmocka_unit_test(what_wants_too_much_memory_is_plain),
        cmocka_unit_test(no_memory_is_no_page),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
