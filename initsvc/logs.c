/*
 * logs.c - what the service prints, into two files of bounded size.  Doing.
 *
 * Each line is stored as "SECONDS.MILLIS TEXT\n", TEXT as it came (at most a line buffer long: a longer one is cut into
 * several).  Escaping and prefixes are added by who shows it.  When the current file is full the other one is emptied
 * and becomes the current one: disk use is bounded, and the last bytes_max bytes are always there.
 *
 * Above LOG_LINES_PER_S lines are dropped, and how many is written as a line of our own ("SECONDS.MILLIS!TEXT"), which
 * no service can forge: behind the stamp of its lines stands a space.  It is written DROPPED_PAUSE_MS after the one
 * before at the latest, whether or not the service prints anything more: lines kept and lines told are all there were.
 */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "initsvc/init.h"
#include "rpc/base/clock.h"
#include "rpc/base/weaken.h"

#define DROPPED_PAUSE_MS 1000u /* between two lines of ours: a long flood is not to be one of them as well */

void logs_open(struct logs *logs, int fd_a, int fd_b, uint64_t bytes_max)
{
    *logs = (struct logs){
        .fd = {fd_a, fd_b}, .bytes_max = bytes_max, .lines_left = LOG_LINES_BURST, .refilled_ms = clock_ms()};
    struct timespec written[2] = {0};
    for (int i = 0; i < 2; i++) {
        struct stat status;
        if (fstat(logs->fd[i], &status) == 0) {
            logs->bytes[i] = (uint64_t)status.st_size;
            written[i] = status.st_mtim;
        }
    }
    /* The one that the last run wrote to last goes on: the other one is emptied when it is full.  Written in the same
     * tick of the clock: one of them was emptied in it, the shorter one. */
    bool is_later = written[1].tv_sec != written[0].tv_sec     ? written[1].tv_sec > written[0].tv_sec
                    : written[1].tv_nsec != written[0].tv_nsec ? written[1].tv_nsec > written[0].tv_nsec
                                                               : logs->bytes[1] < logs->bytes[0];
    logs->current = logs->bytes[1] > 0 && is_later;
}

static void append(struct logs *logs, char mark, const char *text, size_t text_bytes)
{
    char stamped[sizeof logs->line + 32];
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now); /* cannot fail; vDSO */
    int head = snprintf(stamped, sizeof stamped, "%lld.%03ld%c", (long long)now.tv_sec, now.tv_nsec / 1000000, mark);
    memcpy(stamped + head, text, text_bytes);
    size_t bytes = (size_t)head + text_bytes;
    stamped[bytes++] = '\n';

    if (logs->bytes[logs->current] + bytes > logs->bytes_max) {
        logs->current ^= 1;
        if (ftruncate(logs->fd[logs->current], 0) < 0)
            return; /* keep the bound rather than the line */
        logs->bytes[logs->current] = 0;
    }
    ssize_t written = write(logs->fd[logs->current], stamped, bytes);
    if (written > 0) /* a full disk loses log lines, never calls */
        logs->bytes[logs->current] += (uint64_t)written;
}

void logs_tell(struct logs *logs, const char *text, size_t text_bytes)
{
    append(logs, '!', text, text_bytes);
}

static void tell_dropped(struct logs *logs)
{
    char text[96];
    int bytes = snprintf(text, sizeof text, "%u lines dropped: more than %u a second", logs->dropped, LOG_LINES_PER_S);
    logs_tell(logs, text, (size_t)bytes);
    logs->dropped = 0;
    logs->told_ms = clock_ms();
}

uint64_t logs_next_ms(const struct logs *logs)
{
    return logs->dropped > 0 ? logs->told_ms + DROPPED_PAUSE_MS : 0;
}

void logs_run(struct logs *logs, uint64_t now_ms)
{
    if (logs->dropped > 0 && now_ms >= logs_next_ms(logs))
        tell_dropped(logs);
}

static void write_line(struct logs *logs)
{
    size_t bytes = logs->used;
    logs->used = 0;
    uint64_t now = clock_ms();
    uint64_t drip = (now - logs->refilled_ms) * LOG_LINES_PER_S / 1000;
    if (drip > 0) {
        uint64_t left = logs->lines_left + drip;
        logs->lines_left = left < LOG_LINES_BURST ? (uint32_t)left : LOG_LINES_BURST;
        logs->refilled_ms = now;
    }
    if (logs->lines_left == 0 && !weakened("log-cap")) {
        logs->dropped++;
        return;
    }
    logs_run(logs, now); /* in front of the line that is kept again */
    logs->lines_left -= logs->lines_left > 0;
    append(logs, ' ', logs->line, bytes);
}

void logs_write(struct logs *logs, const char *bytes, size_t count)
{
    while (count > 0) {
        const char *newline = memchr(bytes, '\n', count);
        size_t part = newline ? (size_t)(newline - bytes) : count;
        size_t room = sizeof logs->line - logs->used;
        size_t taken = part < room ? part : room;
        memcpy(logs->line + logs->used, bytes, taken);
        logs->used += taken;
        bytes += taken;
        count -= taken;
        if (newline && taken == part) {
            bytes++;
            count--;
            write_line(logs);
        } else if (logs->used == sizeof logs->line) {
            write_line(logs);
        }
    }
}

void logs_flush(struct logs *logs)
{
    if (logs->used > 0)
        write_line(logs);
    if (logs->dropped > 0)
        tell_dropped(logs);
}
