/* template.c - see template.h. */
#include "apps/zoobar/dynamic/template.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "rpc/base/own.h"

/*
 * Where the scanner is in the literal text.
 *
 *   TEXT --"<x"--> TAG_NAME --> TAG <--> ATTRIBUTE_NAME --"=\""--> VALUE --"\""--> TAG --">"--> TEXT
 *   TEXT --"<!--"--> COMMENT --"-->"--> TEXT         <script ...> --"</script>"--> TEXT
 *   JS_CODE --"\""--> JS_STRING --"\""--> JS_CODE    JS_CODE --"//"--> JS_REMARK --end of line--> JS_CODE
 */
enum state {
    TEXT,
    TAG_NAME,
    TAG,
    ATTRIBUTE_NAME,
    VALUE,
    COMMENT,
    JS_CODE,
    JS_STRING,
    JS_REMARK,
};

#define WORD_BYTES 24 /* of a tag's or attribute's name, with its NUL */

struct place {
    enum state state;
    char tag[WORD_BYTES];
    char attribute[WORD_BYTES]; /* of TAG_NAME, ATTRIBUTE_NAME, VALUE */
    bool is_query;              /* VALUE: a "?" was seen */
    bool is_end_tag;
};

struct block {
    enum template_kind kind;
    struct place place; /* where it began */
    bool has_else;
};

struct parser {
    const char *start, *at, *end;
    struct place place;
    struct block blocks[TEMPLATE_DEPTH_MAX];
    size_t depth;
    bool is_in_each;
    struct template *template;
    struct err *e;
};

static int refuse(struct parser *p, const char *at, const char *what)
{
    unsigned line = 1, column = 1;
    for (const char *c = p->start; c < at; c++) {
        column = *c == '\n' ? 1 : column + 1;
        line += *c == '\n';
    }
    return err_set(p->e, -EINVAL, "%u:%u: %s", line, column, what);
}

static bool is_one_of(const char *word, const char *const *words, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(word, words[i]) == 0)
            return true;
    return false;
}

static bool starts(const char *at, const char *end, const char *with)
{
    size_t bytes = strlen(with);
    return (size_t)(end - at) >= bytes && memcmp(at, with, bytes) == 0;
}

static bool word_add(char word[WORD_BYTES], char c)
{
    size_t bytes = strlen(word);
    if (bytes + 1 >= WORD_BYTES)
        return false;
    word[bytes] = (char)tolower((unsigned char)c);
    word[bytes + 1] = '\0';
    return true;
}

static int tag_ended(struct parser *p, const char *at, const char *end)
{
    if (strcmp(p->place.tag, "style") == 0)
        return refuse(p, at, "a style belongs into the style sheet");
    if (strcmp(p->place.tag, "script") == 0 && !p->place.is_end_tag && !starts(at + 1, end, "</script>"))
        return refuse(p, at, "a script belongs into a file of its own: <script src=\"...\"></script>");
    p->place = (struct place){.state = TEXT};
    return 0;
}

static int attribute_named(struct parser *p, const char *at)
{
    const char *name = p->place.attribute;
    if (strncmp(name, "on", 2) == 0 || strcmp(name, "style") == 0 || strcmp(name, "srcdoc") == 0)
        return refuse(p, at, "this attribute holds a script or a style, which the pages' policy forbids");
    return 0;
}

/* One byte of HTML outside of {{}}.  *at moves on by what belongs together. */
static int scan_html(struct parser *p, const char **at, const char *end)
{
    struct place *place = &p->place;
    const char *c = *at;
    *at = c + 1;
    switch (place->state) {
    case TEXT:
        if (*c != '<')
            return 0;
        *place = (struct place){.state = TAG_NAME};
        if (starts(c, end, "<!--")) {
            place->state = COMMENT;
            *at = c + 4;
        } else if (starts(c, end, "<!DOCTYPE html>")) {
            place->state = TEXT;
            *at = c + strlen("<!DOCTYPE html>");
        } else if (c + 1 < end && c[1] == '/') {
            place->is_end_tag = true;
            *at = c + 2;
        } else if (c + 1 >= end || !isalpha((unsigned char)c[1])) {
            return refuse(p, c, "write &lt; for a \"<\" that begins no tag");
        }
        return 0;
    case COMMENT:
        if (starts(c, end, "-->")) {
            place->state = TEXT;
            *at = c + 3;
        }
        return 0;
    case TAG_NAME:
        if (*c == '>')
            return tag_ended(p, c, end);
        if (isspace((unsigned char)*c) || *c == '/') {
            place->state = TAG;
            return 0;
        }
        if (!isalnum((unsigned char)*c) || !word_add(place->tag, *c))
            return refuse(p, c, "this is no name of a tag");
        return 0;
    case TAG:
        if (*c == '>')
            return tag_ended(p, c, end);
        if (isspace((unsigned char)*c) || *c == '/')
            return 0;
        if (!isalpha((unsigned char)*c))
            return refuse(p, c, "an attribute begins with a letter");
        place->state = ATTRIBUTE_NAME;
        memset(place->attribute, 0, sizeof place->attribute);
        (void)word_add(place->attribute, *c);
        return 0;
    case ATTRIBUTE_NAME:
        if (*c == '=') {
            if (c + 1 >= end || c[1] != '"')
                return refuse(p, c, "the value of an attribute stands in double quotes");
            place->state = VALUE;
            place->is_query = false;
            *at = c + 2;
            return attribute_named(p, c);
        }
        if (isspace((unsigned char)*c) || *c == '>') {
            place->state = TAG;
            if (*c == '>')
                *at = c; /* TAG sees it again */
            return attribute_named(p, c);
        }
        if ((!isalnum((unsigned char)*c) && *c != '-') || !word_add(place->attribute, *c))
            return refuse(p, c, "this is no name of an attribute");
        return 0;
    case VALUE:
        if (*c == '"') {
            place->state = TAG;
            memset(place->attribute, 0, sizeof place->attribute);
            place->is_query = false;
        } else if (*c == '?') {
            place->is_query = true;
        }
        return 0;
    default:
        return refuse(p, c, "the scanner lost its place");
    }
}

static int scan_js(struct parser *p, const char **at, const char *end)
{
    struct place *place = &p->place;
    const char *c = *at;
    *at = c + 1;
    switch (place->state) {
    case JS_CODE:
        if (*c == '"') {
            place->state = JS_STRING;
        } else if (starts(c, end, "//")) {
            place->state = JS_REMARK;
        } else if (*c == '\'' || *c == '`' || *c == '/') {
            return refuse(p, c, "strings stand in double quotes; no regular expression, division or /* here");
        }
        return 0;
    case JS_STRING:
        if (*c == '\n')
            return refuse(p, c, "a string ends before its line does");
        if (*c == '\\' && c + 1 < end)
            *at = c + 2;
        else if (*c == '"')
            place->state = JS_CODE;
        return 0;
    case JS_REMARK:
        if (*c == '\n')
            place->state = JS_CODE;
        return 0;
    default:
        return refuse(p, c, "the scanner lost its place");
    }
}

static int scan(struct parser *p, const char *from, const char *to)
{
    bool is_js = p->place.state >= JS_CODE;
    while (from < to) {
        int r = is_js ? scan_js(p, &from, to) : scan_html(p, &from, to);
        if (r < 0)
            return r;
    }
    return 0;
}

static struct template_node *node_add(struct parser *p, const char *at, enum template_kind kind)
{
    if (p->template->count == TEMPLATE_NODES_MAX) {
        (void)refuse(p, at, "too many parts in one template");
        return NULL;
    }
    struct template_node *node = &p->template->nodes[p->template->count++];
    *node = (struct template_node){.kind = kind, .line = 1};
    for (const char *c = p->start; c < at; c++)
        node->line += *c == '\n';
    return node;
}

static int literal(struct parser *p, const char *from, const char *to)
{
    if (from == to)
        return 0;
    struct template_node *node = node_add(p, from, NODE_LITERAL);
    if (!node)
        return -EINVAL;
    node->literal = from;
    node->literal_bytes = (size_t)(to - from);
    return scan(p, from, to);
}

/* Which escape belongs here; I1. */
static int place_of(struct parser *p, const char *at, bool is_int, enum template_place *ret_place)
{
    static const char *const plain[] = {"value", "class", "id", "title", "placeholder", "aria-label"};
    static const char *const urls[] = {"href", "src", "action"};
    switch (p->place.state) {
    case TEXT:
        *ret_place = PLACE_TEXT;
        return 0;
    case VALUE:
        if (is_one_of(p->place.attribute, plain, ARRAY_COUNT(plain)))
            *ret_place = PLACE_ATTRIBUTE;
        else if (!is_one_of(p->place.attribute, urls, ARRAY_COUNT(urls)))
            return refuse(p, at, "no value may stand in this attribute");
        else if (!p->place.is_query)
            return refuse(p, at, "a value may stand in an URL only behind its \"?\"");
        else
            *ret_place = PLACE_QUERY;
        return 0;
    case JS_STRING:
        *ret_place = PLACE_JS_STRING;
        return 0;
    case JS_CODE:
        if (!is_int)
            return refuse(p, at, "outside of a string, a script may hold numbers only: {{name:int}}");
        *ret_place = PLACE_JS_CODE;
        return 0;
    default:
        return refuse(p, at, "no value may stand here: only between tags and in double-quoted attributes or strings");
    }
}

static bool is_same_place(const struct place *a, const struct place *b)
{
    return a->state == b->state && a->is_query == b->is_query && strcmp(a->tag, b->tag) == 0 &&
           strcmp(a->attribute, b->attribute) == 0;
}

/* name: [a-z][a-z0-9_]*, into the node. */
static int name_read(struct parser *p, const char *from, const char *to, struct template_node *node)
{
    size_t bytes = (size_t)(to - from);
    if (bytes == 0 || bytes >= sizeof node->name || !islower((unsigned char)*from))
        return refuse(p, from, "this is no name of a value: lower case, digits and _, at most 31");
    for (const char *c = from; c < to; c++)
        if (!islower((unsigned char)*c) && !isdigit((unsigned char)*c) && *c != '_')
            return refuse(p, c, "this is no name of a value: lower case, digits and _, at most 31");
    memcpy(node->name, from, bytes);
    node->name[bytes] = '\0';
    return 0;
}

static int block_begin(struct parser *p, const char *from, const char *to)
{
    bool is_each = starts(from, to, "#each ");
    if (!is_each && !starts(from, to, "#if "))
        return refuse(p, from, "a block is {{#if name}} or {{#each name}}");
    enum state state = p->place.state;
    if (state != TEXT && state != VALUE && state != JS_CODE)
        return refuse(p, from, "a block may begin only between tags or in a value");
    if (p->depth == TEMPLATE_DEPTH_MAX || (is_each && p->is_in_each))
        return refuse(p, from, is_each ? "lists do not nest" : "too many blocks in blocks");
    struct template_node *node = node_add(p, from, is_each ? NODE_EACH : NODE_IF);
    if (!node)
        return -EINVAL;
    p->blocks[p->depth++] = (struct block){.kind = node->kind, .place = p->place};
    p->is_in_each |= is_each;
    return name_read(p, from + (is_each ? 6 : 4), to, node);
}

static int block_go_on(struct parser *p, const char *from, const char *to)
{
    bool is_else = starts(from, to, "else"), is_if = is_else || starts(from, to, "/if");
    size_t bytes = strlen(is_else ? "else" : is_if ? "/if" : "/each");
    if ((!is_if && !starts(from, to, "/each")) || (size_t)(to - from) != bytes)
        return refuse(p, from, "this is no tag of a template");
    struct block *block = p->depth ? &p->blocks[p->depth - 1] : NULL;
    if (!block || (block->kind == NODE_IF) != is_if || (is_else && block->has_else))
        return refuse(p, from, "this belongs to no open block");
    if (!is_same_place(&block->place, &p->place))
        return refuse(p, from, "a block ends in the kind of place where it began");
    if (!node_add(p, from, is_else ? NODE_ELSE : is_if ? NODE_END_IF : NODE_END_EACH))
        return -EINVAL;
    if (is_else) {
        block->has_else = true;
    } else {
        p->is_in_each &= is_if;
        p->depth--;
    }
    return 0;
}

static int value(struct parser *p, const char *from, const char *to, bool is_raw)
{
    struct template_node *node = node_add(p, from, is_raw ? NODE_RAW : NODE_VALUE);
    if (!node)
        return -EINVAL;
    if (!is_raw && to - from > 4 && memcmp(to - 4, ":int", 4) == 0) {
        node->kind = NODE_INT;
        to -= 4;
    }
    int r = name_read(p, from, to, node);
    if (r == 0)
        r = place_of(p, from, node->kind == NODE_INT, &node->place);
    if (r < 0 || !is_raw)
        return r;
    if (node->place != PLACE_TEXT)
        return refuse(p, from, "{{{}}} may stand between tags only");
    if (to - from < 6 || memcmp(to - 5, "_html", 5) != 0)
        return refuse(p, from, "the name of what is not escaped ends in _html");
    return 0;
}

/* [*from, *to) is a tag that prints nothing.  Alone on its line, it takes the whole line with it. */
static void widen_to_line(const struct parser *p, const char **from, const char **to)
{
    const char *before = *from, *after = *to;
    while (before > p->at && (before[-1] == ' ' || before[-1] == '\t'))
        before--;
    while (after < p->end && (*after == ' ' || *after == '\t'))
        after++;
    bool is_alone = before == p->start || before[-1] == '\n';
    if (is_alone && (after == p->end || *after == '\n')) {
        *from = before;
        *to = after == p->end ? after : after + 1;
    }
}

int template_parse(const char *source, size_t bytes, enum template_language language, struct template *ret,
                   struct err *e)
{
    struct parser p = {
        .start = source,
        .at = source,
        .end = source + bytes,
        .template = ret,
        .e = e,
        .place.state = language == TEMPLATE_JS ? JS_CODE : TEXT,
    };
    ret->count = 0;
    for (;;) {
        const char *open = memmem(p.at, (size_t)(p.end - p.at), "{{", 2);
        if (!open)
            break;
        bool is_raw = starts(open, p.end, "{{{");
        const char *inner = open + (is_raw ? 3 : 2), *close_with = is_raw ? "}}}" : "}}";
        const char *close = memmem(inner, (size_t)(p.end - inner), close_with, strlen(close_with));
        if (!close)
            return refuse(&p, open, "this tag is not closed");
        const char *from = open, *to = close + strlen(close_with);
        bool is_remark = *inner == '!';
        bool is_silent = !is_raw && (is_remark || *inner == '#' || *inner == '/' || starts(inner, close, "else"));
        if (is_silent)
            widen_to_line(&p, &from, &to);
        int r = literal(&p, p.at, from);
        if (r == 0 && !is_remark)
            r = !is_silent      ? value(&p, inner, close, is_raw)
                : *inner == '#' ? block_begin(&p, inner, close)
                                : block_go_on(&p, inner, close);
        if (r < 0)
            return r;
        p.at = to;
    }
    int r = literal(&p, p.at, p.end);
    if (r < 0)
        return r;
    if (p.depth > 0)
        return refuse(&p, p.end, "a block is still open at the end");
    if (p.place.state != TEXT && p.place.state != JS_CODE)
        return refuse(&p, p.end, "a tag, comment or string is still open at the end");
    return 0;
}
