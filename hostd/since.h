/*
 * since.h - a moment as a person writes it: how long ago, or when.  Pure.
 *
 *     90  90s  10m  2h  3d                                  so long before now
 *     2030-01-31T12:00:00Z  2030-01-31T13:00:00.5+01:00     RFC 3339, as the logs show it
 *     2030-01-31                                            the start of that day, UTC
 *
 * Strict: nothing in front, between or behind.  Used by `hostd logs --since`.
 */
#ifndef HOSTD_SINCE_H
#define HOSTD_SINCE_H

#include <stdint.h>

#define SINCE_FORMS "seconds, or a number with s, m, h or d, or a time as in 2030-01-31T12:00:00Z"

/* Milliseconds of Unix time; a moment before 1970 is 0.  -EINVAL: it has none of the forms. */
int since_parse(const char *text, uint64_t now_ms, uint64_t *ret_ms);

#endif
