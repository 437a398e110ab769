/*
 * hog.c - a service that is ready, and then uses more than it may, turns no more, or ends by itself.
 *
 * Its configuration, `end`: "memory" (takes memory until the kernel ends it), "threads" (as many as it gets; says how
 * many), "spin" (a thread that never waits), "hang" (a fibre that never suspends), "notes" (likewise, it fills the pipe
 * to PID 1), "grow" (a file in its data directory /grow; says how far it got), "well" (exit code 0), "badly" (exit code
 * 3, after some last words), "stay" (none of these).  `late = 500`: ready only after so many milliseconds. `refuse =
 * "/data/file"`: does not start while that file is there.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "rpc/base/contract.h"
#include "rpc/base/log.h"
#include "rpc/base/own.h"
#include "rpc/rpc.h"

#define PIECE_BYTES (1u << 20)
#define PAUSE_MS 50u /* so that READY is out first */

static pthread_mutex_t held = PTHREAD_MUTEX_INITIALIZER;

static void *wait_for_ever(void *arg)
{
    (void)pthread_mutex_lock(&held);
    return arg;
}

static void *turn_for_ever(void *arg)
{
    for (volatile unsigned i = 0;; i++)
        ;
    return arg;
}

/* As many threads as it gets, and says how many; they stay. */
static void take_threads(void)
{
    pthread_t thread;
    unsigned count = 0;
    int code;
    (void)pthread_mutex_lock(&held);
    while ((code = pthread_create(&thread, NULL, wait_for_ever, NULL)) == 0)
        count++;
    (void)printf("hog: %u threads, then %s\n", count, strerror(code));
    (void)fflush(stdout);
}

/* As many as the pipe takes; answers to nothing. */
static void write_notes(void)
{
    static struct note_up notes[2048];
    for (size_t i = 0; i < ARRAY_COUNT(notes); i++)
        notes[i].kind = NOTE_PONG;
    while (write(CONTRACT_NOTE_FD, notes, sizeof notes) > 0)
        ;
}

/* By writing, and by a size alone. */
static void grow_file(void)
{
    FD_AUTO int fd = open("/grow/file", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    static const char piece[PIECE_BYTES];
    ssize_t got = 0;
    off_t size = 0;
    while (fd >= 0 && (got = write(fd, piece, sizeof piece)) > 0 && size < 64ll << 20)
        size += got;
    (void)printf("hog: file of %lld bytes, then %s; ", (long long)size, got < 0 || fd < 0 ? strerror(errno) : "more");
    (void)printf("1 TiB: %s\n", ftruncate(fd, 1ll << 40) < 0 ? strerror(errno) : "yes");
    (void)fflush(stdout);
}

static void end(void *arg)
{
    const char *how = rpc_config_string("end", "memory");
    pthread_t thread;
    rpc_sleep_ms(PAUSE_MS);
    if (strcmp(how, "threads") == 0) {
        take_threads();
        return;
    }
    if (strcmp(how, "grow") == 0) {
        grow_file();
        return;
    }
    if (strcmp(how, "spin") == 0) {
        (void)pthread_create(&thread, NULL, turn_for_ever, NULL);
        return;
    }
    while (strcmp(how, "memory") == 0) {
        char *piece = malloc(PIECE_BYTES);
        if (piece)
            memset(piece, 1, PIECE_BYTES);
    }
    for (volatile unsigned turns = 0; strcmp(how, "hang") == 0;)
        turns++;
    while (strcmp(how, "notes") == 0)
        write_notes();
    if (strcmp(how, "stay") == 0)
        return;
    for (int i = 1; strcmp(how, "badly") == 0 && i <= 7; i++)
        log_line("last words, line %d", i);
    _exit(strcmp(how, "well") == 0 ? 0 : 3);
}

static int start(struct err *e)
{
    const char *refuse = rpc_config_string("refuse", "");
    if (refuse[0])
        return open(refuse, O_RDONLY | O_CLOEXEC) >= 0 ? err_set(e, -EEXIST, "hog: %s is there", refuse) : 0;
    rpc_sleep_ms((uint32_t)rpc_config_int("late", 0));
    int result = rpc_spawn(end, NULL);
    return result == 0 ? 0 : err_set(e, result, "hog: no fibre");
}

int main(int argc, char **argv)
{
    static const struct rpc_service service = {.start = start};
    return rpc_main(argc, argv, &service);
}
