/* out.c - see out.h. */
#include "apps/zoobar/dynamic/out.h"

#include <stdio.h>
#include <string.h>

#define OUT_BYTES_FIRST 4096u /* most pages fit: one allocation */

void out_init(struct out *out, ProtobufCAllocator *allocator)
{
    *out = (struct out){.allocator = allocator};
}

bool out_is_ok(const struct out *out)
{
    return !out->is_failed;
}

static bool reserve(struct out *out, size_t byte_count)
{
    if (out->is_failed)
        return false;
    if (byte_count > OUT_BYTES_MAX - out->used) {
        out->is_failed = true;
        return false;
    }
    if (byte_count <= out->size - out->used)
        return true;
    size_t size = out->size ? out->size : OUT_BYTES_FIRST;
    while (size - out->used < byte_count)
        size *= 2;
    char *bytes = out->allocator->alloc(out->allocator->allocator_data, size);
    if (!bytes) {
        out->is_failed = true;
        return false;
    }
    if (out->bytes) {
        memcpy(bytes, out->bytes, out->used);
        out->allocator->free(out->allocator->allocator_data, out->bytes);
    }
    out->bytes = bytes;
    out->size = size;
    return true;
}

void out_raw(struct out *out, const char *bytes, size_t byte_count)
{
    if (byte_count == 0 || !reserve(out, byte_count))
        return;
    memcpy(out->bytes + out->used, bytes, byte_count);
    out->used += byte_count;
}

char *out_string(struct out *out)
{
    out_raw(out, "", 1);
    if (out->is_failed)
        return NULL;
    out->used--; /* the NUL is behind the text, not part of it */
    return out->bytes;
}

void out_int(struct out *out, int64_t value)
{
    char digits[24];
    int byte_count = snprintf(digits, sizeof digits, "%lld", (long long)value);
    out_raw(out, digits, (size_t)byte_count);
}

/* The five that matter, everywhere: a quote is harmless between tags, and one rule is easier to trust than two. */
static void out_entities(struct out *out, const char *value)
{
    if (!value)
        return;
    const char *plain = value;
    for (; *value; value++) {
        const char *entity;
        switch (*value) {
        case '&':
            entity = "&amp;";
            break;
        case '<':
            entity = "&lt;";
            break;
        case '>':
            entity = "&gt;";
            break;
        case '"':
            entity = "&#34;";
            break;
        case '\'':
            entity = "&#39;";
            break;
        default:
            continue;
        }
        out_raw(out, plain, (size_t)(value - plain));
        out_raw(out, entity, strlen(entity));
        plain = value + 1;
    }
    out_raw(out, plain, (size_t)(value - plain));
}

void out_text(struct out *out, const char *value)
{
    out_entities(out, value);
}

/* Line ends and tabs too: a parser may change them in an attribute. */
void out_attribute(struct out *out, const char *value)
{
    if (!value)
        return;
    size_t plain;
    while (value[plain = strcspn(value, "\t\n\r&<>\"'")] != '\0') {
        out_raw(out, value, plain);
        char c = value[plain];
        if (c == '\t' || c == '\n' || c == '\r')
            out_raw(out, c == '\t' ? "&#9;" : c == '\n' ? "&#10;" : "&#13;", c == '\t' ? 4 : 5);
        else
            out_entities(out, (const char[]){c, '\0'});
        value += plain + 1;
    }
    out_raw(out, value, plain);
}

static bool is_unreserved(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
           c == '_' || c == '~';
}

static void out_percent(struct out *out, char c)
{
    static const char hex[] = "0123456789ABCDEF";
    out_raw(out, (const char[]){'%', hex[(unsigned char)c >> 4], hex[(unsigned char)c & 15]}, 3);
}

static void out_query_but(struct out *out, const char *value, const char *kept)
{
    for (; value && *value; value++) {
        if (is_unreserved(*value) || strchr(kept, *value))
            out_raw(out, value, 1);
        else
            out_percent(out, *value);
    }
}

void out_query(struct out *out, const char *value)
{
    out_query_but(out, value, "");
}

void out_query_path(struct out *out, const char *value)
{
    out_query_but(out, value, "/");
}

void out_location(struct out *out, const char *value)
{
    for (; *value; value++) {
        if (*value > ' ' && *value < 0x7f && !strchr("\"<>\\^`{|}", *value))
            out_raw(out, value, 1);
        else
            out_percent(out, *value);
    }
}

/* Everything but plain ASCII words and spaces by code unit: no "</script>", no line end (U+2028 neither), no quote. */
void out_js_string(struct out *out, const char *value)
{
    for (; value && *value; value++) {
        if (is_unreserved(*value) || *value == ' ' || (unsigned char)*value >= 0x80) {
            /* E2 80 A8 and E2 80 A9 are line ends to older script engines */
            if (strncmp(value, "\xe2\x80\xa8", 3) == 0 || strncmp(value, "\xe2\x80\xa9", 3) == 0) {
                out_raw(out, value[2] == '\xa8' ? "\\u2028" : "\\u2029", 6);
                value += 2;
            } else {
                out_raw(out, value, 1);
            }
        } else {
            char code[8];
            (void)snprintf(code, sizeof code, "\\x%02x", (unsigned char)*value);
            out_raw(out, code, 4);
        }
    }
}
