/* logtail.c - see logtail.h.  Doing, but for logtail_escape() and logtail_parse(). */
#include "hostd/logtail.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "rpc/base/own.h"
#include "rpc/base/weaken.h"

#define LINE_BYTES_MAX 8192u      /* stored lines are shorter (initsvc/logs.c) */
#define SHOWN_BYTES_MAX 20000u    /* each byte as \xNN */
#define READ_BYTES_MAX (4u << 20) /* per file and turn: more than a file holds */
#define TURN_BYTES_MAX (8u << 20) /* of the lines of one turn, where the output may keep us waiting */
#define WRITE_BYTES 4096u         /* what a pipe that says it is writable takes whole (pipe(7), PIPE_BUF) */
#define PAGE_BYTES (64u << 10)    /* kept between turns */
#define PASSES_MAX 4              /* over the files of a service that never stops printing */
#define HEAD_BYTES 48             /* of a file: its first stamp and some of its first line */

struct followed {
    int fd;
    off_t offset;
    char head[HEAD_BYTES]; /* as it was when we read it: another one, and the file was emptied in between */
    size_t head_bytes;
    struct timespec written; /* its last change that we read: one may be emptied and filled to the same byte */
};

struct line {
    uint64_t at_ms;
    size_t order; /* as read: equal times keep their order */
    size_t service;
    bool is_own;
    char *text;
    size_t bytes;
};

struct logtail {
    struct logtail_options options;
    int inotify_fd, logs_fd;
    size_t count;
    int width;
    char (*names)[NAME_BYTES];
    struct followed (*files)[2];
    struct line *lines; /* of this turn */
    size_t line_count, line_room, turn_bytes;
    int out_fd; /* ours; -1 = silenced */
    char *page; /* what is to be written, and was written of it */
    size_t page_bytes, page_done, page_room;
    int out_errno; /* of the last write that failed */
};

/* ---- pure ---- */

bool logtail_parse(const char *line, size_t bytes, uint64_t *ret_ms, bool *ret_is_own, const char **ret_text,
                   size_t *ret_bytes)
{
    uint64_t seconds = 0, millis = 0;
    size_t i = 0;
    for (; i < bytes && i < 12 && line[i] >= '0' && line[i] <= '9'; i++)
        seconds = seconds * 10 + (uint64_t)(line[i] - '0');
    if (i == 0 || i + 5 > bytes || line[i] != '.')
        return false;
    for (size_t k = i + 1; k < i + 4; k++) {
        if (line[k] < '0' || line[k] > '9')
            return false;
        millis = millis * 10 + (uint64_t)(line[k] - '0');
    }
    if (line[i + 4] != ' ' && line[i + 4] != '!')
        return false;
    *ret_ms = seconds * 1000 + millis;
    *ret_is_own = line[i + 4] == '!';
    *ret_text = line + i + 5;
    *ret_bytes = bytes - i - 5;
    return true;
}

/* Length of the printable UTF-8 character at text, 0 for anything else: C0, C1, DEL, bad or overlong sequences. */
static size_t printable(const unsigned char *text, size_t bytes)
{
    unsigned char first = text[0];
    if (first < 0x80)
        return first >= 0x20 && first != 0x7f;
    size_t length = first >= 0xf0 && first < 0xf5   ? 4
                    : first >= 0xe0 && first < 0xf0 ? 3
                    : first >= 0xc2 && first < 0xe0 ? 2
                                                    : 0;
    if (length == 0 || length > bytes)
        return 0;
    uint32_t code = first & (0xffu >> (length + 1));
    for (size_t i = 1; i < length; i++) {
        if ((text[i] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (text[i] & 0x3f);
    }
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    bool is_bad = code < least[length] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff) ||
                  (code >= 0x80 && code < 0xa0) || /* C1: some terminals obey them */
                  code == 0x061c || code == 0x200e || code == 0x200f ||
                  (code >= 0x202a && code <= 0x202e) || /* these turn the direction of the line's rest */
                  (code >= 0x2066 && code <= 0x2069) || code == 0x2028 || code == 0x2029;
    return is_bad ? 0 : length;
}

size_t logtail_escape(const char *text, size_t bytes, char *shown, size_t room)
{
    static const char hex[] = "0123456789abcdef";
    size_t used = 0;
    for (size_t i = 0; i < bytes && used + 4 <= room;) {
        size_t length = weakened("log-escape") ? 1 : printable((const unsigned char *)text + i, bytes - i);
        if (length > 0) {
            memcpy(shown + used, text + i, length);
            used += length;
            i += length;
        } else {
            unsigned char byte = (unsigned char)text[i++];
            shown[used++] = '\\';
            shown[used++] = 'x';
            shown[used++] = hex[byte >> 4];
            shown[used++] = hex[byte & 15];
        }
    }
    return used;
}

/* ---- opening ---- */

bool logtail_may_color(int fd)
{
    const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
    return isatty(fd) && !(no_color && *no_color) && !(term && strcmp(term, "dumb") == 0);
}

/* A descriptor that never blocks.  Not by a flag on the caller's: that would be the flag of everybody who shares it,
 * the shell too.  A socket cannot be opened again, and is asked whether it takes something before each write; a file
 * must not be, for its position is shared with stderr, and does not block. */
static int open_out(const struct logtail_options *options)
{
    char path[40];
    struct stat status;
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", options->out_fd);
    bool may_block = options->never_blocks && fstat(options->out_fd, &status) == 0 &&
                     (S_ISFIFO(status.st_mode) || S_ISCHR(status.st_mode));
    int fd = may_block ? open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC) : -1;
    return fd >= 0 ? fd : fcntl(options->out_fd, F_DUPFD_CLOEXEC, 3);
}

static void skip_old(struct logtail *tail, size_t service, int which);

int logtail_open(const char *run_dir, const char (*names)[NAME_BYTES], size_t count,
                 const struct logtail_options *options, struct logtail **ret_tail, struct err *e)
{
    char path[4096];
    struct logtail *tail = calloc(1, sizeof *tail);
    if (!tail)
        return err_set(e, -ENOMEM, "no memory for logs");
    *tail = (struct logtail){
        .options = *options, .inotify_fd = -1, .logs_fd = -1, .out_fd = -1, .count = count, .width = 5 /* hostd */};
    tail->names = calloc(count + 1, sizeof *tail->names);
    tail->files = calloc(count + 1, sizeof *tail->files);
    if (!tail->names || !tail->files) {
        logtail_free(tail);
        return err_set(e, -ENOMEM, "no memory for logs");
    }
    for (size_t i = 0; i < count; i++) {
        memcpy(tail->names[i], names[i], NAME_BYTES);
        tail->files[i][0].fd = tail->files[i][1].fd = -1;
        int width = (int)strlen(names[i]);
        tail->width = width > tail->width ? width : tail->width;
    }
    (void)snprintf(path, sizeof path, "%s/logs", run_dir);
    tail->logs_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    tail->inotify_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (tail->logs_fd < 0 || tail->inotify_fd < 0 || inotify_add_watch(tail->inotify_fd, path, IN_MODIFY) < 0) {
        int code = err_sys(e, -errno, "watch %s", path);
        logtail_free(tail);
        return code;
    }
    tail->out_fd = open_out(options);
    if (tail->out_fd < 0) {
        int code = err_sys(e, -errno, "output of the logs");
        logtail_free(tail);
        return code;
    }
    for (size_t i = 0; options->from_now && i < count; i++) {
        skip_old(tail, i, 0);
        skip_old(tail, i, 1);
    }
    *ret_tail = tail;
    return 0;
}

bool logtail_is_over(const struct logtail *tail)
{
    struct stat status;
    return fstat(tail->logs_fd, &status) < 0 || status.st_nlink == 0;
}

int logtail_out_errno(const struct logtail *tail)
{
    return tail->out_errno;
}

int logtail_fd(const struct logtail *tail)
{
    return tail->inotify_fd;
}

/* ---- reading ---- */

static void keep_line(struct logtail *tail, size_t service, const char *stored, size_t bytes)
{
    struct line line = {.service = service, .order = tail->line_count};
    const char *text;
    if (!logtail_parse(stored, bytes, &line.at_ms, &line.is_own, &text, &line.bytes) ||
        line.at_ms < tail->options.since_ms)
        return;
    if (tail->line_count == tail->line_room) {
        size_t room = tail->line_room ? tail->line_room * 2 : 256;
        struct line *larger = realloc(tail->lines, room * sizeof *larger);
        if (!larger)
            return; /* what cannot be kept cannot be shown; it stays in its file */
        tail->lines = larger;
        tail->line_room = room;
    }
    line.text = malloc(line.bytes + 1);
    if (!line.text)
        return;
    memcpy(line.text, text, line.bytes);
    tail->turn_bytes += line.bytes + sizeof line;
    tail->lines[tail->line_count++] = line;
}

/* Was the file emptied, and perhaps filled again, since we read it? */
static bool is_another(struct followed *file, off_t bytes)
{
    char head[HEAD_BYTES];
    ssize_t got = pread(file->fd, head, sizeof head, 0);
    size_t head_bytes = got > 0 ? (size_t)got : 0;
    bool is_new =
        bytes < file->offset || head_bytes < file->head_bytes || memcmp(head, file->head, file->head_bytes) != 0;
    memcpy(file->head, head, head_bytes);
    file->head_bytes = head_bytes;
    return is_new;
}

/* No more lines in this turn: the output may not take those that there are. */
static bool is_full(const struct logtail *tail)
{
    return tail->options.never_blocks && tail->turn_bytes >= TURN_BYTES_MAX;
}

static bool open_file(struct logtail *tail, size_t service, int which)
{
    struct followed *file = &tail->files[service][which];
    char path[NAME_BYTES + 4];
    (void)snprintf(path, sizeof path, "%s.%d", tail->names[service], which);
    if (file->fd < 0)
        file->fd = openat(tail->logs_fd, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    return file->fd >= 0;
}

static void skip_old(struct logtail *tail, size_t service, int which)
{
    struct followed *file = &tail->files[service][which];
    struct stat status;
    if (!open_file(tail, service, which) || fstat(file->fd, &status) < 0)
        return;
    (void)is_another(file, status.st_size); /* takes its head */
    file->offset = status.st_size;          /* lines are written whole */
}

static void read_new(struct logtail *tail, size_t service, int which)
{
    struct followed *file = &tail->files[service][which];
    char buffer[LINE_BYTES_MAX];
    struct stat status;
    if (!open_file(tail, service, which) || fstat(file->fd, &status) < 0)
        return;
    if (status.st_size == file->offset && memcmp(&status.st_mtim, &file->written, sizeof file->written) == 0)
        return;
    file->written = status.st_mtim;
    if (is_another(file, status.st_size))
        file->offset = 0;
    for (size_t total = 0; total < READ_BYTES_MAX && !is_full(tail);) {
        /* From the end of the line before: a place that is no start of a line any more would let a service's text be
         * taken for a stamp. */
        off_t from = file->offset > 0 ? file->offset - 1 : 0;
        ssize_t got = pread(file->fd, buffer, sizeof buffer, from);
        size_t used = (size_t)(file->offset - from);
        if (got <= 0 || (used > 0 && buffer[0] != '\n')) {
            file->offset = 0; /* emptied just now: its event is under way */
            return;
        }
        size_t begin = used;
        for (char *newline; (newline = memchr(buffer + used, '\n', (size_t)got - used));) {
            keep_line(tail, service, buffer + used, (size_t)(newline - (buffer + used)));
            used = (size_t)(newline - buffer) + 1;
        }
        if (used == begin)
            return; /* the end, or an unfinished line: the rest comes with its own event */
        file->offset += (off_t)(used - begin);
        total += used;
    }
}

/* Both files of a service.  PID 1 may change over between the two reads: then the last lines of the first file are
 * older than those that were just read of the second, and belong in front of them. */
static void read_service(struct logtail *tail, size_t service)
{
    size_t before;
    int passes = 0;
    do {
        before = tail->line_count;
        read_new(tail, service, 0);
        read_new(tail, service, 1);
    } while (tail->line_count > before && ++passes < PASSES_MAX);
}

/* ---- printing ---- */

static int by_time(const void *a, const void *b)
{
    const struct line *one = a, *two = b;
    if (one->at_ms != two->at_ms)
        return one->at_ms < two->at_ms ? -1 : 1;
    return one->order < two->order ? -1 : one->order > two->order;
}

static void format_time(uint64_t at_ms, char text[40])
{
    time_t seconds = (time_t)(at_ms / 1000);
    struct tm parts;
    char date[24];
    (void)gmtime_r(&seconds, &parts);
    (void)strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &parts);
    (void)snprintf(text, 40, "%s.%03uZ", date, (unsigned)(at_ms % 1000));
}

/* What there is no memory for is not shown; it stays in its file. */
static void put(struct logtail *tail, const char *text, size_t bytes)
{
    if (tail->page_bytes + bytes > tail->page_room) {
        size_t room = 2 * tail->page_room + bytes + PAGE_BYTES;
        char *larger = realloc(tail->page, room);
        if (!larger)
            return;
        tail->page = larger;
        tail->page_room = room;
    }
    memcpy(tail->page + tail->page_bytes, text, bytes);
    tail->page_bytes += bytes;
}

static void put_json(struct logtail *tail, const struct line *line, const char *time, const char *shown, size_t bytes)
{
    json_t *object = json_pack("{s:s, s:s, s:b, s:s%}", "time", time, "service", tail->names[line->service], "own",
                               line->is_own, "text", shown, bytes);
    FREE_AUTO char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;
    json_decref(object);
    if (!text)
        return;
    put(tail, text, strlen(text));
    put(tail, "\n", 1);
}

static void put_line(struct logtail *tail, const struct line *line)
{
    const struct logtail_options *options = &tail->options;
    char shown[SHOWN_BYTES_MAX + 1], time[40], prefix[NAME_BYTES + 100];
    size_t bytes = logtail_escape(line->text, line->bytes, shown, SHOWN_BYTES_MAX);
    format_time(line->at_ms, time);
    if (options->is_json) {
        put_json(tail, line, time, shown, bytes);
        return;
    }
    static const char *const colors[] = {"36", "32", "33", "35", "34", "96", "92", "95"};
    const char *color = colors[line->service % ARRAY_COUNT(colors)];
    int used = snprintf(prefix, sizeof prefix, "%s%s%s%s%s%-*s%s %c ", options->with_time ? time : "",
                        options->with_time ? " " : "", options->is_colored ? "\033[" : "",
                        options->is_colored ? color : "", options->is_colored ? "m" : "", tail->width,
                        tail->names[line->service], options->is_colored ? "\033[0m" : "", line->is_own ? '!' : '|');
    put(tail, prefix, (size_t)used); /* a time, a name and constants: they fit */
    shown[bytes++] = '\n';
    put(tail, shown, bytes);
}

/* Writes of the page what the output takes.  true: not all of it. */
static bool write_page(struct logtail *tail)
{
    while (tail->page_done < tail->page_bytes) {
        struct pollfd out = {.fd = tail->out_fd, .events = POLLOUT};
        size_t left = tail->page_bytes - tail->page_done;
        if (tail->options.never_blocks && poll(&out, 1, 0) != 1)
            return true;
        ssize_t written = write(tail->out_fd, tail->page + tail->page_done, left < WRITE_BYTES ? left : WRITE_BYTES);
        if (written < 0 && errno == EAGAIN && tail->options.never_blocks)
            return true;
        if (written < 0 && errno != EINTR && errno != EAGAIN) {
            tail->out_errno = errno;
            break; /* nobody is there any more: what was for them is dropped */
        }
        tail->page_done += written > 0 ? (size_t)written : 0;
    }
    tail->page_bytes = tail->page_done = 0;
    if (tail->page_room > 2 * PAGE_BYTES) { /* of a flood */
        free(tail->page);
        tail->page = NULL;
        tail->page_room = 0;
    }
    return false;
}

bool logtail_print(struct logtail *tail)
{
    char events[16384] __attribute__((aligned(__alignof__(struct inotify_event))));
    while (read(tail->inotify_fd, events, sizeof events) > 0)
        ; /* which file it was does not matter: looking at all of them costs one fstat each */
    if (tail->out_fd < 0)
        return false;
    if (tail->page_done < tail->page_bytes && write_page(tail))
        return true; /* new lines wait in their files */
    tail->turn_bytes = 0;
    for (size_t i = 0; i < tail->count; i++)
        read_service(tail, i);
    if (tail->line_count > 1)
        qsort(tail->lines, tail->line_count, sizeof *tail->lines, by_time);
    for (size_t i = 0; i < tail->line_count; i++) {
        put_line(tail, &tail->lines[i]);
        free(tail->lines[i].text);
    }
    tail->line_count = 0;
    return write_page(tail) || is_full(tail);
}

void logtail_say(struct logtail *tail, const char *text, size_t bytes)
{
    if (!tail) {
        (void)printf("hostd: %.*s\n", (int)bytes, text);
        (void)fflush(stdout);
        return;
    }
    if (tail->out_fd < 0 || tail->page_bytes - tail->page_done > TURN_BYTES_MAX)
        return;
    put(tail, "hostd: ", 7);
    put(tail, text, bytes);
    put(tail, "\n", 1);
    (void)write_page(tail);
}

void logtail_silence(struct logtail *tail)
{
    fd_close(&tail->out_fd);
}

void logtail_free(struct logtail *tail)
{
    if (!tail)
        return;
    for (size_t i = 0; tail->files && i < tail->count; i++) {
        fd_close(&tail->files[i][0].fd);
        fd_close(&tail->files[i][1].fd);
    }
    fd_close(&tail->inotify_fd);
    fd_close(&tail->logs_fd);
    fd_close(&tail->out_fd);
    free(tail->page);
    free(tail->names);
    free(tail->files);
    free(tail->lines);
    free(tail);
}
