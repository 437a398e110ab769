/*
 * lastlog.h - the last lines that a service printed: shown with "failed", and kept for ps.
 *
 * Read from the files that its PID 1 wrote (initsvc/logs.c), escaped as everything of a service is (logtail_escape);
 * what PID 1 itself said (lines dropped) is in the log only.
 */
#ifndef HOSTD_LASTLOG_H
#define HOSTD_LASTLOG_H

#include <stdint.h>

#define LASTLOG_LINES 5u
#define LASTLOG_BYTES 240u /* of one line as it is shown; the log has all of it */

struct lastlog {
    uint32_t count;
    char lines[LASTLOG_LINES][LASTLOG_BYTES]; /* the oldest first */
};

/* run_fd: the run directory.  What cannot be read counts as nothing printed: *ret_log is always filled. */
void lastlog_read(int run_fd, const char *service, struct lastlog *ret_log);

#endif
