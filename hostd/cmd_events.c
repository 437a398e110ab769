/*
 * cmd_events.c - `hostd events`: what happened in an application, from the files that hostd writes (events.h).
 *
 * Needs no running hostd.  A line that is no object of ours is left out; texts were escaped before they were written.
 */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <time.h>

#include "hostd/app.h"
#include "hostd/client.h"
#include "hostd/cmd.h"
#include "hostd/options.h"
#include "hostd/since.h"
#include "rpc/base/own.h"

#define FILE_BYTES_MAX (EVENTS_BYTES_MAX * 2) /* more than one ever holds */

struct file {
    off_t offset; /* shown up to here */
    ino_t inode;
};

struct row {
    json_t *object;
    json_int_t at_ms;
    size_t order;
};

struct options {
    json_int_t since_ms;
    bool is_json, is_following;
};

/* ---- reading ---- */

struct rows {
    struct row *at;
    size_t count, room;
};

static void add_row(struct rows *rows, const char *line, size_t bytes, json_int_t since_ms)
{
    json_t *object = json_loadb(line, bytes, JSON_REJECT_DUPLICATES, NULL);
    json_int_t at_ms = json_integer_value(json_object_get(object, "time_ms"));
    if (at_ms <= 0 || at_ms < since_ms) {
        json_decref(object);
        return;
    }
    if (rows->count == rows->room) {
        size_t room = rows->room ? rows->room * 2 : 64;
        struct row *larger = realloc(rows->at, room * sizeof *larger);
        if (!larger) {
            json_decref(object);
            return; /* stays in its file */
        }
        rows->at = larger;
        rows->room = room;
    }
    rows->at[rows->count] = (struct row){.object = object, .at_ms = at_ms, .order = rows->count};
    rows->count++;
}

/* What is new in one of the two files, up to its last finished line. */
static void read_new(int run_fd, const char *name, struct file *file, json_int_t since_ms, struct rows *rows)
{
    struct stat status;
    FD_AUTO int fd = openat(run_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 || fstat(fd, &status) < 0 || status.st_size > (off_t)FILE_BYTES_MAX)
        return;
    if (status.st_size < file->offset || status.st_ino != file->inode)
        file->offset = 0; /* emptied for the next round */
    file->inode = status.st_ino;
    size_t bytes = (size_t)(status.st_size - file->offset);
    FREE_AUTO char *text = malloc(bytes + 1);
    ssize_t got = text && bytes > 0 ? pread(fd, text, bytes, file->offset) : -1;
    for (char *at = text, *newline; got > 0 && (newline = memchr(at, '\n', (size_t)(text + got - at)));) {
        add_row(rows, at, (size_t)(newline - at), since_ms);
        file->offset += newline + 1 - at;
        at = newline + 1;
    }
}

static int by_time(const void *a, const void *b)
{
    const struct row *one = a, *two = b;
    if (one->at_ms != two->at_ms)
        return one->at_ms < two->at_ms ? -1 : 1;
    return one->order < two->order ? -1 : one->order > two->order;
}

/* ---- showing ---- */

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

static void print_row(const struct row *row, bool is_json)
{
    time_t seconds = (time_t)(row->at_ms / 1000);
    struct tm parts;
    char date[24], shown_time[40];
    (void)gmtime_r(&seconds, &parts);
    (void)strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &parts);
    (void)snprintf(shown_time, sizeof shown_time, "%s.%03uZ", date, (unsigned)(row->at_ms % 1000));
    if (is_json) {
        (void)json_object_set_new(row->object, "time", json_string(shown_time));
        (void)json_dumpf(row->object, stdout, JSON_COMPACT);
        (void)putchar('\n');
        return;
    }
    const char *type = text_of(row->object, "type"), *text = text_of(row->object, "text");
    size_t type_bytes = strlen(type);
    if (strncmp(text, type, type_bytes) == 0 && strncmp(text + type_bytes, ": ", 2) == 0)
        text += type_bytes + 2; /* "denied: ..." stands in its column already */
    (void)printf("%s %-8s %s", shown_time, type, text);
    json_int_t line = json_integer_value(json_object_get(row->object, "line"));
    if (line > 0)
        (void)printf(" (%s:%" JSON_INTEGER_FORMAT ")", text_of(row->object, "file"), line);
    (void)putchar('\n');
}

static void show_new(int run_fd, struct file files[2], const struct options *options)
{
    struct rows rows = {0};
    read_new(run_fd, "events.0", &files[0], options->since_ms, &rows);
    read_new(run_fd, "events.1", &files[1], options->since_ms, &rows);
    read_new(run_fd, "events.0", &files[0], options->since_ms, &rows); /* older ones, if they changed over between */
    if (rows.count > 1)
        qsort(rows.at, rows.count, sizeof *rows.at, by_time);
    for (size_t i = 0; i < rows.count; i++) {
        print_row(&rows.at[i], options->is_json);
        json_decref(rows.at[i].object);
    }
    free(rows.at);
    (void)fflush(stdout);
}

static int show(const char *app_name, const struct options *options, struct err *e)
{
    char run_dir[APP_PATH_BYTES];
    struct file files[2] = {{0}};
    (void)snprintf(run_dir, sizeof run_dir, "%s/%s", run_root(), app_name);
    FD_AUTO int run_fd = open(run_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (run_fd < 0)
        return errno == ENOENT ? err_set(e, -ENOENT, "application '%s' does not run", app_name)
                               : err_sys(e, -errno, "open %s", run_dir);
    FD_AUTO int inotify_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (options->is_following && (inotify_fd < 0 || inotify_add_watch(inotify_fd, run_dir, IN_MODIFY) < 0))
        return err_sys(e, -errno, "watch %s", run_dir);
    show_new(run_fd, files, options);
    while (options->is_following && !ferror(stdout) && access(run_dir, F_OK) == 0) {
        struct pollfd changed = {.fd = inotify_fd, .events = POLLIN};
        char seen[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
        (void)poll(&changed, 1, 1000);
        while (read(inotify_fd, seen, sizeof seen) > 0)
            ; /* which file it was does not matter */
        show_new(run_fd, files, options);
    }
    return 0;
}

int cmd_events(int argc, char **argv)
{
    static const struct option known[] = {
        {"app", required_argument, NULL, 'a'},
        {"follow", no_argument, NULL, 'f'},
        {"json", no_argument, NULL, 'j'},
        {"since", required_argument, NULL, 's'},
        {NULL, 0, NULL, 0},
    };
    struct options options = {0};
    const char *app_name = NULL;
    for (int c; (c = option_next(argc, argv, "f", known)) != -1;) {
        switch (c) {
        case 'a':
            app_name = optarg;
            break;
        case 'f':
            options.is_following = true;
            break;
        case 'j':
            options.is_json = true;
            break;
        case 's': {
            uint64_t since_ms;
            if (since_parse(optarg, since_now_ms(), &since_ms) < 0)
                return cmd_wrong(argv[0], "--since takes " SINCE_FORMS);
            options.since_ms = (json_int_t)since_ms;
            break;
        }
        default:
            return 2;
        }
    }
    if (optind != argc)
        return cmd_wrong(argv[0], "no arguments expected");
    char name[NAME_BYTES];
    struct err e = {0};
    int result = client_choose(app_name, name, &e);
    if (result == 0)
        result = show(name, &options, &e);
    return result < 0 ? client_fail(argv[0], result, &e) : 0;
}
