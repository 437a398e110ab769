/*
 * template_gen.c - build tool: writes one C header from the templates of dynamic.
 *
 *     template_gen OUTPUT.h templates/home.html templates/zoobarjs.js ...
 *
 * For templates/users.html it writes the values that the template asks for and a function that prints it:
 *     struct template_users_rows { const char *sender; ... };
 *     struct template_users { const char *user; const struct template_users_rows *rows; size_t rows_count; ... };
 *     void template_users(struct out *out, const struct template_users *v);
 * A text that is NULL prints nothing.  Each value goes through the escape of its place (template.h).
 *
 * Runs at build time only; part of no service.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apps/zoobar/dynamic/template.h"
#include "rpc/base/own.h"

#define SOURCE_BYTES_MAX (64u << 10)
#define FIELDS_MAX 32u /* of one template and its lists */

enum field_kind {
    FIELD_BOOL, /* only asked by #if */
    FIELD_TEXT,
    FIELD_INT,
    FIELD_LIST,
};

struct field {
    const char *list; /* whose rows it belongs to; "" = the template itself */
    const char *name;
    enum field_kind kind;
};

static struct template template;
static struct field fields[FIELDS_MAX];
static size_t field_count;
static const char *path; /* of the template at hand, for messages */

static _Noreturn void refuse(const char *what)
{
    fprintf(stderr, "%s:%s\n", path, what);
    exit(1);
}

static void field_add(const char *list, const struct template_node *node, enum field_kind kind)
{
    for (size_t i = 0; i < field_count; i++) {
        struct field *field = &fields[i];
        if (strcmp(field->list, list) != 0 || strcmp(field->name, node->name) != 0)
            continue;
        if (field->kind == kind || (kind == FIELD_BOOL && field->kind == FIELD_TEXT))
            return;
        if (field->kind == FIELD_BOOL && kind == FIELD_TEXT) {
            field->kind = kind;
            return;
        }
        char text[128];
        (void)snprintf(text, sizeof text, "%u: %s is used as two kinds of value", node->line, node->name);
        refuse(text);
    }
    if (field_count == FIELDS_MAX)
        refuse(" too many values");
    fields[field_count++] = (struct field){list, node->name, kind};
}

static void fields_find(void)
{
    const char *list = "";
    field_count = 0;
    for (size_t i = 0; i < template.count; i++) {
        const struct template_node *node = &template.nodes[i];
        switch (node->kind) {
        case NODE_VALUE:
        case NODE_RAW:
            field_add(list, node, FIELD_TEXT);
            break;
        case NODE_INT:
            field_add(list, node, FIELD_INT);
            break;
        case NODE_IF:
            field_add(list, node, FIELD_BOOL);
            break;
        case NODE_EACH:
            field_add("", node, FIELD_LIST);
            list = node->name;
            break;
        case NODE_END_EACH:
            list = "";
            break;
        default:
            break;
        }
    }
}

static void write_fields(FILE *out, const char *name, const char *list)
{
    for (size_t i = 0; i < field_count; i++) {
        const struct field *field = &fields[i];
        if (strcmp(field->list, list) != 0)
            continue;
        switch (field->kind) {
        case FIELD_BOOL:
            fprintf(out, "    bool %s;\n", field->name);
            break;
        case FIELD_TEXT:
            fprintf(out, "    const char *%s;\n", field->name);
            break;
        case FIELD_INT:
            fprintf(out, "    int64_t %s;\n", field->name);
            break;
        case FIELD_LIST:
            fprintf(out, "    const struct template_%s_%s *%s;\n    size_t %s_count;\n", name, field->name, field->name,
                    field->name);
            break;
        }
    }
}

static void write_structs(FILE *out, const char *name)
{
    for (size_t i = 0; i < field_count; i++)
        if (fields[i].kind == FIELD_LIST) {
            fprintf(out, "struct template_%s_%s {\n", name, fields[i].name);
            write_fields(out, name, fields[i].name);
            fprintf(out, "};\n");
        }
    if (field_count > 0) {
        fprintf(out, "struct template_%s {\n", name);
        write_fields(out, name, "");
        fprintf(out, "};\n");
    }
}

static void write_literal(FILE *out, const struct template_node *node)
{
    fprintf(out, "out_raw(out, \"");
    for (size_t i = 0; i < node->literal_bytes; i++) {
        unsigned char c = (unsigned char)node->literal[i];
        if (c == '\n')
            fputs("\\n", out);
        else if (c == '"' || c == '\\')
            fprintf(out, "\\%c", c);
        else if (c < 0x20 || c >= 0x7f || c == '?') /* "?" too: two of them might begin a trigraph */
            fprintf(out, "\\%03o", c);
        else
            fputc(c, out);
    }
    fprintf(out, "\", %zu);\n", node->literal_bytes);
}

static void write_function(FILE *out, const char *name)
{
    static const char *const escapes[] = {
        [PLACE_TEXT] = "out_text",           [PLACE_ATTRIBUTE] = "out_attribute", [PLACE_QUERY] = "out_query",
        [PLACE_JS_STRING] = "out_js_string", [PLACE_JS_CODE] = "out_int",
    };
    _Static_assert(ARRAY_COUNT(escapes) == PLACE_COUNT, "each place has its escape");
    if (field_count > 0)
        fprintf(out, "static inline void template_%s(struct out *out, const struct template_%s *v)\n{\n", name, name);
    else
        fprintf(out, "static inline void template_%s(struct out *out)\n{\n", name);
    int depth = 1;
    const char *scope = "v";
    for (size_t i = 0; i < template.count; i++) {
        const struct template_node *node = &template.nodes[i];
        if (node->kind == NODE_END_IF || node->kind == NODE_END_EACH || node->kind == NODE_ELSE)
            depth--;
        fprintf(out, "%*s", depth * 4, "");
        switch (node->kind) {
        case NODE_LITERAL:
            write_literal(out, node);
            break;
        case NODE_VALUE:
            fprintf(out, "%s(out, %s->%s);\n", escapes[node->place], scope, node->name);
            break;
        case NODE_INT:
            fprintf(out, "out_int(out, %s->%s);\n", scope, node->name);
            break;
        case NODE_RAW:
            fprintf(out, "out_raw(out, %s->%s, %s->%s ? strlen(%s->%s) : 0);\n", scope, node->name, scope, node->name,
                    scope, node->name);
            break;
        case NODE_IF:
            fprintf(out, "if (%s->%s) {\n", scope, node->name);
            depth++;
            break;
        case NODE_ELSE:
            fprintf(out, "} else {\n");
            depth++;
            break;
        case NODE_EACH:
            fprintf(out, "for (size_t i = 0; i < v->%s_count; i++) {\n", node->name);
            depth++;
            fprintf(out, "%*sconst struct template_%s_%s *row = &v->%s[i];\n", depth * 4, "", name, node->name,
                    node->name);
            scope = "row";
            break;
        case NODE_END_EACH:
            scope = "v";
            fprintf(out, "}\n");
            break;
        default:
            fprintf(out, "}\n");
            break;
        }
    }
    fprintf(out, "}\n\n");
}

static void one(FILE *out)
{
    static char source[SOURCE_BYTES_MAX];
    FILE *in = fopen(path, "r");
    size_t bytes = in ? fread(source, 1, sizeof source, in) : 0;
    if (!in || ferror(in) || bytes == sizeof source)
        refuse(" cannot be read, or is too big");
    (void)fclose(in);

    const char *slash = strrchr(path, '/'), *file = slash ? slash + 1 : path, *dot = strrchr(file, '.');
    if (!dot || (strcmp(dot, ".html") != 0 && strcmp(dot, ".js") != 0))
        refuse(" a template ends in .html or .js");
    char name[TEMPLATE_NAME_BYTES];
    (void)snprintf(name, sizeof name, "%.*s", (int)(dot - file), file);
    struct err e;
    if (template_parse(source, bytes, strcmp(dot, ".js") == 0 ? TEMPLATE_JS : TEMPLATE_HTML, &template, &e) < 0)
        refuse(e.text);
    fields_find();
    write_structs(out, name);
    write_function(out, name);
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: template_gen OUTPUT.h TEMPLATE...\n");
        return 2;
    }
    FILE *out = fopen(argv[1], "w");
    if (!out) {
        perror(argv[1]);
        return 1;
    }
    fprintf(out, "/* Made by template_gen from the templates of dynamic. */\n"
                 "#ifndef ZOOBAR_DYNAMIC_TEMPLATES_H\n#define ZOOBAR_DYNAMIC_TEMPLATES_H\n\n"
                 "#include <stdbool.h>\n#include <stddef.h>\n#include <stdint.h>\n#include <string.h>\n\n"
                 "#include \"apps/zoobar/dynamic/out.h\"\n\n");
    for (int i = 2; i < argc; i++) {
        path = argv[i];
        one(out);
    }
    fprintf(out, "#endif\n");
    if (ferror(out) | fclose(out)) {
        perror(argv[1]);
        return 1;
    }
    return 0;
}
