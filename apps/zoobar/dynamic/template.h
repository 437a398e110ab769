/*
 * template.h - reads a template and knows, for each value in it, which kind of place it stands in.
 *
 * Pure, and of the build only: template_gen.c turns the nodes into C, so a service holds no template parser and a
 * misspelt name is an error of the compiler.
 *
 *   {{name}}                         text, escaped for the place that it stands in
 *   {{name:int}}                     a number, int64_t
 *   {{{name_html}}}                  as it is; only between tags, and the name must end in _html
 *   {{#if name}} {{else}} {{/if}}    name is a bool, or a text of the same scope (is it there?)
 *   {{#each name}} {{/each}}         for each row of a list; inside, names are the row's; lists do not nest
 *   {{! remark }}                    nothing
 *
 * A line that holds one block tag or remark and nothing else disappears.
 *
 * Invariants
 *  I1  A value stands only where an escape is known: between tags; in a double-quoted attribute of a list of harmless
 *      ones; in an URL attribute behind its "?"; in a double-quoted string of a script.  All else is an error here.
 *  I2  A block ends in the kind of place where it began, so the place of what follows does not depend on its condition.
 *  I3  HTML holds neither scripts nor styles of its own (the pages' policy would not run them): <script> has a src and
 *      no text, and there are no <style>, style="", on...="" and srcdoc="".
 */
#ifndef ZOOBAR_DYNAMIC_TEMPLATE_H
#define ZOOBAR_DYNAMIC_TEMPLATE_H

#include <stddef.h>

#include "rpc/base/err.h"

#define TEMPLATE_NODES_MAX 256u /* of one file: ours have about thirty */
#define TEMPLATE_NAME_BYTES 32u /* of a value, with its NUL */
#define TEMPLATE_DEPTH_MAX 8u   /* blocks in blocks */

enum template_language {
    TEMPLATE_HTML,
    TEMPLATE_JS,
};

enum template_place {
    PLACE_TEXT,      /* between tags */
    PLACE_ATTRIBUTE, /* in a double-quoted attribute */
    PLACE_QUERY,     /* in a double-quoted URL, behind the "?" */
    PLACE_JS_STRING, /* in a double-quoted string of a script */
    PLACE_JS_CODE,   /* in a script: numbers only */
    PLACE_COUNT
};

enum template_kind {
    NODE_LITERAL,
    NODE_VALUE,
    NODE_INT,
    NODE_RAW,
    NODE_IF,
    NODE_ELSE,
    NODE_END_IF,
    NODE_EACH,
    NODE_END_EACH,
    NODE_COUNT
};

struct template_node {
    enum template_kind kind;
    enum template_place place;      /* of a value or number */
    char name[TEMPLATE_NAME_BYTES]; /* of what is neither literal, else nor end */
    const char *literal;            /* into the source */
    size_t literal_bytes;
    unsigned line; /* from 1 */
};

struct template
{
    struct template_node nodes[TEMPLATE_NODES_MAX];
    size_t count;
};

/* source must outlive *ret.  -EINVAL: e is "line:column: what is wrong". */
int template_parse(const char *source, size_t bytes, enum template_language language, struct template *ret,
                   struct err *e);

#endif
