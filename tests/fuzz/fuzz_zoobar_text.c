/*
 * fuzz_zoobar_text.c - the UTF-8 check of names and profiles, against a decoder that is written the other way round: it
 * decodes first and then asks whether encoding the number again gives the same bytes.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "apps/zoobar/db/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

/* Bytes of the shortest form of a code point, 0 if it has none. */
static size_t encode(uint32_t c, uint8_t out[4])
{
    if (c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF))
        return 0;
    size_t more = c < 0x80 ? 0 : c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
    static const uint8_t lead[] = {0, 0xC0, 0xE0, 0xF0};
    for (size_t k = more; k > 0; k--, c >>= 6)
        out[k] = (uint8_t)(0x80 | (c & 0x3F));
    out[0] = (uint8_t)(lead[more] | c);
    return more + 1;
}

static bool is_utf8(const uint8_t *at, size_t left, size_t *ret_characters)
{
    for (*ret_characters = 0; left > 0; ++*ret_characters) {
        size_t more = at[0] >= 0xF0 ? 3 : at[0] >= 0xE0 ? 2 : at[0] >= 0xC0 ? 1 : 0;
        if (more >= left)
            return false;
        uint32_t c = more ? at[0] & (0x3Fu >> more) : at[0];
        for (size_t k = 1; k <= more; k++)
            c = c << 6 | (at[k] & 0x3Fu);
        uint8_t again[4];
        if (encode(c, again) != more + 1 || memcmp(again, at, more + 1) != 0)
            return false;
        at += more + 1;
        left -= more + 1;
    }
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    char *text = malloc(count + 1); /* its own allocation: a read behind the NUL is seen */
    if (!text)
        return 0;
    memcpy(text, bytes, count);
    text[count] = 0;
    size_t length = strlen(text), characters = 0, expected = 0;
    bool is_valid = is_utf8((const uint8_t *)text, length, &expected);
    if (text_is_utf8(text, length, &characters) != is_valid || (is_valid && characters != expected) ||
        (length > 0 && text_is_utf8(text, length - 1, NULL)) ||
        text_is_user_name(text) != (is_valid && length >= 1 && length <= USER_NAME_BYTES_MAX))
        abort();
    free(text);
    return 0;
}
