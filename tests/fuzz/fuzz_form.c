/*
 * fuzz_form.c - forms, cookies and what is read from them: any bytes, and what is set in a cookie is read back.
 *
 *     clang -g -O1 -D_GNU_SOURCE -fsanitize=fuzzer,address,undefined -I. tests/fuzz/fuzz_form.c \
 *         apps/zoobar/dynamic/{form,cookie,out}.c
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "apps/zoobar/dynamic/cookie.h"
#include "apps/zoobar/dynamic/form.h"

static void check_form(const uint8_t *data, size_t size, ProtobufCAllocator *allocator)
{
    struct form form;
    if (form_parse(&form, data, size, allocator) < 0 || form.count > FORM_FIELDS_MAX)
        abort();
    for (size_t i = 0; i < form.count; i++) {
        const struct form_field *field = &form.fields[i];
        const struct form_field *first = form_find(&form, field->name);
        int64_t amount = 1;
        if (!first || first > field || field->value[field->value_bytes] != '\0')
            abort();
        if (field->is_text && strlen(field->value) != field->value_bytes)
            abort();
        if (form_amount(field->value, &amount) ? amount < 1 : amount != 1)
            abort();
        if (form_seconds_ms(field->value, 10000) > 10000)
            abort();
        if (form_is_local_path(field->value) && (field->value[0] != '/' || field->value[1] == '/'))
            abort();
    }
}

static void check_cookie(const char *text, ProtobufCAllocator *allocator)
{
    struct login login, again;
    if (cookie_read(text, &login, allocator)) {
        char *set = cookie_set(login.username, login.token, allocator);
        if (!set)
            abort();
        *strchr(set, ';') = '\0';
        if (!cookie_read(set, &again, allocator) || strcmp(again.username, login.username) != 0 ||
            strcmp(again.token, login.token) != 0)
            abort();
    }
}

/* Remembers what it gave: parsers here use an arena and free nothing. */
struct arena {
    void *blocks[64];
    size_t count;
};

static void *arena_alloc(void *data, size_t bytes)
{
    struct arena *arena = data;
    if (arena->count == sizeof arena->blocks / sizeof *arena->blocks)
        abort();
    return arena->blocks[arena->count++] = malloc(bytes);
}

static void arena_free(void *data, void *block)
{
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena = {.count = 0};
    ProtobufCAllocator allocator = {.alloc = arena_alloc, .free = arena_free, .allocator_data = &arena};
    check_form(data, size, &allocator);
    char *text = malloc(size + 1);
    if (size > 0)
        memcpy(text, data, size);
    text[size] = '\0';
    check_cookie(text, &allocator);
    free(text);
    for (size_t i = 0; i < arena.count; i++)
        free(arena.blocks[i]);
    return 0;
}
