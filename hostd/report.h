/*
 * report.h - errors of a text, each with its place, shown in order with the line and a caret.
 *
 *     app.toml:12:1: unknown key 'memry'; did you mean 'memory'?
 *         memry = "64M"
 *         ^
 *
 * Pure.  Invariant: what is shown holds no control characters but our newlines, whatever the text held.
 * Caller: manifest_parse().
 */
#ifndef HOSTD_REPORT_H
#define HOSTD_REPORT_H

#include <stddef.h>
#include <stdint.h>

#define REPORT_ENTRIES_MAX 50u /* shown; more are counted */
#define REPORT_ENTRY_BYTES 400u
#define REPORT_LINE_CHARACTERS_MAX 120u /* of a shown line */

struct report_entry {
    uint32_t line, column; /* from 1 */
    char text[REPORT_ENTRY_BYTES];
};

struct report {
    const char *name; /* of the file */
    const char *text;
    size_t bytes;
    uint32_t count; /* of all errors; the first REPORT_ENTRIES_MAX are kept */
    struct report_entry entries[REPORT_ENTRIES_MAX];
};

void report_add(struct report *report, uint32_t line, uint32_t column, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Sorts by place and writes all of it, cut at out_bytes with its NUL. */
void report_render(struct report *report, char *out, size_t out_bytes);

#endif
