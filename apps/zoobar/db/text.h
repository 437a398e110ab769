/*
 * text.h - what a user name and a profile may be made of.  Pure.
 *
 * Callers: auth, bank and person check every name that comes in with these, each for itself.
 */
#ifndef APPS_ZOOBAR_DB_TEXT_H
#define APPS_ZOOBAR_DB_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define USER_NAME_BYTES_MAX 128 /* without the NUL */

/*
 * Reads at most bytes_max bytes.  True for valid UTF-8 (RFC 3629: shortest form, no surrogates, up to U+10FFFF) whose
 * NUL comes within bytes_max + 1 bytes; then *ret_characters (may be NULL) is the number of code points.
 */
bool text_is_utf8(const char *text, size_t bytes_max, size_t *ret_characters);

/* 1 to USER_NAME_BYTES_MAX bytes of UTF-8; any character is welcome, control characters too. */
bool text_is_user_name(const char *text);

#endif
