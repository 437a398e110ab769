/* markup.c - see markup.h. */
#include "apps/zoobar/profile/markup.h"

#include <gumbo.h>
#include <setjmp.h>
#include <stdalign.h>
#include <stdbool.h>
#include <string.h>

#define LEVELS_MAX 8192u /* of the tree: more than the tags that a text of MARKUP_BYTES_MAX can open, clones apart */
#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */

/*
 * What an element becomes: a tag of this name, or nothing but its text.  `after` keeps the words of what loses its
 * tags apart.
 */
struct rule {
    const char *name, *after;
    bool is_void, is_dropped; /* dropped: with all that is in it */
};

static const struct rule rules[GUMBO_TAG_LAST + 1] = {
    [GUMBO_TAG_B] = {.name = "b"},
    [GUMBO_TAG_I] = {.name = "i"},
    [GUMBO_TAG_U] = {.name = "u"},
    [GUMBO_TAG_S] = {.name = "s"},
    [GUMBO_TAG_EM] = {.name = "em"},
    [GUMBO_TAG_STRONG] = {.name = "strong"},
    [GUMBO_TAG_SMALL] = {.name = "small"},
    [GUMBO_TAG_BIG] = {.name = "big"},
    [GUMBO_TAG_SUB] = {.name = "sub"},
    [GUMBO_TAG_SUP] = {.name = "sup"},
    [GUMBO_TAG_TT] = {.name = "tt"},
    [GUMBO_TAG_CODE] = {.name = "code"},
    [GUMBO_TAG_KBD] = {.name = "kbd"},
    [GUMBO_TAG_SAMP] = {.name = "samp"},
    [GUMBO_TAG_PRE] = {.name = "pre"},
    [GUMBO_TAG_SPAN] = {.name = "span"},
    [GUMBO_TAG_P] = {.name = "p"},
    [GUMBO_TAG_BLOCKQUOTE] = {.name = "blockquote"},
    [GUMBO_TAG_UL] = {.name = "ul"},
    [GUMBO_TAG_OL] = {.name = "ol"},
    [GUMBO_TAG_LI] = {.name = "li"},
    [GUMBO_TAG_DL] = {.name = "dl"},
    [GUMBO_TAG_DT] = {.name = "dt"},
    [GUMBO_TAG_DD] = {.name = "dd"},
    [GUMBO_TAG_H1] = {.name = "h3"}, /* the page has its own higher ones */
    [GUMBO_TAG_H2] = {.name = "h3"},
    [GUMBO_TAG_H3] = {.name = "h3"},
    [GUMBO_TAG_H4] = {.name = "h4"},
    [GUMBO_TAG_H5] = {.name = "h5"},
    [GUMBO_TAG_H6] = {.name = "h6"},
    [GUMBO_TAG_BR] = {.name = "br", .is_void = true},
    [GUMBO_TAG_HR] = {.name = "hr", .is_void = true},
    [GUMBO_TAG_DIV] = {.after = "<br>"},
    [GUMBO_TAG_CENTER] = {.after = "<br>"},
    [GUMBO_TAG_ADDRESS] = {.after = "<br>"},
    [GUMBO_TAG_SECTION] = {.after = "<br>"},
    [GUMBO_TAG_ARTICLE] = {.after = "<br>"},
    [GUMBO_TAG_TR] = {.after = "<br>"},
    [GUMBO_TAG_TD] = {.after = " "},
    [GUMBO_TAG_TH] = {.after = " "},
    [GUMBO_TAG_SCRIPT] = {.is_dropped = true},
    [GUMBO_TAG_STYLE] = {.is_dropped = true},
    [GUMBO_TAG_TEMPLATE] = {.is_dropped = true},
    [GUMBO_TAG_IFRAME] = {.is_dropped = true},
    [GUMBO_TAG_SVG] = {.is_dropped = true},
    [GUMBO_TAG_MATH] = {.is_dropped = true},
};

/* One at a time: nothing here blocks the fibre, and there is one thread.  Pages of it are used only when touched. */
static struct {
    jmp_buf exhausted; /* gumbo cannot cope with an allocation that fails */
    size_t used, last; /* last: where the newest block begins */
    alignas(16) unsigned char bytes[MARKUP_SCRATCH_BYTES];
} scratch;

static struct {
    const GumboNode *node;
    unsigned child; /* the next to visit */
    bool is_tagged; /* its end tag is to be written */
} levels[LEVELS_MAX];

static struct {
    size_t used;
    bool is_full;
    char bytes[MARKUP_HTML_BYTES_MAX];
} html;

/* ---- memory of the parser ---- */

static void *scratch_alloc(void *userdata, size_t bytes)
{
    if (bytes > sizeof scratch.bytes - scratch.used)
        longjmp(scratch.exhausted, 1);
    scratch.last = scratch.used;
    size_t end = (scratch.used + (bytes ? bytes : 1) + 15) / 16 * 16;
    scratch.used = end < sizeof scratch.bytes ? end : sizeof scratch.bytes;
    return scratch.bytes + scratch.last;
}

/* Only the newest block is taken back: what grows at the end of the memory does not leave a trail. */
static void scratch_free(void *userdata, void *block)
{
    if (block && block == scratch.bytes + scratch.last)
        scratch.used = scratch.last;
}

/* ---- output ---- */

static void put_bytes(const char *bytes, size_t byte_count)
{
    if (html.is_full || byte_count >= sizeof html.bytes - html.used) { /* room for a NUL stays */
        html.is_full = true;
        return;
    }
    memcpy(html.bytes + html.used, bytes, byte_count);
    html.used += byte_count;
}

static void put(const char *text)
{
    put_bytes(text, strlen(text));
}

/* Length of the well-formed UTF-8 sequence (RFC 3629) that begins there, 0 if none does. */
static size_t sequence_bytes(const unsigned char *at, size_t bytes)
{
    if (at[0] < 0x80)
        return 1;
    if (at[0] < 0xc2 || at[0] > 0xf4)
        return 0;
    size_t need = at[0] < 0xe0 ? 2 : at[0] < 0xf0 ? 3 : 4;
    if (bytes < need)
        return 0;
    for (size_t i = 1; i < need; i++)
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    bool is_bad = (at[0] == 0xe0 && at[1] < 0xa0) || (at[0] == 0xed && at[1] > 0x9f) ||
                  (at[0] == 0xf0 && at[1] < 0x90) || (at[0] == 0xf4 && at[1] > 0x8f);
    return is_bad ? 0 : need;
}

static void put_text(const char *text, size_t bytes)
{
    const unsigned char *at = (const unsigned char *)text;
    size_t step;
    for (size_t i = 0; i < bytes; i += step) {
        size_t sequence = sequence_bytes(at + i, bytes - i);
        step = sequence ? sequence : 1;
        if (sequence == 0 || at[i] == '\0')
            put(REPLACEMENT);
        else if (at[i] == '&')
            put("&amp;");
        else if (at[i] == '<')
            put("&lt;");
        else if (at[i] == '>')
            put("&gt;");
        else if (at[i] == '"')
            put("&#34;");
        else if (at[i] == '\'')
            put("&#39;");
        else if ((at[i] < 0x20 && !strchr("\t\n\r", at[i])) || at[i] == 0x7f || (at[i] == 0xc2 && at[i + 1] < 0xa0))
            continue; /* control characters, also those above ASCII */
        else
            put_bytes(text + i, sequence);
    }
}

static void put_tag(const char *open, const char *name)
{
    put(open);
    put(name);
    put(">");
}

/* ---- the tree ---- */

static const struct rule *rule_of(const GumboNode *node)
{
    static const struct rule dropped = {.is_dropped = true};
    if (node->type == GUMBO_NODE_TEMPLATE || node->v.element.tag_namespace != GUMBO_NAMESPACE_HTML)
        return &dropped;
    return &rules[node->v.element.tag];
}

/* Walks without recursion.  False: too deep, or too much to print. */
static bool put_tree(const GumboNode *root)
{
    size_t depth = 0, open_tags = 0;
    levels[0].node = root;
    levels[0].child = 0;
    levels[0].is_tagged = false;
    for (;;) {
        const GumboNode *parent = levels[depth].node;
        if (html.is_full)
            return false;
        if (levels[depth].child == parent->v.element.children.length) {
            const struct rule *rule = rule_of(parent);
            if (levels[depth].is_tagged) {
                put_tag("</", rule->name);
                open_tags--;
            }
            if (depth == 0)
                return !html.is_full;
            if (rule->after)
                put(rule->after);
            depth--;
            continue;
        }
        const GumboNode *node = parent->v.element.children.data[levels[depth].child++];
        if (node->type == GUMBO_NODE_TEXT || node->type == GUMBO_NODE_WHITESPACE) {
            put_text(node->v.text.text, strlen(node->v.text.text));
            continue;
        }
        if (node->type != GUMBO_NODE_ELEMENT)
            continue; /* comments, CDATA, templates */
        const struct rule *rule = rule_of(node);
        if (rule->is_dropped)
            continue;
        if (++depth == LEVELS_MAX)
            return false;
        levels[depth].node = node;
        levels[depth].child = 0;
        levels[depth].is_tagged = rule->name && !rule->is_void && open_tags < MARKUP_DEPTH_MAX;
        if (levels[depth].is_tagged)
            open_tags++;
        if (levels[depth].is_tagged || (rule->name && rule->is_void))
            put_tag("<", rule->name);
    }
}

static bool put_markup(const char *text, size_t bytes)
{
    GumboOptions options = kGumboDefaultOptions;
    options.allocator = scratch_alloc;
    options.deallocator = scratch_free;
    options.max_errors = 0;
    options.fragment_context = GUMBO_TAG_DIV; /* where the page puts it */
    scratch.used = 0;
    scratch.last = 0;
    if (setjmp(scratch.exhausted))
        return false;
    const GumboOutput *output = gumbo_parse_with_options(&options, text, bytes);
    return put_tree(output->root); /* the tree lies in the scratch block: nothing to free */
}

static void html_clear(void)
{
    html.used = 0;
    html.is_full = false;
}

static char *html_copy(ProtobufCAllocator *allocator)
{
    char *copy = allocator->alloc(allocator->allocator_data, html.used + 1);
    if (copy) {
        memcpy(copy, html.bytes, html.used);
        copy[html.used] = '\0';
    }
    return copy;
}

/* Bytes that begin a character: what gumbo's time depends on is made of these. */
static size_t count_characters(const char *text, size_t bytes)
{
    size_t count = 0;
    for (size_t i = 0; i < bytes; i++)
        count += ((unsigned char)text[i] & 0xc0) != 0x80;
    return count;
}

char *markup_render(const char *text, size_t bytes, ProtobufCAllocator *allocator)
{
    html_clear();
    if (bytes > MARKUP_BYTES_MAX || count_characters(text, bytes) > MARKUP_CHARACTERS_MAX || !put_markup(text, bytes))
        return markup_plain(text, bytes, allocator);
    return html_copy(allocator);
}

char *markup_plain(const char *text, size_t bytes, ProtobufCAllocator *allocator)
{
    html_clear();
    put("<pre>\n"); /* a parser drops a line end that comes first: this one */
    put_text(text, bytes < MARKUP_BYTES_MAX ? bytes : MARKUP_BYTES_MAX);
    put("</pre>");
    return html_copy(allocator);
}
