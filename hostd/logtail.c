/*
 * logtail.c - what the services print, to hostd's own stdout, prefixed and escaped.  Doing.
 *
 * PID 1 of each service writes the files (initsvc/logs.c), we only read them: nothing that happens here can stop a
 * service.  A line is shown as "SERVICE | TEXT"; control characters in TEXT are shown as \xNN, so no line can look
 * like another service's, or move the cursor.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hostd/app.h"
#include "rpc/base/own.h"

#define LINE_BYTES_MAX 8192 /* stored lines are shorter */

struct followed {
    int fd;
    off_t offset;
};

struct logtail {
    struct app *app;
    int inotify_fd;
    int width;                   /* of the longest name */
    struct followed (*files)[2]; /* per service */
};

int logtail_open(struct app *app, struct logtail **ret_tail, struct err *e)
{
    char path[APP_PATH_BYTES + 8];
    struct logtail *tail = calloc(1, sizeof *tail);
    size_t services = app->plan->service_count;
    if (!tail || !(tail->files = calloc(services, sizeof *tail->files))) {
        free(tail);
        return err_set(e, -ENOMEM, "no memory for logs");
    }
    tail->app = app;
    tail->width = (int)strlen("hostd");
    for (size_t i = 0; i < services; i++) {
        tail->files[i][0].fd = tail->files[i][1].fd = -1;
        int width = (int)strlen(SERVICE_NAME(app, i));
        tail->width = width > tail->width ? width : tail->width;
    }
    (void)snprintf(path, sizeof path, "%s/logs", app->run_dir);
    tail->inotify_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (tail->inotify_fd < 0 || inotify_add_watch(tail->inotify_fd, path, IN_MODIFY) < 0) {
        int code = err_sys(e, -errno, "watch %s", path);
        logtail_free(tail);
        return code;
    }
    *ret_tail = tail;
    return 0;
}

int logtail_fd(const struct logtail *tail)
{
    return tail->inotify_fd;
}

static void print_line(const struct logtail *tail, size_t service, const char *text, size_t bytes)
{
    /* The stamp is for `hostd logs`; here lines are shown as they come. */
    const char *space = memchr(text, ' ', bytes);
    if (space) {
        bytes -= (size_t)(space + 1 - text);
        text = space + 1;
    }
    (void)fprintf(stdout, "%-*s | ", tail->width, SERVICE_NAME(tail->app, service));
    for (size_t i = 0; i < bytes; i++) {
        unsigned char byte = (unsigned char)text[i];
        if ((byte >= 0x20 && byte != 0x7f && (byte < 0x80 || byte >= 0xa0)) || byte == '\t')
            (void)fputc(byte, stdout);
        else
            (void)fprintf(stdout, "\\x%02x", byte);
    }
    (void)fputc('\n', stdout);
}

static void print_new(struct logtail *tail, size_t service, int which)
{
    struct followed *file = &tail->files[service][which];
    char path[NAME_BYTES + 16];
    if (file->fd < 0) {
        (void)snprintf(path, sizeof path, "logs/%s.%d", SERVICE_NAME(tail->app, service), which);
        file->fd = openat(tail->app->run_fd, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    }
    struct stat status;
    if (file->fd < 0 || fstat(file->fd, &status) < 0)
        return;
    if (status.st_size < file->offset)
        file->offset = 0; /* emptied for the next round */
    char buffer[LINE_BYTES_MAX];
    for (;;) {
        ssize_t got = pread(file->fd, buffer, sizeof buffer, file->offset);
        if (got <= 0)
            return;
        size_t used = 0;
        for (char *newline; (newline = memchr(buffer + used, '\n', (size_t)got - used));) {
            print_line(tail, service, buffer + used, (size_t)(newline - (buffer + used)));
            used = (size_t)(newline - buffer) + 1;
        }
        if (used == 0)
            return; /* an unfinished line: the rest comes with its own event */
        file->offset += (off_t)used;
    }
}

void logtail_print(struct logtail *tail)
{
    char events[16384] __attribute__((aligned(__alignof__(struct inotify_event))));
    while (read(tail->inotify_fd, events, sizeof events) > 0)
        ; /* which file it was does not matter: looking at all of them costs one fstat each */
    for (size_t i = 0; i < tail->app->plan->service_count; i++) {
        print_new(tail, i, 0);
        print_new(tail, i, 1);
    }
    (void)fflush(stdout);
}

void logtail_free(struct logtail *tail)
{
    if (!tail)
        return;
    for (size_t i = 0; i < tail->app->plan->service_count; i++) {
        fd_close(&tail->files[i][0].fd);
        fd_close(&tail->files[i][1].fd);
    }
    fd_close(&tail->inotify_fd);
    free(tail->files);
    free(tail);
}
