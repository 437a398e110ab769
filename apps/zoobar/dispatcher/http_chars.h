/* http_chars.h - the character classes of RFC 9110 and 9112 that the strict checks share.  Pure, independent of locale.
 */
#ifndef ZOOBAR_DISPATCHER_HTTP_CHARS_H
#define ZOOBAR_DISPATCHER_HTTP_CHARS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline bool is_digit(unsigned char c)
{
    return c >= '0' && c <= '9';
}

static inline bool is_alpha(unsigned char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

/* -1 when c is no hexadecimal digit. */
static inline int hex_value(unsigned char c)
{
    if (is_digit(c))
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* tchar of RFC 9110 section 5.6.2: what a method and a field name are made of. */
static inline bool is_token_char(unsigned char c)
{
    switch (c) {
    case '!':
    case '#':
    case '$':
    case '%':
    case '&':
    case '\'':
    case '*':
    case '+':
    case '-':
    case '.':
    case '^':
    case '_':
    case '`':
    case '|':
    case '~':
        return true;
    default:
        return is_digit(c) || is_alpha(c);
    }
}

static inline bool is_control(unsigned char c)
{
    return c < 0x20 || c == 0x7F;
}

/* Equal without regard to ASCII case; b is a NUL-terminated constant in lower case. */
static inline bool equals_lower(const char *a, size_t a_bytes, const char *b)
{
    size_t i = 0;
    for (; i < a_bytes && b[i]; i++) {
        unsigned char c = (unsigned char)a[i];
        if (c >= 'A' && c <= 'Z')
            c = (unsigned char)(c + ('a' - 'A'));
        if (c != (unsigned char)b[i])
            return false;
    }
    return i == a_bytes && !b[i];
}

/* Length of the well-formed UTF-8 sequence at the start of text (RFC 3629: no overlong forms, no surrogates), 0 if
 * none. */
static inline size_t utf8_sequence(const char *text, size_t bytes)
{
    const unsigned char *s = (const unsigned char *)text;
    size_t length;
    unsigned char low = 0x80, high = 0xBF; /* bounds of the second byte */
    if (bytes == 0)
        return 0;
    if (s[0] < 0x80)
        return 1;
    if (s[0] >= 0xC2 && s[0] <= 0xDF)
        length = 2;
    else if (s[0] >= 0xE0 && s[0] <= 0xEF)
        length = 3;
    else if (s[0] >= 0xF0 && s[0] <= 0xF4)
        length = 4;
    else
        return 0;
    if (s[0] == 0xE0)
        low = 0xA0;
    else if (s[0] == 0xED)
        high = 0x9F;
    else if (s[0] == 0xF0)
        low = 0x90;
    else if (s[0] == 0xF4)
        high = 0x8F;
    if (bytes < length || s[1] < low || s[1] > high)
        return 0;
    for (size_t i = 2; i < length; i++)
        if (s[i] < 0x80 || s[i] > 0xBF)
            return 0;
    return length;
}

static inline bool is_utf8(const char *text, size_t bytes)
{
    for (size_t at = 0; at < bytes;) {
        size_t length = utf8_sequence(text + at, bytes - at);
        if (length == 0)
            return false;
        at += length;
    }
    return true;
}

#endif
