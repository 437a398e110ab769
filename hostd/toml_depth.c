/* toml_depth.c - see toml_depth.h. */
#include "hostd/toml_depth.h"

#include <string.h>

struct scan {
    const char *text;
    size_t bytes, at;
    size_t line_at; /* where the line of `at` begins */
    uint32_t line;
};

static bool is_thrice(const struct scan *scan, char c)
{
    return scan->bytes - scan->at >= 3 && scan->text[scan->at] == c && scan->text[scan->at + 1] == c &&
           scan->text[scan->at + 2] == c;
}

/* Takes one character, which may end a line. */
static void step(struct scan *scan)
{
    if (scan->text[scan->at++] == '\n') {
        scan->line++;
        scan->line_at = scan->at;
    }
}

/* From its first quote to behind its last, or to the end of the line where it has none. */
static void skip_string(struct scan *scan)
{
    char quote = scan->text[scan->at];
    bool is_multiline = is_thrice(scan, quote);
    scan->at += is_multiline ? 3 : 1;
    while (scan->at < scan->bytes) {
        char c = scan->text[scan->at];
        if (is_multiline ? is_thrice(scan, quote) : c == quote) {
            scan->at += is_multiline ? 3 : 1;
            return;
        }
        if (c == '\n' && !is_multiline)
            return;
        if (c == '\\' && quote == '"' && scan->at + 1 < scan->bytes)
            scan->at++; /* what it escapes is no quote; a line end is one still */
        step(scan);
    }
}

static void skip_comment(struct scan *scan)
{
    while (scan->at < scan->bytes && scan->text[scan->at] != '\n')
        scan->at++;
}

bool toml_depth_is_bounded(const char *text, size_t bytes, uint32_t *ret_line, uint32_t *ret_column)
{
    struct scan scan = {.text = text, .bytes = bytes, .line = 1};
    uint32_t dots = 0;
    size_t key_at = 0;
    bool is_in_key = false;
    while (scan.at < bytes) {
        char c = text[scan.at];
        if (memchr("\n,=[]{}", c, 7)) { /* between a key and what is not of it */
            dots = 0;
            is_in_key = false;
            step(&scan);
            continue;
        }
        if (!is_in_key && c != ' ' && c != '\t') {
            is_in_key = true;
            key_at = scan.at;
        }
        if (c == '"' || c == '\'') {
            skip_string(&scan);
        } else if (c == '#') {
            skip_comment(&scan);
        } else {
            if (c == '.' && ++dots >= TOML_KEY_PARTS_MAX) {
                *ret_line = scan.line;
                *ret_column = (uint32_t)(key_at - scan.line_at) + 1;
                return false;
            }
            scan.at++;
        }
    }
    return true;
}
