/*
 * since.h - a moment as a person writes it: how long ago, or when.  Pure, but for the clock.
 *
 *     90  90s  10m  2h  3d                                  so long before now
 *     2030-01-31T12:00:00Z  2030-01-31T13:00:00.5+01:00     RFC 3339, as the logs show it
 *     2030-01-31                                            the start of that day, UTC
 *
 * Strict: nothing in front, between or behind.  Used by `hostd logs` and `hostd events`.
 */
#ifndef HOSTD_SINCE_H
#define HOSTD_SINCE_H

#include <stdint.h>
#include <time.h>

#define SINCE_FORMS "seconds, or a number with s, m, h or d, or a time as in 2030-01-31T12:00:00Z"

/* Milliseconds of Unix time; a moment before 1970 is 0.  -EINVAL: it has none of the forms. */
int since_parse(const char *text, uint64_t now_ms, uint64_t *ret_ms);

static inline uint64_t since_now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now); /* cannot fail; vDSO */
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

#endif
