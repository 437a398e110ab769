/*
 * logtail.h - what the services of an application print, merged, prefixed and escaped.
 *
 * Reads the files that PID 1 of each service writes (initsvc/logs.c); nothing that happens here can stop a service.
 * A stored line is "SECONDS.MILLIS TEXT", or "SECONDS.MILLIS!TEXT" for a word of PID 1's own (lines dropped).  They
 * are shown as "SERVICE | TEXT" and "SERVICE ! TEXT"; control characters in TEXT are shown as \xNN, so no line can look
 * like another service's or PID 1's, or move the cursor.
 *
 * Whoever reads the output decides nothing: with never_blocks, what it does not take waits here, at most TURN_BYTES_MAX
 * of it, and the rest in the files (which keep the last of it); hostd's own words go the same way, so that they cannot
 * stand in the middle of a service's line.
 *
 * Used by `hostd start` (from now on) and by `hostd logs` (what is there, then from now on).
 */
#ifndef HOSTD_LOGTAIL_H
#define HOSTD_LOGTAIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rpc/base/contract.h"
#include "rpc/base/err.h"

struct logtail_options {
    int out_fd;        /* the caller's; a descriptor of our own is made of it */
    bool never_blocks; /* else every line is waited for */
    bool from_now;     /* what is in the files already is left out */
    bool is_json;      /* one object per line: time, service, text */
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
/* Prints what is new, in the order of its times.  true: there is more than the output takes; call again soon. */
bool logtail_print(struct logtail *tail);
/* A line of hostd's own, "hostd: TEXT".  Dropped where nobody takes what waits already; tail NULL: to stdout. */
void logtail_say(struct logtail *tail, const char *text, size_t bytes);
/* Nothing is printed any more. */
void logtail_silence(struct logtail *tail);
/* The application has been stopped: its files are gone, nothing new will come. */
bool logtail_is_over(const struct logtail *tail);
/* Why a write to the output failed last, and lines were lost; 0: none did. */
int logtail_out_errno(const struct logtail *tail);
void logtail_free(struct logtail *tail);

/* May this output have colours?  A terminal that has them, and a user who did not say otherwise (NO_COLOR). */
bool logtail_may_color(int fd);

/* Pure: text of one stored line as it is shown, without prefix; cut at room.  Returns the bytes written. */
size_t logtail_escape(const char *text, size_t bytes, char *shown, size_t room);
/* Pure: takes the stamp off a stored line.  false: it has none. */
bool logtail_parse(const char *line, size_t bytes, uint64_t *ret_ms, bool *ret_is_own, const char **ret_text,
                   size_t *ret_bytes);

#endif
