/*
 * turn.c - the loop: one epoll over everything that hostd waits for, and the deadline of each state.
 *
 * What happened to a service is told as an event (instance_event()); nothing here decides what it means.
 */
#include <errno.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>

#include "hostd/supervise.h"
#include "rpc/base/clock.h"
#include "rpc/base/own.h"

#define BEHIND_MS 50u /* between two looks at an output that took no more */
enum watch { WATCH_STAGE = 1, WATCH_PIDFD, WATCH_SIGNAL, WATCH_CONTROL, WATCH_LOG };

/* ---- watching ---- */

static int watch(struct app *app, int fd, enum watch kind, uint32_t index)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = (uint64_t)kind << 32 | index};
    return epoll_ctl(app->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

int turn_watch(struct app *app, uint32_t index, struct err *e)
{
    struct instance *instance = &app->instances[index];
    int result = watch(app, instance->stage_fd, WATCH_STAGE, index);
    if (result == 0)
        result = watch(app, instance->pidfd, WATCH_PIDFD, index);
    return result < 0 ? err_sys(e, result, "watch service '%s'", SERVICE_NAME(app, index)) : 0;
}

void turn_unwatch_stage(struct app *app, uint32_t index)
{
    (void)epoll_ctl(app->epoll_fd, EPOLL_CTL_DEL, app->instances[index].stage_fd, NULL);
}

int turn_open(struct app *app, struct err *e)
{
    sigset_t signals;
    (void)sigemptyset(&signals);
    (void)sigaddset(&signals, SIGINT);
    (void)sigaddset(&signals, SIGTERM);
    (void)sigaddset(&signals, SIGHUP);
    (void)sigaddset(&signals, SIGPIPE);
    (void)sigprocmask(SIG_BLOCK, &signals, NULL);
    app->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    app->signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
    if (app->epoll_fd < 0 || app->signal_fd < 0)
        return err_sys(e, -errno, "epoll, signalfd");
    int result = watch(app, app->signal_fd, WATCH_SIGNAL, 0);
    if (result == 0)
        result = watch(app, app->control_fd, WATCH_CONTROL, 0);
    if (result == 0)
        result = watch(app, logtail_fd(app->tail), WATCH_LOG, 0);
    return result < 0 ? err_sys(e, result, "epoll_ctl") : 0;
}

/* ---- signals ---- */

static void read_signals(struct app *app)
{
    struct signalfd_siginfo info;
    while (read(app->signal_fd, &info, sizeof info) == (ssize_t)sizeof info) {
        if (info.ssi_signo != SIGINT && info.ssi_signo != SIGTERM && info.ssi_signo != SIGHUP)
            continue;
        if (app->is_stopping)
            supervise_kill_all(app); /* asked twice: now */
        else
            supervise_stop(app);
    }
}

/* ---- time ---- */

static uint64_t deadline_of(const struct app *app, uint32_t index)
{
    const struct instance *instance = &app->instances[index];
    switch (instance->state) {
    case INSTANCE_DOWN:
        return instance->restart_at_ms;
    case INSTANCE_STARTING:
    case INSTANCE_LISTENING:
    case INSTANCE_CONNECTING:
        return instance->started_at_ms + app->plan->services[index].ready_ms;
    case INSTANCE_STOPPING:
        return instance->kill_at_ms;
    default:
        return 0;
    }
}

static void overdue(struct app *app, uint32_t index)
{
    struct instance *instance = &app->instances[index];
    if (instance->state == INSTANCE_DOWN) {
        instance_event(app, index, EVENT_START);
        return;
    }
    if (instance->state == INSTANCE_STOPPING) {
        instance->kill_at_ms += STOP_GRACE_MS;
    } else {
        struct err e;
        (void)err_set(&e, -ETIMEDOUT, "not ready after %u ms (it is %s)", app->plan->services[index].ready_ms,
                      instance_state_name(instance->state));
        note_failure(instance, STAGE_READY, &e);
        instance->started_at_ms = clock_ms(); /* once */
    }
    instance_event(app, index, EVENT_OVERDUE);
}

static int next_timeout_ms(const struct app *app)
{
    uint64_t now = clock_ms(), next = UINT64_MAX;
    for (uint32_t i = 0; i < app->plan->service_count; i++) {
        uint64_t at = deadline_of(app, i);
        if (at && at < next)
            next = at;
    }
    if (app->is_behind && next > now + BEHIND_MS)
        next = now + BEHIND_MS;
    if (next == UINT64_MAX)
        return -1;
    return next <= now ? 0 : (int)(next - now);
}

/* ---- the loop ---- */

void turn(struct app *app)
{
    struct epoll_event events[64];
    int count = epoll_wait(app->epoll_fd, events, ARRAY_COUNT(events), next_timeout_ms(app));
    for (int i = 0; i < count; i++) {
        uint32_t index = (uint32_t)events[i].data.u64;
        switch ((enum watch)(events[i].data.u64 >> 32)) {
        case WATCH_STAGE:
            read_stage(app, index);
            break;
        case WATCH_PIDFD:
            if (app->instances[index].pidfd >= 0)
                instance_died(app, index);
            break;
        case WATCH_SIGNAL:
            read_signals(app);
            break;
        case WATCH_CONTROL:
            control_accept(app);
            break;
        case WATCH_LOG:
            app->is_behind = true;
            break;
        }
    }
    if (app->is_behind)
        app->is_behind = logtail_print(app->tail);
    uint64_t now = clock_ms();
    for (uint32_t i = 0; i < app->plan->service_count; i++) {
        uint64_t at = deadline_of(app, i);
        if (at && at <= now)
            overdue(app, i);
    }
    if (app->is_stopping)
        stop_next(app);
    control_answer_waiters(app);
}
