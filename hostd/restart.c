/*
 * restart.c - after the end of a service: why, whether it is started again, when; and that start, among the others.
 *
 * The pause before a start doubles with each end, from 100 ms to 4 s, with up to a quarter of chance on top; a service
 * that was ready for STEADY_MS begins with the short one again.  QUICK_ENDS_MAX ends in a row, each before it was ready
 * for STABLE_MS, leave it as failed.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "hostd/supervise.h"
#include "rpc/base/clock.h"
#include "rpc/base/own.h"

#define RESTART_PAUSE_MS_MIN 100u
#define RESTART_PAUSE_MS_MAX 4000u /* up to a quarter of chance comes on top */
#define STABLE_MS 1000u            /* ready for so long: its end is no crash at the start */
#define QUICK_ENDS_MAX 10u         /* in a row, then it is left as failed */
#define STEADY_MS 10000u           /* ready for so long: the next pause is a short one again */

/* ---- the next start ---- */

void plan_restart(struct app *app, uint32_t index)
{
    struct instance *instance = &app->instances[index];
    uint64_t now = clock_ms();
    bool was_steady = instance->ready_at_ms && now - instance->ready_at_ms > STEADY_MS;
    uint32_t pause_ms = was_steady ? 0 : instance->restart_pause_ms * 2;
    pause_ms = pause_ms < RESTART_PAUSE_MS_MIN ? RESTART_PAUSE_MS_MIN : pause_ms;
    instance->restart_pause_ms = pause_ms < RESTART_PAUSE_MS_MAX ? pause_ms : RESTART_PAUSE_MS_MAX;
    instance->ready_at_ms = 0;
    /* Services that fell together do not come back in the same instant, again and again. */
    pause_ms = instance->restart_pause_ms + arc4random_uniform(instance->restart_pause_ms / 4 + 1);
    instance->restart_at_ms = now + pause_ms;
    const struct news planned = news_of(NEWS_RESTART, index);
    events_tell(app, &planned, "service '%s' is started again in %u ms", SERVICE_NAME(app, index), pause_ms);
}

void decide(struct app *app, uint32_t index, bool has_ended_well)
{
    struct instance *instance = &app->instances[index];
    const struct news news = news_of(NEWS_RESTART, index);
    if (instance->is_held || instance->is_restarted) { /* the operator's word, not the policy's */
        events_tell(app, &news, "service '%s' is %s", SERVICE_NAME(app, index),
                    instance->is_held ? "not started again: hostd stop" : "started again: hostd restart");
        instance_event(app, index, instance->is_held ? EVENT_LEAVE_ENDED : EVENT_START);
        return;
    }
    uint32_t policy = app->plan->services[index].manifest->restart;
    bool was_stable = instance->ready_at_ms && clock_ms() - instance->ready_at_ms >= STABLE_MS;
    instance->quick_ends = was_stable ? 0 : instance->quick_ends + 1;
    if (policy == RESTART_NEVER || (policy == RESTART_ON_FAILURE && has_ended_well)) {
        events_tell(app, &news, "service '%s' is not started again: its restart policy", SERVICE_NAME(app, index));
        instance_event(app, index, has_ended_well ? EVENT_LEAVE_ENDED : EVENT_LEAVE_FAILED);
    } else if (instance->quick_ends >= QUICK_ENDS_MAX) {
        instance_event(app, index, EVENT_LEAVE_FAILED);
    } else {
        instance_event(app, index, EVENT_RETRY);
    }
}

void report(struct app *app, uint32_t index)
{
    struct instance *instance = &app->instances[index];
    const char *name = SERVICE_NAME(app, index);
    const struct news failed = news_of(NEWS_FAILED, index), line = news_of(NEWS_OTHER, index);
    if (instance->quick_ends >= QUICK_ENDS_MAX)
        events_tell(app, &failed,
                    "service '%s' has failed: it ended %u times before it was ready for a second; see hostd logs %s",
                    name, instance->quick_ends, name);
    else
        events_tell(app, &failed, "service '%s' has failed: it %s; see hostd logs %s", name, instance->last_end, name);
    if (!instance->last_log)
        instance->last_log = malloc(sizeof *instance->last_log);
    if (!instance->last_log)
        return; /* they are in its log all the same */
    lastlog_read(app->run_fd, name, instance->last_log);
    for (uint32_t i = 0; i < instance->last_log->count; i++)
        events_tell(app, &line, "the last lines of '%s': %s", name, instance->last_log->lines[i]);
}

/* ---- a start ---- */

void try_proceed(struct app *app, uint32_t index)
{
    const struct instance *instance = &app->instances[index];
    if (instance->state == INSTANCE_LISTENING && instance->awaited == 0)
        instance_event(app, index, EVENT_RELEASED);
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
    result = spawn_wires(app, &(uint32_t){0}, e);
    if (result == 0)
        result = spawn_process(app, index, stage, e);
    if (result == 0)
        result = spawn_setup(app, index, stage, e);
    if (result < 0)
        return result;
    instance_event(app, index, EVENT_SPAWNED);
    *stage = STAGE_SETUP;
    result = turn_watch(app, index, e);
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

static void fail(struct app *app, uint32_t index);

void restart(struct app *app, uint32_t index)
{
    struct instance *instance = &app->instances[index];
    enum init_stage stage = STAGE_NONE;
    struct err e = {0};
    instance->restart_at_ms = 0;
    instance->is_held = instance->is_restarted = false;
    instance->is_spawning = true;
    (void)rundir_note(app); /* a crash from here on leaves wires that no PID 1 knows */
    instance->is_spawning = false;
    if (respawn(app, index, &stage, &e) < 0) {
        note_failure(instance, stage, &e);
        if (instance->state == INSTANCE_DOWN)
            fail(app, index);
        else
            instance_died(app, index); /* made, and cannot be watched */
    }
    (void)rundir_note(app);
}

/* ---- the end of one ---- */

/* "exited with code 1", "was killed by signal 9 (Killed)" */
static void describe_status(int wait_status, char *text, size_t bytes)
{
    if (WIFSIGNALED(wait_status))
        (void)snprintf(text, bytes, "was killed by signal %d (%s)", WTERMSIG(wait_status),
                       strsignal(WTERMSIG(wait_status)));
    else
        (void)snprintf(text, bytes, "exited with code %d", WEXITSTATUS(wait_status));
}

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

/* How it ended, for people, into instance->last_end. */
static void describe_end(struct app *app, uint32_t index)
{
    struct instance *instance = &app->instances[index];
    bool is_asked = instance->is_held || instance->is_restarted || app->is_stopping;
    char how[128] = "ended with its PID 1";
    if (!instance->has_status && rundir_read_status(app, index, &instance->wait_status, instance->end_why) == 0)
        instance->has_status = true; /* said to nobody: hostd was dead, or its socket full */
    if (instance->has_status)
        describe_status(instance->wait_status, how, sizeof how);
    bool was_oom = cgroup_oom_kills(&app->cgroups, app->name, SERVICE_NAME(app, index)) > instance->oom_kills;
    char why[INIT_WHY_BYTES + 2] = "";
    if (was_oom)
        (void)snprintf(why, sizeof why, ": its memory limit was used up");
    else if (instance->has_status && instance->end_why[0])
        (void)snprintf(why, sizeof why, ": %s", instance->end_why);
    else if (is_asked)
        (void)snprintf(why, sizeof why, ": %s by the operator", instance->is_restarted ? "restarted" : "stopped");
    /* In the first start, any end is a failure: supervise_start() waits for all to be ready, or for one that failed. */
    if (instance->failed_stage == STAGE_NONE && (!instance->ready_at_ms || !app->has_started) && !is_asked) {
        struct err e;
        (void)err_set(&e, -ECHILD, "%s before %s ready%s", how, instance->ready_at_ms ? "the others were" : "it was",
                      why);
        note_failure(instance, STAGE_READY, &e);
    }
    if (instance->failed_stage != STAGE_NONE)
        (void)snprintf(instance->last_end, sizeof instance->last_end, "stage %s: %.150s",
                       init_stage_name(instance->failed_stage), instance->error.text);
    else
        (void)snprintf(instance->last_end, sizeof instance->last_end, "%s%s", how, why);
}

/* Says how it ended.  A stage that failed reads as it does in the first start, whole. */
static void tell_end(const struct app *app, uint32_t index)
{
    const struct instance *instance = &app->instances[index];
    bool is_stage = instance->failed_stage != STAGE_NONE;
    struct news ended = news_of(is_stage ? NEWS_STAGE : NEWS_ENDED, index);
    if (is_stage) {
        ended.stage = init_stage_name(instance->failed_stage);
        events_tell(app, &ended, "service '%s', stage %s: %s", SERVICE_NAME(app, index), ended.stage,
                    instance->error.text);
    } else {
        events_tell(app, &ended, "service '%s' %s", SERVICE_NAME(app, index), instance->last_end);
    }
}

/* A start that failed before there was a process. */
static void fail(struct app *app, uint32_t index)
{
    describe_end(app, index);
    instance_done(app, index);
    tell_end(app, index);
    decide(app, index, false);
}

void bury(struct app *app, uint32_t index)
{
    struct instance *instance = &app->instances[index];
    describe_end(app, index);
    if (!app->is_stopping)
        packets_look_last(app, index);
    instance_done(app, index);
    release_awaiting(app, index);
    if (app->is_stopping)
        return;
    if (!app->has_started)
        return; /* supervise_start() sees it, and says it */
    tell_end(app, index);
    decide(app, index, instance->has_status && instance->wait_status == 0);
    (void)rundir_note(app);
}

void mourn(struct app *app, uint32_t index, bool was_ready)
{
    struct instance *instance = &app->instances[index];
    instance->ready_at_ms = was_ready ? 1 : 0; /* since when nobody knows: no crash at the start, that is all */
    describe_end(app, index);
    struct news ended = news_of(NEWS_ENDED, index);
    events_tell(app, &ended, "service '%s' %s while hostd was dead", SERVICE_NAME(app, index), instance->last_end);
    decide(app, index, instance->has_status && instance->wait_status == 0);
}
