/*
 * logtail.h - what the services of an application print, merged, prefixed and escaped.
 *
 * Reads the files that PID 1 of each service writes (initsvc/logs.c); nothing that happens here can stop a service.
 * A stored line is "SECONDS.MILLIS TEXT", or "SECONDS.MILLIS!TEXT" for a word of PID 1's own (lines dropped).  It is
 * shown as "SERVICE | TEXT"; control characters in TEXT are shown as \xNN, so no line can look like another service's,
 * or move the cursor.
 *
 * Used by `hostd start` (from now on) and by `hostd logs` (what is there, then from now on).
 */
#ifndef HOSTD_LOGTAIL_H
#define HOSTD_LOGTAIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "rpc/base/contract.h"
#include "rpc/base/err.h"

struct logtail_options {
    FILE *out;
    bool is_json; /* one object per line: time, service, text */
    bool is_colored;
    bool with_time;
    uint64_t since_ms; /* lines before that moment (Unix time) are left out */
};

struct logtail;

/* names: count services, copied. */
int logtail_open(const char *run_dir, const char (*names)[NAME_BYTES], size_t count,
                 const struct logtail_options *options, struct logtail **ret_tail, struct err *e);
/* Readable: something was written.  Then call logtail_print(). */
int logtail_fd(const struct logtail *tail);
/* Prints what is new, in the order of its times. */
void logtail_print(struct logtail *tail);
void logtail_free(struct logtail *tail);

/* Pure: text of one stored line as it is shown, without prefix; cut at room.  Returns the bytes written. */
size_t logtail_escape(const char *text, size_t bytes, char *shown, size_t room);
/* Pure: takes the stamp off a stored line.  false: it has none. */
bool logtail_parse(const char *line, size_t bytes, uint64_t *ret_ms, bool *ret_is_own, const char **ret_text,
                   size_t *ret_bytes);

#endif
