/*
 * supervise.c - drives every service from down to ready and back.  The only place that changes an instance's state.
 *
 *            spawn_*()                 INIT_LISTENING         try_proceed()          INIT_IS_READY
 *   DOWN ───────────────▶ STARTING ──────────────▶ LISTENING ──────────────▶ CONNECTING ──────────────▶ READY
 *    ▲                        │                        │                         │                        │
 *    └────────── died() ◀─────┴────────────────────────┴──────────── pidfd ──────┴────────────┬───────────┘
 *    └──────────────────────────────── died() ◀───────────────── STOPPING ◀── stop_next() ────┘
 *
 * died() leads to DOWN with a time for the next start, or, where the restart policy or too many quick ends say so, to
 * ENDED or FAILED; a stop of the application turns both into DOWN.
 *
 * The first start has a barrier: nobody is told to connect before everybody listens.  A restart has a smaller one:
 * the service connects when each of its callees has a listener on the new wire; its callers get their new wires when it
 * listens itself.
 *
 * Invariants
 *  I1  One thread, one epoll; nothing here waits for a service.
 *  I2  A failure of the first start takes everything down again; later ones only restart the service that failed.
 *  I3  No signal is sent to a bare pid.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "hostd/app.h"
#include "rpc/base/clock.h"
#include "rpc/base/hash.h"
#include "rpc/base/own.h"

#define READY_MS_MAX 10000u /* from the spawn to READY */
#define STOP_MS_MAX 3000u   /* for a service to finish what runs */
#define STOP_GRACE_MS 500u  /* and for its PID 1 to notice that it did not */
#define RESTART_PAUSE_MS_MIN 100u
#define RESTART_PAUSE_MS_MAX 4000u /* up to a quarter of chance comes on top */
#define STABLE_MS 1000u            /* ready for so long: its end is no crash at the start */
#define QUICK_ENDS_MAX 10u         /* in a row, then it is left as failed */
#define STEADY_MS 10000u           /* ready for so long: the next pause is a short one again */

enum watch { WATCH_STAGE = 1, WATCH_PIDFD, WATCH_SIGNAL, WATCH_CONTROL, WATCH_LOG };

static const char *const state_names[] = {
    [INSTANCE_DOWN] = "down",           [INSTANCE_STARTING] = "starting",
    [INSTANCE_LISTENING] = "listening", [INSTANCE_CONNECTING] = "connecting",
    [INSTANCE_READY] = "ready",         [INSTANCE_ENDED] = "ended",
    [INSTANCE_FAILED] = "failed",       [INSTANCE_STOPPING] = "stopping",
};
_Static_assert(ARRAY_COUNT(state_names) == INSTANCE_STATE_COUNT, "a name for every state");

const char *instance_state_name(enum instance_state state)
{
    return state_names[state];
}

/* ---- telling ---- */

static void say(const struct app *app, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void say(const struct app *app, const char *format, ...)
{
    if (app->is_quiet)
        return;
    va_list args;
    va_start(args, format);
    (void)fputs("hostd: ", stdout);
    (void)vfprintf(stdout, format, args);
    (void)fputc('\n', stdout);
    (void)fflush(stdout);
    va_end(args);
}

/* "exited with code 1", "was killed by signal 9 (Killed)" */
static void describe_status(int wait_status, char *text, size_t bytes)
{
    if (WIFSIGNALED(wait_status))
        (void)snprintf(text, bytes, "was killed by signal %d (%s)", WTERMSIG(wait_status),
                       strsignal(WTERMSIG(wait_status)));
    else
        (void)snprintf(text, bytes, "exited with code %d", WEXITSTATUS(wait_status));
}

/* ---- watching ---- */

static int watch(struct app *app, int fd, enum watch kind, uint32_t index)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = (uint64_t)kind << 32 | index};
    return epoll_ctl(app->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

static int watch_instance(struct app *app, uint32_t index, struct err *e)
{
    struct instance *instance = &app->instances[index];
    int result = watch(app, instance->stage_fd, WATCH_STAGE, index);
    if (result == 0)
        result = watch(app, instance->pidfd, WATCH_PIDFD, index);
    return result < 0 ? err_sys(e, result, "watch service '%s'", SERVICE_NAME(app, index)) : 0;
}

/* ---- messages to PID 1 ---- */

static void tell(struct app *app, uint32_t index, const struct init_message *message)
{
    struct instance *instance = &app->instances[index];
    if (instance->stage_fd < 0)
        return;
    /* A PID 1 that does not read 200 messages is stuck: ending it is what its pidfd then reports. */
    if (send(instance->stage_fd, message, sizeof *message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 && instance->pidfd >= 0)
        (void)syscall(SYS_pidfd_send_signal, instance->pidfd, SIGKILL, NULL, 0);
}

static void tell_renewed(struct app *app, uint32_t link, uint32_t direction)
{
    const struct plan_link *l = &app->plan->links[link];
    struct init_message message = {.kind = INIT_RENEW, .link = direction == LINK_IN ? l->to_end : l->from_end};
    spawn_wire(app, link, direction, &message.wire);
    tell(app, direction == LINK_IN ? l->to : l->from, &message);
}

/* ---- starting one ---- */

static void try_proceed(struct app *app, uint32_t index)
{
    struct instance *instance = &app->instances[index];
    if (instance->state != INSTANCE_LISTENING || instance->awaited > 0)
        return;
    struct init_message connect = {.kind = INIT_CONNECT};
    tell(app, index, &connect);
    instance->state = INSTANCE_CONNECTING;
    if (!app->has_started)
        return; /* the first start: everybody is told to connect, nobody has an old wire */
    for (uint32_t i = 0; i < app->plan->link_count; i++)
        if (app->plan->links[i].to == index && app->wires[i].is_made)
            tell_renewed(app, i, LINK_OUT); /* its callers may come back now: it listens */
}

static void note_failure(struct instance *instance, enum init_stage stage, const struct err *e)
{
    instance->failed_stage = stage;
    instance->error = *e;
}

static void plan_restart(struct app *app, uint32_t index)
{
    struct instance *instance = &app->instances[index];
    uint64_t now = clock_ms();
    bool was_steady = instance->ready_at_ms && now - instance->ready_at_ms > STEADY_MS;
    if (was_steady || instance->restart_pause_ms == 0)
        instance->restart_pause_ms = RESTART_PAUSE_MS_MIN;
    else if (instance->restart_pause_ms < RESTART_PAUSE_MS_MAX / 2)
        instance->restart_pause_ms *= 2;
    else
        instance->restart_pause_ms = RESTART_PAUSE_MS_MAX;
    instance->ready_at_ms = 0;
    /* Services that fell together do not come back in the same instant, again and again. */
    uint32_t pause_ms = instance->restart_pause_ms + arc4random_uniform(instance->restart_pause_ms / 4 + 1);
    instance->restart_at_ms = now + pause_ms;
    say(app, "service '%s' is started again in %u ms", SERVICE_NAME(app, index), pause_ms);
}

/* What comes after an end: another start, or nothing. */
static void decide_restart(struct app *app, uint32_t index, bool has_ended_well)
{
    struct instance *instance = &app->instances[index];
    uint32_t policy = app->plan->services[index].manifest->restart;
    bool was_stable = instance->ready_at_ms && clock_ms() - instance->ready_at_ms >= STABLE_MS;
    instance->quick_ends = was_stable ? 0 : instance->quick_ends + 1;
    if (policy == RESTART_NEVER || (policy == RESTART_ON_FAILURE && has_ended_well)) {
        instance->state = has_ended_well ? INSTANCE_ENDED : INSTANCE_FAILED;
        say(app, "service '%s' is not started again: its restart policy", SERVICE_NAME(app, index));
    } else if (instance->quick_ends >= QUICK_ENDS_MAX) {
        instance->state = INSTANCE_FAILED;
        say(app, "service '%s' has failed: it ended %u times before it was ready for a second; see hostd logs %s",
            SERVICE_NAME(app, index), instance->quick_ends, SERVICE_NAME(app, index));
    } else {
        plan_restart(app, index);
    }
}

/* A restart: new namespaces, new wires to every peer that lives. */
static int respawn(struct app *app, uint32_t index, enum init_stage *stage, struct err *e)
{
    struct instance *instance = &app->instances[index];
    instance->generation++;
    instance->awaited = 0;
    *stage = STAGE_NETNS;
    int result = spawn_namespace(app, index, e);
    if (result < 0)
        return result;
    *stage = STAGE_LINKS;
    result = spawn_wires(app, e);
    if (result < 0)
        return result;
    result = spawn_service(app, index, stage, e);
    if (result < 0)
        return result;
    *stage = STAGE_SETUP;
    result = watch_instance(app, index, e);
    if (result < 0)
        return result;
    for (uint32_t i = 0; i < app->plan->link_count; i++) {
        if (app->plan->links[i].from != index || !app->wires[i].is_made)
            continue;
        app->wires[i].is_awaited = true;
        instance->awaited++;
        tell_renewed(app, i, LINK_IN);
    }
    return 0;
}

static void restart(struct app *app, uint32_t index)
{
    struct instance *instance = &app->instances[index];
    enum init_stage stage = STAGE_NONE;
    struct err e = {0};
    instance->restart_at_ms = 0;
    if (respawn(app, index, &stage, &e) < 0) {
        note_failure(instance, stage, &e);
        instance_done(app, index);
        (void)snprintf(instance->last_end, sizeof instance->last_end, "stage %s: %.150s", init_stage_name(stage),
                       e.text);
        say(app, "service '%s', %s", SERVICE_NAME(app, index), instance->last_end);
        decide_restart(app, index, false);
    }
    rundir_note(app);
}

/* ---- the end of one ---- */

/* Callers that wait for a listener of `index` wait no longer: its next start brings them their wire. */
static void release_awaiting(struct app *app, uint32_t index)
{
    for (uint32_t i = 0; i < app->plan->link_count; i++) {
        if (!app->wires[i].is_awaited)
            continue;
        const struct plan_link *l = &app->plan->links[i];
        if (l->from != index && l->to != index)
            continue;
        app->wires[i].is_awaited = false;
        if (l->to == index && app->instances[l->from].awaited > 0) {
            app->instances[l->from].awaited--;
            try_proceed(app, l->from);
        }
    }
}

/* Reads what PID 1 said last, before its end is handled: the status matters more than the death. */
static void read_stage(struct app *app, uint32_t index);

/* How it ended, for people, into instance->last_end. */
static void describe_end(struct app *app, uint32_t index)
{
    struct instance *instance = &app->instances[index];
    char how[128] = "ended with its PID 1";
    if (instance->has_status)
        describe_status(instance->wait_status, how, sizeof how);
    bool was_oom = cgroup_oom_kills(&app->cgroups, app->name, SERVICE_NAME(app, index)) > instance->oom_kills;
    if (instance->failed_stage != STAGE_NONE)
        (void)snprintf(instance->last_end, sizeof instance->last_end, "stage %s: %.150s",
                       init_stage_name(instance->failed_stage), instance->error.text);
    else
        (void)snprintf(instance->last_end, sizeof instance->last_end, "%s%s", how,
                       was_oom ? ": its memory limit was used up" : "");
}

static void died(struct app *app, uint32_t index)
{
    struct instance *instance = &app->instances[index];
    read_stage(app, index);
    bool was_stopping = instance->state == INSTANCE_STOPPING;
    describe_end(app, index);
    instance_done(app, index);
    release_awaiting(app, index);
    if (app->is_stopping || was_stopping)
        return;
    if (!app->has_started) { /* supervise_start() sees it, and says it */
        if (instance->failed_stage == STAGE_NONE) {
            (void)err_set(&instance->error, -ECHILD, "%s before it was ready; its log says why", instance->last_end);
            instance->failed_stage = STAGE_READY;
        }
        return;
    }
    say(app, "service '%s' %s", SERVICE_NAME(app, index), instance->last_end);
    decide_restart(app, index, instance->has_status && instance->wait_status == 0);
    rundir_note(app);
}

/* ---- messages of PID 1 ---- */

/* The first child of PID 1: the service, by the host's number. */
static pid_t first_child(pid_t init_pid)
{
    char path[64], text[32];
    (void)snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)init_pid, (int)init_pid);
    FD_AUTO int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (got <= 0)
        return 0;
    text[got] = '\0';
    return (pid_t)strtol(text, NULL, 10);
}

/* A callee's listener for one link stands (or could not be made). */
static void link_listening(struct app *app, uint32_t index, const struct init_message *message)
{
    const struct plan_service *service = &app->plan->services[index];
    if (message->link >= service->link_count)
        return;
    uint32_t link = app->plan->service_links[service->link_first + message->link].link;
    struct wire *wire = &app->wires[link];
    if (!wire->is_awaited || app->plan->links[link].to != index)
        return;
    uint32_t caller = app->plan->links[link].from;
    wire->is_awaited = false;
    if (message->error.code)
        say(app, "service '%s', stage listen: link from '%s': %s", SERVICE_NAME(app, index), SERVICE_NAME(app, caller),
            message->error.text);
    if (app->instances[caller].awaited > 0)
        app->instances[caller].awaited--;
    try_proceed(app, caller);
}

/* Name of a method of the callee by its number; "a method that it does not have" for any other. */
static const char *method_name(const struct app *app, uint32_t service, uint32_t id)
{
    const struct manifest *manifest = app->plan->manifest;
    const struct manifest_service *callee = app->plan->services[service].manifest;
    for (uint32_t i = 0; i < callee->methods_count; i++) {
        const char *name = manifest_methods(manifest)[callee->methods_first + i].name;
        if (method_id(name) == id)
            return name;
    }
    return "a method that it does not have";
}

/* One event per note of the callee's librpc, which gathers what was denied for a tenth of a second. */
static void say_denied(const struct app *app, uint32_t link, const struct note_up *note)
{
    const struct plan_link *l = &app->plan->links[link];
    say(app, "denied: '%s' called %s of '%s' (%u times); the link on line %u does not allow it",
        SERVICE_NAME(app, l->from), method_name(app, l->to, note->method), SERVICE_NAME(app, l->to), note->count,
        l->manifest->line);
}

static void counted(struct app *app, uint32_t index, const struct init_message *message)
{
    const struct plan_service *service = &app->plan->services[index];
    if (message->link >= service->link_count)
        return;
    const struct plan_end *end = &app->plan->service_links[service->link_first + message->link];
    struct wire *wire = &app->wires[end->link];
    const struct plan_link *link = &app->plan->links[end->link];
    switch (message->note.kind) {
    case NOTE_DENIED:
        wire->denied_calls += message->note.count;
        say_denied(app, end->link, &message->note);
        return;
    case NOTE_BROKEN:
        wire->broken += message->note.count;
        say(app, "protocol broken by '%s' on the link from '%s' to '%s': connection closed (%u times)",
            SERVICE_NAME(app, end->direction == LINK_IN ? link->from : link->to), SERVICE_NAME(app, link->from),
            SERVICE_NAME(app, link->to), message->note.count);
        return;
    case NOTE_CALLS:
        if (end->direction == LINK_IN) /* the callee's count; the caller's would be the same calls again */
            wire->calls += message->note.count;
        return;
    default:
        return;
    }
}

static void handle_message(struct app *app, uint32_t index, const struct init_message *message)
{
    struct instance *instance = &app->instances[index];
    switch (message->kind) {
    case INIT_STAGE:
        if (message->error.code)
            note_failure(instance, message->stage, &message->error);
        return;
    case INIT_STARTED:
        instance->service_pid = first_child(instance->init_pid);
        return;
    case INIT_LISTENING:
        if (message->link != UINT32_MAX) {
            link_listening(app, index, message);
        } else if (instance->state == INSTANCE_STARTING) {
            instance->state = INSTANCE_LISTENING;
            if (app->has_started)
                try_proceed(app, index);
        }
        return;
    case INIT_IS_READY:
        if (instance->state == INSTANCE_CONNECTING) {
            instance->state = INSTANCE_READY;
            instance->ready_at_ms = clock_ms();
            if (app->has_started)
                say(app, "service '%s' is ready again, generation %u", SERVICE_NAME(app, index), instance->generation);
        }
        return;
    case INIT_COUNTS:
        counted(app, index, message);
        return;
    case INIT_EXITED:
        instance->wait_status = (int)message->value;
        instance->has_status = true;
        return;
    default:
        return;
    }
}

static void read_stage(struct app *app, uint32_t index)
{
    struct instance *instance = &app->instances[index];
    struct init_message message;
    ssize_t got = -1;
    while (instance->stage_fd >= 0 && (got = recv(instance->stage_fd, &message, sizeof message, MSG_DONTWAIT)) > 0) {
        if (got != (ssize_t)sizeof message)
            continue;
        message.error.text[ERR_TEXT_BYTES - 1] = '\0';
        handle_message(app, index, &message);
    }
    if (got == 0 && instance->stage_fd >= 0) /* its end shows by the pidfd; this one would be readable for ever */
        (void)epoll_ctl(app->epoll_fd, EPOLL_CTL_DEL, instance->stage_fd, NULL);
}

/* ---- stopping ---- */

static bool has_live_caller(const struct app *app, uint32_t index)
{
    for (uint32_t i = 0; i < app->plan->link_count; i++) {
        const struct plan_link *l = &app->plan->links[i];
        if (l->to == index && l->from != index && app->instances[l->from].state != INSTANCE_DOWN)
            return true;
    }
    return false;
}

static void stop_one(struct app *app, uint32_t index)
{
    struct instance *instance = &app->instances[index];
    if (instance->state != INSTANCE_READY) { /* nothing to finish */
        (void)syscall(SYS_pidfd_send_signal, instance->pidfd, SIGKILL, NULL, 0);
    } else {
        struct init_message stop = {.kind = INIT_STOP, .value = STOP_MS_MAX};
        tell(app, index, &stop);
    }
    instance->state = INSTANCE_STOPPING;
    instance->kill_at_ms = clock_ms() + STOP_MS_MAX + STOP_GRACE_MS;
}

/* Callers before callees.  Services that call each other in a circle are stopped together. */
static void stop_next(struct app *app)
{
    bool is_any_stopping = false, is_any_left = false;
    for (uint32_t i = 0; i < app->plan->service_count; i++) {
        struct instance *instance = &app->instances[i];
        if (instance->state != INSTANCE_DOWN && instance->state != INSTANCE_STOPPING && !has_live_caller(app, i))
            stop_one(app, i);
        is_any_stopping |= instance->state == INSTANCE_STOPPING;
        is_any_left |= instance->state != INSTANCE_DOWN;
    }
    for (uint32_t i = 0; is_any_left && !is_any_stopping && i < app->plan->service_count; i++)
        if (app->instances[i].state != INSTANCE_DOWN)
            stop_one(app, i);
}

void supervise_stop(struct app *app)
{
    if (app->is_stopping)
        return;
    app->is_stopping = true;
    for (uint32_t i = 0; i < app->plan->service_count; i++) {
        struct instance *instance = &app->instances[i];
        instance->restart_at_ms = 0;
        if (instance->state == INSTANCE_ENDED || instance->state == INSTANCE_FAILED)
            instance->state = INSTANCE_DOWN; /* nothing of it exists, as of those */
    }
    stop_next(app);
}

void supervise_kill_all(struct app *app)
{
    app->is_stopping = true;
    /* All signals first, so that they end at the same time. */
    for (uint32_t i = 0; i < app->plan->service_count; i++)
        if (app->instances[i].pidfd >= 0)
            (void)syscall(SYS_pidfd_send_signal, app->instances[i].pidfd, SIGKILL, NULL, 0);
    for (uint32_t i = 0; i < app->plan->service_count; i++)
        instance_done(app, i);
}

/* ---- signals ---- */

static void read_signals(struct app *app)
{
    struct signalfd_siginfo info;
    while (read(app->signal_fd, &info, sizeof info) == (ssize_t)sizeof info) {
        if (info.ssi_signo != SIGINT && info.ssi_signo != SIGTERM && info.ssi_signo != SIGHUP)
            continue;
        if (app->is_stopping) {
            supervise_kill_all(app); /* asked twice: now */
        } else {
            say(app, "stopping");
            supervise_stop(app);
        }
    }
}

/* ---- time ---- */

static uint64_t deadline_of(const struct instance *instance)
{
    switch (instance->state) {
    case INSTANCE_DOWN:
        return instance->restart_at_ms;
    case INSTANCE_STARTING:
    case INSTANCE_LISTENING:
    case INSTANCE_CONNECTING:
        return instance->started_at_ms + READY_MS_MAX;
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
        restart(app, index);
        return;
    }
    if (instance->state != INSTANCE_STOPPING) {
        struct err e;
        (void)err_set(&e, -ETIMEDOUT, "not ready after %u ms (it is %s)", READY_MS_MAX, state_names[instance->state]);
        note_failure(instance, STAGE_READY, &e);
        instance->started_at_ms = clock_ms(); /* once */
    } else {
        instance->kill_at_ms += STOP_GRACE_MS;
    }
    (void)syscall(SYS_pidfd_send_signal, instance->pidfd, SIGKILL, NULL, 0); /* its pidfd tells the rest */
}

static int next_timeout_ms(const struct app *app)
{
    uint64_t now = clock_ms(), next = UINT64_MAX;
    for (size_t i = 0; i < app->plan->service_count; i++) {
        uint64_t at = deadline_of(&app->instances[i]);
        if (at && at < next)
            next = at;
    }
    if (next == UINT64_MAX)
        return -1;
    return next <= now ? 0 : (int)(next - now);
}

/* ---- the loop ---- */

static void turn(struct app *app)
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
                died(app, index);
            break;
        case WATCH_SIGNAL:
            read_signals(app);
            break;
        case WATCH_CONTROL:
            control_accept(app);
            break;
        case WATCH_LOG:
            logtail_print(app->tail);
            break;
        }
    }
    uint64_t now = clock_ms();
    for (uint32_t i = 0; i < app->plan->service_count; i++) {
        uint64_t at = deadline_of(&app->instances[i]);
        if (at && at <= now)
            overdue(app, i);
    }
    if (app->is_stopping)
        stop_next(app);
}

static bool all_in(const struct app *app, enum instance_state state)
{
    for (size_t i = 0; i < app->plan->service_count; i++)
        if (app->instances[i].state != state)
            return false;
    return true;
}

/* The first service that failed, or -1. */
static int first_failure(const struct app *app)
{
    for (size_t i = 0; i < app->plan->service_count; i++)
        if (app->instances[i].failed_stage != STAGE_NONE)
            return (int)i;
    return -1;
}

static int open_loop(struct app *app, struct err *e)
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

static int fail_start(struct app *app, uint32_t index, enum init_stage stage, const struct err *cause, struct err *e)
{
    supervise_kill_all(app);
    logtail_print(app->tail); /* what the service said before it ended is the best explanation there is */
    return err_set(e, cause->code ? cause->code : -EIO, "service '%s', stage %s: %s", SERVICE_NAME(app, index),
                   init_stage_name(stage), cause->text);
}

/* Namespaces, wires, processes: everything up to the loop.  *ret_index: who failed. */
static int spawn_all(struct app *app, uint32_t *ret_index, enum init_stage *stage, struct err *e)
{
    *ret_index = 0;
    *stage = STAGE_NETNS;
    for (uint32_t i = 0; i < app->plan->service_count; i++) {
        *ret_index = i;
        app->instances[i].generation = 1;
        int result = spawn_namespace(app, i, e);
        if (result < 0)
            return result;
    }
    *ret_index = 0;
    *stage = STAGE_LINKS;
    int result = spawn_wires(app, e);
    for (uint32_t i = 0; result == 0 && i < app->plan->service_count; i++) {
        *ret_index = i;
        result = spawn_service(app, i, stage, e);
        if (result == 0)
            result = watch_instance(app, i, e);
    }
    return result;
}

int supervise_start(struct app *app, struct err *e)
{
    struct err cause = {0};
    enum init_stage stage = STAGE_NONE;
    uint32_t index = 0;
    int result = open_loop(app, e);
    if (result < 0)
        return result;
    if (spawn_all(app, &index, &stage, &cause) < 0)
        return fail_start(app, index, stage, &cause, e);
    rundir_note(app);

    bool is_released = false;
    while (!all_in(app, INSTANCE_READY)) {
        turn(app);
        int failed = first_failure(app);
        if (failed >= 0)
            return fail_start(app, (uint32_t)failed, app->instances[failed].failed_stage, &app->instances[failed].error,
                              e);
        if (app->is_stopping) {
            supervise_kill_all(app);
            return err_set(e, -EINTR, "stopped before it was ready");
        }
        if (!is_released && all_in(app, INSTANCE_LISTENING)) {
            is_released = true;
            for (uint32_t i = 0; i < app->plan->service_count; i++)
                try_proceed(app, i);
        }
    }
    app->has_started = true;
    return 0;
}

int supervise_run(struct app *app)
{
    while (!(app->is_stopping && all_in(app, INSTANCE_DOWN)))
        turn(app);
    logtail_print(app->tail);
    return app->exit_code;
}
