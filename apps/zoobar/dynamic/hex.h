/* hex.h - two hex digits as the byte that they stand for: in forms, cookies and keys. */
#ifndef ZOOBAR_DYNAMIC_HEX_H
#define ZOOBAR_DYNAMIC_HEX_H

static inline int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* 0 to 255, or -1 when one of the two is no hex digit.  Looks at the second only if the first is one: a string may end
 * there. */
static inline int hex_byte(const char *digits)
{
    int high = hex_digit(digits[0]);
    int low = high < 0 ? -1 : hex_digit(digits[1]);
    return low < 0 ? -1 : high << 4 | low;
}

#endif
