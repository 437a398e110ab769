/* events.c - see events.h.  Doing. */
#include "hostd/events.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "hostd/app.h"
#include "hostd/logtail.h"
#include "rpc/base/clock.h"
#include "rpc/base/own.h"

#define LINE_BYTES 24 /* " (line N)" */
#define TEXT_BYTES (ERR_TEXT_BYTES + 256u)
#define LIMITED_PER_S 10u /* of one service; librpc itself tells ten times a second at most per link and method */
#define LIMITED_BURST 100u

static const char *const type_names[] = {
    [NEWS_OTHER] = "other",   [NEWS_DENIED] = "denied",   [NEWS_BROKEN] = "broken",   [NEWS_PACKETS] = "packets",
    [NEWS_STAGE] = "stage",   [NEWS_ENDED] = "ended",     [NEWS_RESTART] = "restart", [NEWS_READY] = "ready",
    [NEWS_FAILED] = "failed", [NEWS_ADOPTED] = "adopted", [NEWS_STOPPED] = "stopped",
};
_Static_assert(ARRAY_COUNT(type_names) == NEWS_TYPE_COUNT, "a name for every type");

/* What a service may still cause: LIMITED_PER_S drip in, LIMITED_BURST fit. */
struct bucket {
    uint64_t refilled_ms;
    uint32_t left, left_out;
};

struct events {
    int fd[2];
    unsigned current;
    uint64_t bytes[2];
    uint32_t service_count;
    struct bucket buckets[];
};

/* ---- files ---- */

/* Ends a line that a killed hostd left unfinished. */
static void mend(struct events *events, int which)
{
    char last = '\n';
    if (events->bytes[which] > 0 && pread(events->fd[which], &last, 1, (off_t)events->bytes[which] - 1) == 1 &&
        last != '\n' && write(events->fd[which], "\n", 1) == 1)
        events->bytes[which]++;
}

int events_open(int run_fd, uint32_t service_count, struct events **ret_events, struct err *e)
{
    struct timespec written[2];
    struct events *events = calloc(1, sizeof *events + service_count * sizeof events->buckets[0]);
    if (!events)
        return err_set(e, -ENOMEM, "no memory for events");
    events->fd[0] = events->fd[1] = -1;
    events->service_count = service_count;
    for (uint32_t i = 0; i < service_count; i++)
        events->buckets[i] = (struct bucket){.refilled_ms = clock_ms(), .left = LIMITED_BURST};
    for (int i = 0; i < 2; i++) {
        const char *name = i == 0 ? "events.0" : "events.1";
        struct stat status;
        events->fd[i] = openat(run_fd, name, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (events->fd[i] < 0 || fstat(events->fd[i], &status) < 0) {
            int code = err_sys(e, -errno, "open %s of the run directory", name);
            events_close(events);
            return code;
        }
        events->bytes[i] = (uint64_t)status.st_size;
        written[i] = status.st_mtim;
        mend(events, i);
    }
    /* The one that was written last goes on. */
    events->current =
        events->bytes[1] > 0 && (written[1].tv_sec != written[0].tv_sec ? written[1].tv_sec > written[0].tv_sec
                                                                        : written[1].tv_nsec > written[0].tv_nsec);
    *ret_events = events;
    return 0;
}

void events_close(struct events *events)
{
    if (!events)
        return;
    fd_close(&events->fd[0]);
    fd_close(&events->fd[1]);
    free(events);
}

static void append(struct events *events, const char *line, size_t bytes)
{
    if (events->bytes[events->current] + bytes > EVENTS_BYTES_MAX) {
        events->current ^= 1;
        if (ftruncate(events->fd[events->current], 0) < 0)
            return; /* keep the bound rather than the line */
        events->bytes[events->current] = 0;
    }
    ssize_t written = write(events->fd[events->current], line, bytes);
    if (written > 0)
        events->bytes[events->current] += (uint64_t)written;
}

/* ---- one event ---- */

static const char *name_of(const struct app *app, uint32_t service)
{
    return service == NEWS_OPERATOR             ? OPERATOR_NAME
           : service < app->plan->service_count ? SERVICE_NAME(app, service)
                                                : NULL;
}

static void add_string(json_t *object, const char *key, const char *value)
{
    if (value)
        (void)json_object_set_new(object, key, json_string(value));
}

static void add_number(json_t *object, const char *key, uint32_t value)
{
    if (value > 0)
        (void)json_object_set_new(object, key, json_integer(value));
}

static void write_down(const struct app *app, const struct news *news, const char *text, size_t text_bytes)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now); /* cannot fail; vDSO */
    json_t *object =
        json_pack("{s:I, s:s}", "time_ms", (json_int_t)now.tv_sec * 1000 + (json_int_t)(now.tv_nsec / 1000000), "type",
                  type_names[news->type]);
    add_string(object, "service", name_of(app, news->service));
    if (news->service < app->plan->service_count)
        add_number(object, "generation", app->instances[news->service].generation);
    add_string(object, "caller", name_of(app, news->caller));
    add_string(object, "callee", name_of(app, news->callee));
    add_string(object, "method", news->method);
    add_string(object, "stage", news->stage);
    add_number(object, "count", news->count);
    if (news->line > 0)
        add_string(object, "file", app->list);
    add_number(object, "line", news->line);
    (void)json_object_set_new(object, "text", json_stringn(text, text_bytes));
    FREE_AUTO char *line = object ? json_dumps(object, JSON_COMPACT) : NULL;
    json_decref(object);
    if (!line)
        return;
    size_t bytes = strlen(line);
    line[bytes] = '\n'; /* instead of its end */
    append(app->events, line, bytes + 1);
}

/* One that a service may cause at will: is there room for it?  What was left out before is said first. */
static bool is_admitted(const struct app *app, const struct news *news)
{
    bool is_limited = news->type == NEWS_DENIED || news->type == NEWS_BROKEN || news->type == NEWS_PACKETS;
    if (!is_limited || !app->events || news->service >= app->events->service_count)
        return true;
    struct bucket *bucket = &app->events->buckets[news->service];
    uint64_t now_ms = clock_ms(), drip = (now_ms - bucket->refilled_ms) * LIMITED_PER_S / 1000;
    if (drip > 0) {
        bucket->left = drip < LIMITED_BURST - bucket->left ? bucket->left + (uint32_t)drip : LIMITED_BURST;
        bucket->refilled_ms = now_ms;
    }
    if (bucket->left == 0) {
        bucket->left_out++;
        return false;
    }
    bucket->left--;
    if (bucket->left_out > 0) {
        struct news more = news_of(NEWS_OTHER, news->service);
        more.count = bucket->left_out;
        bucket->left_out = 0;
        events_tell(app, &more, "events of '%s' left out: %u more", SERVICE_NAME(app, news->service), more.count);
    }
    return true;
}

void events_vtell(const struct app *app, const struct news *news, const char *format, va_list args)
{
    char text[TEXT_BYTES], shown[TEXT_BYTES * 2];
    if (!is_admitted(app, news))
        return;
    (void)vsnprintf(text, sizeof text, format, args); /* a cut text is still a text */
    size_t bytes = logtail_escape(text, strlen(text), shown, sizeof shown - LINE_BYTES);
    if (app->events)
        write_down(app, news, shown, bytes);
    if (news->line > 0) /* a field of its own in the file */
        bytes += (size_t)snprintf(shown + bytes, LINE_BYTES, " (line %u)", news->line);
    if (!app->is_quiet)
        logtail_say(app->tail, shown, bytes);
}

void events_tell(const struct app *app, const struct news *news, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    events_vtell(app, news, format, args);
    va_end(args);
}
