/* text.c - see text.h. */
#include "apps/zoobar/db/text.h"

#include <string.h>

/* Bytes of the sequence that starts here, 0 if it is none.  RFC 3629, section 4. */
static size_t sequence_bytes(const unsigned char *at, size_t left)
{
    size_t bytes = at[0] < 0x80                    ? 1
                   : at[0] >= 0xC2 && at[0] < 0xE0 ? 2
                   : (at[0] & 0xF0) == 0xE0        ? 3
                   : at[0] >= 0xF0 && at[0] < 0xF5 ? 4
                                                   : 0;
    if (bytes > left)
        return 0;
    for (size_t k = 1; k < bytes; k++)
        if ((at[k] & 0xC0) != 0x80)
            return 0;
    /* The second byte's range excludes longer forms of small numbers, surrogates, and numbers above U+10FFFF. */
    if ((at[0] == 0xE0 && at[1] < 0xA0) || (at[0] == 0xED && at[1] > 0x9F) || (at[0] == 0xF0 && at[1] < 0x90) ||
        (at[0] == 0xF4 && at[1] > 0x8F))
        return 0;
    return bytes;
}

bool text_is_utf8(const char *text, size_t bytes_max, size_t *ret_characters)
{
    size_t bytes = strnlen(text, bytes_max + 1), characters = 0;
    if (bytes > bytes_max)
        return false;
    for (size_t at = 0; at < bytes; characters++) {
        size_t step = sequence_bytes((const unsigned char *)text + at, bytes - at);
        if (!step)
            return false;
        at += step;
    }
    if (ret_characters)
        *ret_characters = characters;
    return true;
}

bool text_is_user_name(const char *text)
{
    return text[0] && text_is_utf8(text, USER_NAME_BYTES_MAX, NULL);
}
