/*
 * supervise.c - drives every service by the table of states.h.  The only place that changes an instance's state.
 *
 * The first start has a barrier: nobody is told to connect before everybody listens.  A restart has a smaller one:
 * the service connects when each of its callees has a listener on the new wire; its callers get their new wires when it
 * listens itself (restart.c).
 *
 * Invariants
 *  I1  One thread, one epoll; nothing here waits for a service.
 *  I2  A failure of the first start takes everything down again; later ones only restart the service that failed.
 *  I3  No signal is sent to a bare pid.
 */
#include "hostd/supervise.h"

#include "hostd/adopt.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "hostd/hints.h"
#include "rpc/base/clock.h"
#include "rpc/base/own.h"

#define SPAWN_STEP 8u       /* services: enough that their wires go in one batch, few enough that nobody waits */
#define LAST_LINES_TRIES 50 /* 10 ms each: for an output that is slow to take what was said last */

/* ---- telling ---- */

void say(const struct app *app, const char *format, ...)
{
    const struct news other = news_of(NEWS_OTHER, NEWS_NOBODY);
    va_list args;
    va_start(args, format);
    events_vtell(app, &other, format, args);
    va_end(args);
}

/* ---- states ---- */

static void announce(struct app *app, uint32_t index)
{
    struct instance *instance = &app->instances[index];
    instance->ready_at_ms = clock_ms();
    free(instance->last_log);
    instance->last_log = NULL;
    const struct news ready = news_of(NEWS_READY, index);
    if (!app->has_started)
        return;
    events_tell(app, &ready, "service '%s' is ready again, generation %u", SERVICE_NAME(app, index),
                instance->generation);
    (void)rundir_note(app);
}

static void connect_one(struct app *app, uint32_t index)
{
    struct init_message connect = {.kind = INIT_CONNECT};
    tell(app, index, &connect);
    if (!app->has_started)
        return; /* the first start: everybody is told to connect, nobody has an old wire */
    for (uint32_t i = 0; i < app->plan->link_count; i++)
        if (app->plan->links[i].to == index && app->wires[i].is_made)
            tell_renewed(app, i, LINK_OUT); /* its callers may come back now: it listens */
}

void instance_kill(struct app *app, uint32_t index)
{
    int pidfd = app->instances[index].pidfd;
    if (pidfd >= 0)
        (void)syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0); /* gone already: ESRCH, as wanted */
}

static void proceed(struct app *app, uint32_t index)
{
    if (app->has_started)
        try_proceed(app, index);
}

/* The others change the state alone. */
static void (*const actions[INSTANCE_ACTION_COUNT])(struct app *app, uint32_t index) = {
    [ACTION_SPAWN] = restart,     [ACTION_PROCEED] = proceed,   [ACTION_CONNECT] = connect_one,
    [ACTION_ANNOUNCE] = announce, [ACTION_ASK] = ask_to_stop,   [ACTION_KILL] = instance_kill,
    [ACTION_BURY] = bury,         [ACTION_PLAN] = plan_restart, [ACTION_REPORT] = report,
};

void instance_event(struct app *app, uint32_t index, enum instance_event event)
{
    struct instance *instance = &app->instances[index];
    struct transition transition = states_next(instance->state, event);
    if (transition.action == ACTION_REFUSE)
        say(app, "service '%s': '%s' cannot happen while it is %s", SERVICE_NAME(app, index),
            instance_event_name(event), instance_state_name(instance->state));
    instance->state = transition.next; /* of a refused pair the same */
    if (actions[transition.action])
        actions[transition.action](app, index);
}

void instance_died(struct app *app, uint32_t index)
{
    read_stage(app, index); /* what PID 1 said last: the status matters more than the death */
    instance_event(app, index, EVENT_DIED);
}

void note_failure(struct instance *instance, enum init_stage stage, const struct err *e)
{
    instance->failed_stage = stage;
    instance->error = *e;
    hint_add(stage, &instance->error);
}

/* ---- the first start ---- */

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

static int fail_start(struct app *app, uint32_t index, enum init_stage stage, const struct err *cause, struct err *e)
{
    supervise_kill_all(app);
    app->is_behind |=
        logtail_print(app->tail); /* what the service said before it ended is the best explanation there is */
    return err_set(e, cause->code ? cause->code : -EIO, "service '%s', stage %s: %s", SERVICE_NAME(app, index),
                   init_stage_name(stage), cause->text);
}

static bool has_wires(const struct app *app, uint32_t index)
{
    const struct plan_service *service = &app->plan->services[index];
    for (uint32_t i = 0; i < service->link_count; i++)
        if (!app->wires[app->plan->service_links[service->link_first + i].link].is_made)
            return false;
    return true;
}

/* Of services [first, end) namespaces and processes; wires to all that are there by now; the setup of every service
 * that has all of its wires.  *ret_index: who failed. */
static int spawn_some(struct app *app, const struct ahead *ahead, uint32_t first, uint32_t end, uint32_t *ret_index,
                      enum init_stage *stage, struct err *e)
{
    int result = 0;
    for (uint32_t i = first; result == 0 && i < end; i++) {
        *ret_index = i;
        *stage = STAGE_NETNS;
        app->instances[i].generation = 1;
        result = ahead_next(app, ahead, i, e);
        if (result == 0)
            result = spawn_process(app, i, stage, e);
    }
    if (result < 0)
        return result;
    *ret_index = 0;
    *stage = STAGE_LINKS;
    result = spawn_wires(app, ret_index, e);
    for (uint32_t i = 0; result == 0 && i < end; i++) {
        if (app->instances[i].state != INSTANCE_DOWN || !has_wires(app, i))
            continue;
        *ret_index = i;
        result = spawn_setup(app, i, stage, e);
        if (result < 0)
            break;
        instance_event(app, i, EVENT_SPAWNED);
        result = turn_watch(app, i, e);
    }
    return result;
}

/* Everything up to the loop, a few services at a time: while we wire some, another CPU makes the namespaces of the next
 * and the PID 1s of those before set themselves up. */
static int spawn_all(struct app *app, uint32_t *ret_index, enum init_stage *stage, struct err *e)
{
    struct ahead ahead;
    uint32_t count = (uint32_t)app->plan->service_count;
    *ret_index = 0;
    *stage = STAGE_NETNS;
    int result = ahead_begin(app, &ahead, e);
    for (uint32_t first = 0; result == 0 && first < count; first += SPAWN_STEP)
        result = spawn_some(app, &ahead, first, first + SPAWN_STEP < count ? first + SPAWN_STEP : count, ret_index,
                            stage, e);
    ahead_end(&ahead);
    return result;
}

/* Every service's time to be ready begins now: a thousand are not late because each waited for the others. */
static void begin_deadlines(struct app *app)
{
    for (uint32_t i = 0; i < app->plan->service_count; i++)
        app->instances[i].started_at_ms = clock_ms();
}

/* Every service that was not adopted has come up, or has shown that it does not. */
static bool is_settled(const struct app *app)
{
    for (size_t i = 0; i < app->plan->service_count; i++) {
        const struct instance *instance = &app->instances[i];
        bool is_on_its_way = instance->state == INSTANCE_STARTING || instance->state == INSTANCE_LISTENING ||
                             instance->state == INSTANCE_CONNECTING;
        bool is_untried = instance->state == INSTANCE_DOWN && instance->generation == instance->noted_generation;
        if (is_on_its_way || is_untried)
            return false;
    }
    return true;
}

static int resume(struct app *app, struct err *e)
{
    int result = adopt_resume(app, e);
    logtail_print(app->tail); /* what was printed while there was no hostd */
    while (result == 0 && !app->is_stopping && !is_settled(app))
        turn(app);
    return result;
}

int supervise_start(struct app *app, struct err *e)
{
    struct err cause = {0};
    enum init_stage stage = STAGE_NONE;
    uint32_t index = 0;
    int result = turn_open(app, e);
    if (result < 0)
        return result;
    if (app->ledger)
        return resume(app, e);
    if (spawn_all(app, &index, &stage, &cause) < 0) {
        hint_add(stage, &cause);
        return fail_start(app, index, stage, &cause, e);
    }
    result = rundir_note(app);
    if (result < 0) { /* nobody could ever adopt it */
        supervise_kill_all(app);
        return err_sys(e, result, "write %s/ledger", app->run_dir);
    }
    begin_deadlines(app);

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
            begin_deadlines(app);
            for (uint32_t i = 0; i < app->plan->service_count; i++)
                try_proceed(app, i);
        }
    }
    app->has_started = true;
    (void)rundir_note(app);
    return 0;
}

/* ---- the rest of its life ---- */

int supervise_run(struct app *app)
{
    while (!(app->is_stopping && all_in(app, INSTANCE_DOWN)))
        turn(app);
    app->is_kept = false; /* all of it has ended, and by our hand */
    for (int tries = 0; logtail_print(app->tail) && tries < LAST_LINES_TRIES; tries++)
        (void)usleep(10000); /* nothing else is left to do */
    return app->exit_code;
}

void supervise_stop(struct app *app)
{
    const struct news stopped = news_of(NEWS_STOPPED, NEWS_NOBODY);
    if (app->is_stopping)
        return;
    events_tell(app, &stopped, "stopping");
    app->is_stopping = true;
    for (uint32_t i = 0; i < app->plan->service_count; i++) {
        app->instances[i].restart_at_ms = 0;
        if (!instance_state_lives(app->instances[i].state))
            instance_event(app, i, EVENT_STOP);
    }
    if (app->has_started)
        (void)rundir_note(app); /* what ends from here on was asked to */
    stop_next(app);
}

void supervise_stop_one(struct app *app, uint32_t index)
{
    struct instance *instance = &app->instances[index];
    instance->restart_at_ms = 0;
    instance->is_held = true;
    instance->is_restarted = false;
    if (instance_state_lives(instance->state))
        stop_one(app, index);
    else if (instance->state == INSTANCE_DOWN)
        decide(app, index, true);
    (void)rundir_note(app);
}

void supervise_restart_one(struct app *app, uint32_t index)
{
    struct instance *instance = &app->instances[index];
    instance->is_restarted = true;
    instance->is_held = false;
    instance->quick_ends = 0; /* somebody has looked at it */
    instance->restart_pause_ms = 0;
    if (instance_state_lives(instance->state))
        stop_one(app, index);
    else
        decide(app, index, true);
}

/* Of everything at once: after a failed start, and when asked to stop twice. */
void supervise_kill_all(struct app *app)
{
    app->is_stopping = true;
    /* All signals first, so that they end at the same time. */
    for (uint32_t i = 0; i < app->plan->service_count; i++)
        instance_kill(app, i);
    for (uint32_t i = 0; i < app->plan->service_count; i++) {
        if (!instance_state_lives(app->instances[i].state)) {
            instance_done(app, i); /* a namespace, perhaps, of a start that did not come further */
            instance_event(app, i, EVENT_STOP);
            continue;
        }
        instance_event(app, i, EVENT_STOP);
        instance_died(app, i); /* bury() waits for the end of what was killed */
    }
}
