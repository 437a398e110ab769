/* lastlog.c - see lastlog.h.  Doing: reads the ends of two files. */
#include "hostd/lastlog.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hostd/logtail.h"
#include "rpc/base/contract.h"
#include "rpc/base/own.h"

#define END_BYTES 16384u /* of a file: five lines are shorter, or cut */

struct found {
    uint64_t at_ms;
    char shown[LASTLOG_BYTES];
};

/* Puts a line in by its time, behind those of the same; the oldest goes when there are too many. */
static void keep(struct found *found, uint32_t *count, uint64_t at_ms, const char *text, size_t bytes)
{
    uint32_t at = *count;
    while (at > 0 && found[at - 1].at_ms > at_ms)
        at--;
    if (*count == LASTLOG_LINES) {
        if (at == 0)
            return;
        memmove(found, found + 1, (LASTLOG_LINES - 1) * sizeof *found);
        at--;
    } else {
        ++*count;
    }
    memmove(found + at + 1, found + at, (*count - at - 1) * sizeof *found);
    found[at].at_ms = at_ms;
    found[at].shown[logtail_escape(text, bytes, found[at].shown, LASTLOG_BYTES - 1)] = '\0';
}

static void read_end(int fd, struct found *found, uint32_t *count)
{
    char bytes[END_BYTES];
    struct stat status;
    if (fstat(fd, &status) < 0)
        return;
    off_t from = status.st_size > (off_t)sizeof bytes ? status.st_size - (off_t)sizeof bytes : 0;
    ssize_t got = pread(fd, bytes, sizeof bytes, from);
    size_t at = 0, end = got > 0 ? (size_t)got : 0;
    if (from > 0) { /* the first one is cut */
        const char *newline = memchr(bytes, '\n', end);
        at = newline ? (size_t)(newline - bytes) + 1 : end;
    }
    for (const char *newline; at < end && (newline = memchr(bytes + at, '\n', end - at));
         at = (size_t)(newline - bytes) + 1) {
        uint64_t at_ms;
        bool is_own;
        const char *text;
        size_t text_bytes;
        if (logtail_parse(bytes + at, (size_t)(newline - (bytes + at)), &at_ms, &is_own, &text, &text_bytes) &&
            !is_own) /* of PID 1: here the two would look alike */
            keep(found, count, at_ms, text, text_bytes);
    }
}

void lastlog_read(int run_fd, const char *service, struct lastlog *ret_log)
{
    struct found found[LASTLOG_LINES];
    *ret_log = (struct lastlog){0};
    for (int k = 0; k < 2; k++) {
        char path[NAME_BYTES + 16];
        (void)snprintf(path, sizeof path, "logs/%s.%d", service, k);
        FD_AUTO int fd = openat(run_fd, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        if (fd >= 0)
            read_end(fd, found, &ret_log->count);
    }
    for (uint32_t i = 0; i < ret_log->count; i++)
        memcpy(ret_log->lines[i], found[i].shown, sizeof found[i].shown);
}
