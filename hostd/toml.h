/*
 * toml.h - a TOML document as a tree of plain C nodes, each with its place in the text.
 *
 * A shim over libtomlplusplus (toml.cpp is the only C++ of the project); it knows nothing of services.
 * Order of use: toml_tree_parse(), walk from the root, toml_tree_free().
 *
 * Runs in the unprivileged child of manifest_load().  Without memory the process ends: that is what the child is for.
 * So it would on keys of very many parts, which toml_depth_is_bounded() is asked about first.
 */
#ifndef HOSTD_TOML_H
#define HOSTD_TOML_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum toml_kind { TREE_TABLE, TREE_ARRAY, TREE_STRING, TREE_INT, TREE_FLOAT, TREE_BOOL, TREE_TIME, TREE_KIND_COUNT };

struct toml_tree {
    enum toml_kind kind;
    const char *key;               /* of a table's entry; NULL in arrays and at the root */
    uint32_t key_line, key_column; /* from 1; columns count characters, not bytes */
    uint32_t line, column;         /* of the value; of a table its header */
    const char *text;              /* TREE_STRING; NUL-terminated, and may hold more NULs */
    size_t text_bytes;
    int64_t number;             /* TREE_INT; TREE_BOOL: 0 or 1 */
    double real;                /* TREE_FLOAT */
    struct toml_tree *children; /* of tables (in the order of the text) and arrays */
    size_t child_count;
};

#define TOML_ERROR_BYTES 256

struct toml_tree_error {
    uint32_t line, column;
    char text[TOML_ERROR_BYTES];
};

/* 0 and a tree, or -EINVAL and the first syntax error. */
int toml_tree_parse(const char *text, size_t bytes, struct toml_tree **ret_root, struct toml_tree_error *ret_error);
void toml_tree_free(struct toml_tree *root); /* NULL is fine */

#ifdef __cplusplus
}
#endif

#endif
