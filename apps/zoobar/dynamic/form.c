/* form.c - see form.h. */
#include "apps/zoobar/dynamic/form.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "apps/zoobar/dynamic/hex.h"

/* Decodes up to byte_count bytes in place behind each other; writes a NUL; returns the number of bytes. */
static size_t decode(char *to, const char *from, size_t byte_count)
{
    size_t used = 0;
    for (size_t i = 0; i < byte_count; i++) {
        int byte;
        if (from[i] == '+') {
            to[used++] = ' ';
        } else if (from[i] == '%' && byte_count - i > 2 && (byte = hex_byte(from + i + 1)) >= 0) {
            to[used++] = (char)byte;
            i += 2;
        } else {
            to[used++] = from[i];
        }
    }
    to[used] = '\0';
    return used;
}

int form_parse(struct form *form, const void *bytes, size_t byte_count, ProtobufCAllocator *allocator)
{
    form->count = 0;
    if (byte_count == 0)
        return 0;
    /* Decoding never makes longer, and each of the two NULs of a field takes the place of its "=" or "&". */
    char *memory = allocator->alloc(allocator->allocator_data, byte_count + 2);
    if (!memory)
        return -ENOMEM;
    const char *at = bytes, *end = at + byte_count;
    while (at < end && form->count < FORM_FIELDS_MAX) {
        const char *stop = memchr(at, '&', (size_t)(end - at));
        if (!stop)
            stop = end;
        const char *equals = memchr(at, '=', (size_t)(stop - at));
        if (!equals)
            equals = stop;
        if (stop > at) {
            struct form_field *field = &form->fields[form->count];
            field->name = memory;
            size_t name_bytes = decode(memory, at, (size_t)(equals - at));
            memory += name_bytes + 1;
            /* A field without "=" has no byte for a second NUL: its value is the NUL of its name. */
            field->value = memory - 1;
            field->value_bytes = 0;
            if (equals < stop) {
                field->value = memory;
                field->value_bytes = decode(memory, equals + 1, (size_t)(stop - equals - 1));
                memory += field->value_bytes + 1;
            }
            field->is_text = form_is_text(field->value, field->value_bytes);
            /* A name with a NUL would be found by what stands before it. */
            if (strlen(field->name) == name_bytes)
                form->count++;
        }
        at = stop + 1;
    }
    return 0;
}

const struct form_field *form_find(const struct form *form, const char *name)
{
    for (size_t i = 0; i < form->count; i++)
        if (strcmp(form->fields[i].name, name) == 0)
            return &form->fields[i];
    return NULL;
}

bool form_is_type(const char *content_type)
{
    static const char type[] = "application/x-www-form-urlencoded";
    if (strncasecmp(content_type, type, sizeof type - 1) != 0)
        return false;
    char next = content_type[sizeof type - 1];
    return next == '\0' || next == ';' || next == ' ' || next == '\t';
}

bool form_amount(const char *text, int64_t *ret_amount)
{
    int64_t amount = 0;
    if (*text == '\0')
        return false;
    for (; *text; text++) {
        if (*text < '0' || *text > '9' || amount > (INT64_MAX - (*text - '0')) / 10)
            return false;
        amount = amount * 10 + (*text - '0');
    }
    if (amount < 1)
        return false;
    *ret_amount = amount;
    return true;
}

uint32_t form_seconds_ms(const char *text, uint32_t max_ms)
{
    uint64_t ms = 0;
    if (*text < '0' || *text > '9')
        return 0;
    for (; *text >= '0' && *text <= '9'; text++)
        ms = ms > max_ms ? ms : ms * 10 + (uint64_t)(*text - '0') * 1000;
    if (*text == '.') {
        uint32_t unit_ms = 100;
        for (text++; *text >= '0' && *text <= '9'; text++, unit_ms /= 10)
            ms += (uint64_t)(*text - '0') * unit_ms;
    }
    if (*text != '\0')
        return 0;
    return ms > max_ms ? max_ms : (uint32_t)ms;
}

bool form_is_local_path(const char *path)
{
    /* A browser reads "/\" as "//" and drops tabs and line ends before it looks: hence none of them anywhere. */
    if (path[0] != '/' || path[1] == '/')
        return false;
    for (const char *c = path; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f || *c == '\\')
            return false;
    return true;
}

bool form_is_text(const void *bytes, size_t byte_count)
{
    const unsigned char *at = bytes, *end = at + byte_count;
    while (at < end) {
        unsigned char first = *at++;
        if (first == 0 || (first >= 0x80 && first < 0xc2) || first > 0xf4)
            return false;
        unsigned more = first < 0x80 ? 0 : first < 0xe0 ? 1 : first < 0xf0 ? 2 : 3;
        if ((size_t)(end - at) < more)
            return false;
        if ((first == 0xe0 && at[0] < 0xa0) || (first == 0xed && at[0] > 0x9f) || (first == 0xf0 && at[0] < 0x90) ||
            (first == 0xf4 && at[0] > 0x8f))
            return false;
        for (; more > 0; more--)
            if ((*at++ & 0xc0) != 0x80)
                return false;
    }
    return true;
}
