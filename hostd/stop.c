/*
 * stop.c - an orderly stop: callers before callees, each with a deadline.
 *
 * A service is asked by its PID 1 to finish what runs; PID 1 ends it when it does not in time, and hostd ends PID 1
 * when that does not (the deadline of STOPPING).  Nothing here waits: stop_next() is called in every turn.
 */
#include "hostd/supervise.h"
#include "rpc/base/clock.h"

static bool has_live_caller(const struct app *app, uint32_t index)
{
    for (uint32_t i = 0; i < app->plan->link_count; i++) {
        const struct plan_link *l = &app->plan->links[i];
        if (l->to == index && l->from != index && app->instances[l->from].state != INSTANCE_DOWN)
            return true;
    }
    return false;
}

void ask_to_stop(struct app *app, uint32_t index)
{
    uint32_t stop_ms = app->plan->services[index].stop_ms;
    struct init_message stop = {.kind = INIT_STOP, .value = stop_ms};
    tell(app, index, &stop);
    app->instances[index].kill_at_ms = clock_ms() + stop_ms + STOP_GRACE_MS;
}

void stop_one(struct app *app, uint32_t index)
{
    /* Of one that is not ready yet: killed, and again if that should not show. */
    app->instances[index].kill_at_ms = clock_ms() + STOP_GRACE_MS;
    instance_event(app, index, EVENT_STOP);
}

/* Services that call each other in a circle are stopped together. */
void stop_next(struct app *app)
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
