/* report.c - see report.h. */
#include "hostd/report.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INDENT "    "
#define CUT_BEFORE_CHARACTERS 60u /* what stays of a long line before the caret */

void report_add(struct report *report, uint32_t line, uint32_t column, const char *format, ...)
{
    if (report->count++ >= REPORT_ENTRIES_MAX)
        return;
    struct report_entry *entry = &report->entries[report->count - 1];
    entry->line = line;
    entry->column = column;
    va_list args;
    va_start(args, format);
    (void)vsnprintf(entry->text, sizeof entry->text, format, args); /* a cut text is still a text */
    va_end(args);
}

struct out {
    char *at;
    size_t used, bytes;
};

static void put_char(struct out *out, char c)
{
    if (out->used + 1 < out->bytes)
        out->at[out->used++] = c;
}

/* Bytes of the character of UTF-8 that text begins with; 0 when it begins with none. */
static size_t character_bytes(const unsigned char *text, size_t bytes)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000}; /* shorter forms of a character are forgeries */
    size_t length = text[0] < 0x80 ? 1 : text[0] >> 5 == 6 ? 2 : text[0] >> 4 == 14 ? 3 : text[0] >> 3 == 30 ? 4 : 0;
    if (length < 2 || length > bytes)
        return length == 1;
    uint32_t character = text[0] & (0xFFu >> (length + 1));
    for (size_t i = 1; i < length; i++) {
        if (text[i] >> 6 != 2)
            return 0;
        character = character << 6 | (text[i] & 0x3F);
    }
    /* U+0080 to U+009F are control characters too. */
    return character < least[length] || character < 0xA0 || character > 0x10FFFF ? 0 : length;
}

/* Control characters and what is no UTF-8 become '?', tabs a space (so that the caret stays below its character). */
static void put_clean(struct out *out, const char *text, size_t bytes)
{
    for (size_t i = 0; i < bytes;) {
        size_t length = character_bytes((const unsigned char *)text + i, bytes - i);
        unsigned char c = (unsigned char)text[i];
        if (length <= 1) {
            put_char(out, c == '\t' ? ' ' : length == 0 || c < 0x20 || c == 0x7F ? '?' : text[i]);
            i++;
            continue;
        }
        for (; length > 0; length--)
            put_char(out, text[i++]);
    }
}

static void put_text(struct out *out, const char *text)
{
    put_clean(out, text, strlen(text));
}

/* The line number `line` of the text, without its end. */
static void find_line(const struct report *report, uint32_t line, const char **ret_line, size_t *ret_bytes)
{
    const char *at = report->text, *end = report->text + report->bytes;
    for (uint32_t i = 1; i < line && at < end; i++) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        at = newline ? newline + 1 : end;
    }
    const char *newline = at < end ? memchr(at, '\n', (size_t)(end - at)) : NULL;
    *ret_line = at;
    *ret_bytes = (size_t)((newline ? newline : end) - at);
    if (*ret_bytes > 0 && at[*ret_bytes - 1] == '\r')
        *ret_bytes -= 1;
}

/* Offset of the character number `character` (from 0) of a line of UTF-8, at most its length. */
static size_t character_at(const char *line, size_t bytes, size_t character)
{
    size_t at = 0;
    while (at < bytes && character > 0) {
        at++;
        while (at < bytes && ((unsigned char)line[at] & 0xC0) == 0x80)
            at++;
        character--;
    }
    return at;
}

static void put_source(const struct report *report, struct out *out, uint32_t line_number, uint32_t column)
{
    const char *line;
    size_t bytes;
    find_line(report, line_number, &line, &bytes);
    size_t caret = column > 0 ? column - 1 : 0;
    size_t first = caret > REPORT_LINE_CHARACTERS_MAX - 20 ? caret - CUT_BEFORE_CHARACTERS : 0;
    size_t from = character_at(line, bytes, first);
    size_t to = character_at(line, bytes, first + REPORT_LINE_CHARACTERS_MAX);
    put_text(out, INDENT);
    put_clean(out, line + from, to - from);
    put_char(out, '\n');
    put_text(out, INDENT);
    for (size_t i = first; i < caret; i++)
        put_char(out, ' ');
    put_text(out, "^");
    put_char(out, '\n');
}

static int compare_entries(const void *a, const void *b)
{
    const struct report_entry *left = a, *right = b;
    if (left->line != right->line)
        return left->line < right->line ? -1 : 1;
    if (left->column != right->column)
        return left->column < right->column ? -1 : 1;
    return strcmp(left->text, right->text);
}

void report_render(struct report *report, char *out_text, size_t out_bytes)
{
    struct out out = {.at = out_text, .bytes = out_bytes};
    uint32_t shown = report->count < REPORT_ENTRIES_MAX ? report->count : REPORT_ENTRIES_MAX;
    if (shown > 0)
        qsort(report->entries, shown, sizeof report->entries[0], compare_entries);
    for (uint32_t i = 0; i < shown; i++) {
        const struct report_entry *entry = &report->entries[i];
        char place[32];
        (void)snprintf(place, sizeof place, ":%u:%u: ", entry->line, entry->column);
        put_text(&out, report->name);
        put_text(&out, place);
        put_text(&out, entry->text);
        put_char(&out, '\n');
        put_source(report, &out, entry->line, entry->column);
    }
    if (report->count > shown) {
        char more[64];
        (void)snprintf(more, sizeof more, "and %u more errors", report->count - shown);
        put_text(&out, more);
        put_char(&out, '\n');
    }
    out.at[out.used] = '\0';
}
