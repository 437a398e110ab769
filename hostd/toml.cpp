/* toml.cpp - see toml.h.  The library's own tree is copied node by node, so that nothing of C++ leaves this file. */
#define TOML_EXCEPTIONS 0
#define TOML_ENABLE_FORMATTERS 0
#include <toml++/toml.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include "hostd/toml.h"

namespace
{

/* Zeroed; ends the process when there is none: see toml.h. */
void *allocate(size_t bytes)
{
    void *memory = std::calloc(1, bytes ? bytes : 1);
    if (!memory)
        std::abort();
    return memory;
}

const char *copy_text(std::string_view text)
{
    char *copy = static_cast<char *>(allocate(text.size() + 1));
    std::memcpy(copy, text.data(), text.size());
    return copy;
}

void copy_node(const toml::node &from, toml_tree &to);

void copy_table(const toml::table &from, toml_tree &to)
{
    to.kind = TREE_TABLE;
    to.child_count = from.size();
    to.children = static_cast<toml_tree *>(allocate(from.size() * sizeof(toml_tree)));
    toml_tree *child = to.children;
    for (auto &&[key, value] : from) {
        child->key = copy_text(key.str());
        child->key_line = key.source().begin.line;
        child->key_column = key.source().begin.column;
        copy_node(value, *child++);
    }
    /* The library sorts by name; people read in the order of the text. */
    std::sort(to.children, to.children + to.child_count, [](const toml_tree &a, const toml_tree &b) {
        return a.key_line != b.key_line ? a.key_line < b.key_line : a.key_column < b.key_column;
    });
}

void copy_array(const toml::array &from, toml_tree &to)
{
    to.kind = TREE_ARRAY;
    to.child_count = from.size();
    to.children = static_cast<toml_tree *>(allocate(from.size() * sizeof(toml_tree)));
    toml_tree *child = to.children;
    for (auto &&value : from)
        copy_node(value, *child++);
}

void copy_node(const toml::node &from, toml_tree &to)
{
    to.line = from.source().begin.line;
    to.column = from.source().begin.column;
    if (const toml::table *table = from.as_table()) {
        copy_table(*table, to);
    } else if (const toml::array *array = from.as_array()) {
        copy_array(*array, to);
    } else if (const auto *string = from.as_string()) {
        to.kind = TREE_STRING;
        to.text = copy_text(string->get());
        to.text_bytes = string->get().size();
    } else if (const auto *integer = from.as_integer()) {
        to.kind = TREE_INT;
        to.number = integer->get();
    } else if (const auto *real = from.as_floating_point()) {
        to.kind = TREE_FLOAT;
        to.real = real->get();
    } else if (const auto *boolean = from.as_boolean()) {
        to.kind = TREE_BOOL;
        to.number = boolean->get();
    } else {
        to.kind = TREE_TIME; /* date, time, or both */
    }
}

void free_node(toml_tree &node)
{
    for (size_t i = 0; i < node.child_count; i++)
        free_node(node.children[i]);
    std::free(node.children);
    std::free(const_cast<char *>(node.key));
    std::free(const_cast<char *>(node.text));
}

} // namespace

int toml_tree_parse(const char *text, size_t bytes, toml_tree **ret_root, toml_tree_error *ret_error)
{
    toml::parse_result result = toml::parse(std::string_view(text, bytes));
    if (!result) {
        const toml::parse_error &error = result.error();
        std::string_view what = error.description();
        *ret_error = {};
        ret_error->line = error.source().begin.line;
        ret_error->column = error.source().begin.column;
        std::memcpy(ret_error->text, what.data(), std::min(what.size(), sizeof ret_error->text - 1));
        return -EINVAL;
    }
    toml_tree *root = static_cast<toml_tree *>(allocate(sizeof(toml_tree)));
    copy_node(result.table(), *root);
    *ret_root = root;
    return 0;
}

void toml_tree_free(toml_tree *root)
{
    if (!root)
        return;
    free_node(*root);
    std::free(root);
}
