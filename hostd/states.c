/* states.c - see states.h for the drawing.  Pure. */
#include "hostd/states.h"

#include "rpc/base/own.h"

#define TO(state, what)                                                                                                \
    {                                                                                                                  \
        .next = INSTANCE_##state, .action = ACTION_##what                                                              \
    }
/* States that a refused pair keeps are written out: a row can be read by itself. */
#define REFUSED(state) TO(state, REFUSE)

static const struct transition table[INSTANCE_STATE_COUNT][INSTANCE_EVENT_COUNT] =
    {
        [INSTANCE_DOWN] =
            {
                [EVENT_START] = TO(DOWN, SPAWN),
                [EVENT_SPAWNED] = TO(STARTING, NONE),
                [EVENT_LISTENING] = REFUSED(DOWN),
                [EVENT_RELEASED] = REFUSED(DOWN),
                [EVENT_SERVES] = REFUSED(DOWN),
                [EVENT_ADOPTED] = TO(READY, NONE),
                [EVENT_OVERDUE] = REFUSED(DOWN),
                [EVENT_STOP] = TO(DOWN, NONE), /* its next start is called off */
                [EVENT_DIED] = REFUSED(DOWN),
                [EVENT_RETRY] = TO(DOWN, PLAN),
                [EVENT_LEAVE_ENDED] = TO(ENDED, NONE),
                [EVENT_LEAVE_FAILED] = TO(FAILED, REPORT),
            },
        [INSTANCE_STARTING] =
            {
                [EVENT_START] = REFUSED(STARTING),
                [EVENT_SPAWNED] = REFUSED(STARTING),
                [EVENT_LISTENING] = TO(LISTENING, PROCEED),
                [EVENT_RELEASED] = REFUSED(STARTING),
                [EVENT_SERVES] = REFUSED(STARTING),
                [EVENT_ADOPTED] = REFUSED(STARTING),
                [EVENT_OVERDUE] = TO(STARTING, KILL),
                [EVENT_STOP] = TO(STOPPING, KILL), /* nothing to finish */
                [EVENT_DIED] = TO(DOWN, BURY),
                [EVENT_RETRY] = REFUSED(STARTING),
                [EVENT_LEAVE_ENDED] = REFUSED(STARTING),
                [EVENT_LEAVE_FAILED] = REFUSED(STARTING),
            },
        [INSTANCE_LISTENING] =
            {
                [EVENT_START] = REFUSED(LISTENING),
                [EVENT_SPAWNED] = REFUSED(LISTENING),
                [EVENT_LISTENING] = REFUSED(LISTENING),
                [EVENT_RELEASED] = TO(CONNECTING, CONNECT),
                [EVENT_SERVES] = REFUSED(LISTENING),
                [EVENT_ADOPTED] = REFUSED(LISTENING),
                [EVENT_OVERDUE] = TO(LISTENING, KILL),
                [EVENT_STOP] = TO(STOPPING, KILL),
                [EVENT_DIED] = TO(DOWN, BURY),
                [EVENT_RETRY] = REFUSED(LISTENING),
                [EVENT_LEAVE_ENDED] = REFUSED(LISTENING),
                [EVENT_LEAVE_FAILED] = REFUSED(LISTENING),
            },
        [INSTANCE_CONNECTING] =
            {
                [EVENT_START] = REFUSED(CONNECTING),
                [EVENT_SPAWNED] = REFUSED(CONNECTING),
                [EVENT_LISTENING] = REFUSED(CONNECTING),
                [EVENT_RELEASED] = REFUSED(CONNECTING),
                [EVENT_SERVES] = TO(READY, ANNOUNCE),
                [EVENT_ADOPTED] = REFUSED(CONNECTING),
                [EVENT_OVERDUE] = TO(CONNECTING, KILL),
                [EVENT_STOP] = TO(STOPPING, KILL),
                [EVENT_DIED] = TO(DOWN, BURY),
                [EVENT_RETRY] = REFUSED(CONNECTING),
                [EVENT_LEAVE_ENDED] = REFUSED(CONNECTING),
                [EVENT_LEAVE_FAILED] = REFUSED(CONNECTING),
            },
        [INSTANCE_READY] =
            {
                [EVENT_START] = REFUSED(READY),
                [EVENT_SPAWNED] = REFUSED(READY),
                [EVENT_LISTENING] = REFUSED(READY),
                [EVENT_RELEASED] = REFUSED(READY),
                [EVENT_SERVES] = REFUSED(READY),
                [EVENT_ADOPTED] = REFUSED(READY),
                [EVENT_OVERDUE] = REFUSED(READY), /* it has no deadline */
                [EVENT_STOP] = TO(STOPPING, ASK),
                [EVENT_DIED] = TO(DOWN, BURY),
                [EVENT_RETRY] = REFUSED(READY),
                [EVENT_LEAVE_ENDED] = REFUSED(READY),
                [EVENT_LEAVE_FAILED] = REFUSED(READY),
            },
        [INSTANCE_STOPPING] =
            {
                [EVENT_START] = REFUSED(STOPPING),
                [EVENT_SPAWNED] = REFUSED(STOPPING),
                [EVENT_LISTENING] = TO(STOPPING, NONE), /* said before it heard of the stop */
                [EVENT_RELEASED] = REFUSED(STOPPING),
                [EVENT_SERVES] = TO(STOPPING, NONE), /* likewise */
                [EVENT_ADOPTED] = REFUSED(STOPPING),
                [EVENT_OVERDUE] = TO(STOPPING, KILL),
                [EVENT_STOP] = TO(STOPPING, NONE), /* asked twice: it is under way */
                [EVENT_DIED] = TO(DOWN, BURY),
                [EVENT_RETRY] = REFUSED(STOPPING),
                [EVENT_LEAVE_ENDED] = REFUSED(STOPPING),
                [EVENT_LEAVE_FAILED] = REFUSED(STOPPING),
            },
        [INSTANCE_ENDED] =
            {
                [EVENT_START] = TO(DOWN, SPAWN),
                [EVENT_SPAWNED] = REFUSED(ENDED),
                [EVENT_LISTENING] = REFUSED(ENDED),
                [EVENT_RELEASED] = REFUSED(ENDED),
                [EVENT_SERVES] = REFUSED(ENDED),
                [EVENT_ADOPTED] = REFUSED(ENDED),
                [EVENT_OVERDUE] = REFUSED(ENDED),
                [EVENT_STOP] = TO(DOWN, NONE),
                [EVENT_DIED] = REFUSED(ENDED),
                [EVENT_RETRY] = REFUSED(ENDED),
                [EVENT_LEAVE_ENDED] = REFUSED(ENDED),
                [EVENT_LEAVE_FAILED] = REFUSED(ENDED),
            },
        [INSTANCE_FAILED] =
            {
                [EVENT_START] = TO(DOWN, SPAWN),
                [EVENT_SPAWNED] = REFUSED(FAILED),
                [EVENT_LISTENING] = REFUSED(FAILED),
                [EVENT_RELEASED] = REFUSED(FAILED),
                [EVENT_SERVES] = REFUSED(FAILED),
                [EVENT_ADOPTED] = REFUSED(FAILED),
                [EVENT_OVERDUE] = REFUSED(FAILED),
                [EVENT_STOP] = TO(DOWN, NONE),
                [EVENT_DIED] = REFUSED(FAILED),
                [EVENT_RETRY] = REFUSED(FAILED),
                [EVENT_LEAVE_ENDED] = REFUSED(FAILED),
                [EVENT_LEAVE_FAILED] = REFUSED(FAILED),
            },
};

struct transition states_next(enum instance_state state, enum instance_event event)
{
    return table[state][event];
}

static const char *const state_names[] = {
    [INSTANCE_DOWN] = "down",           [INSTANCE_STARTING] = "starting",
    [INSTANCE_LISTENING] = "listening", [INSTANCE_CONNECTING] = "connecting",
    [INSTANCE_READY] = "ready",         [INSTANCE_STOPPING] = "stopping",
    [INSTANCE_ENDED] = "ended",         [INSTANCE_FAILED] = "failed",
};
_Static_assert(ARRAY_COUNT(state_names) == INSTANCE_STATE_COUNT, "a name for every state");

static const char *const event_names[] = {
    [EVENT_START] = "start",
    [EVENT_SPAWNED] = "spawned",
    [EVENT_LISTENING] = "listening",
    [EVENT_RELEASED] = "released",
    [EVENT_SERVES] = "serves",
    [EVENT_ADOPTED] = "adopted",
    [EVENT_OVERDUE] = "overdue",
    [EVENT_STOP] = "stop",
    [EVENT_DIED] = "died",
    [EVENT_RETRY] = "retry",
    [EVENT_LEAVE_ENDED] = "leave ended",
    [EVENT_LEAVE_FAILED] = "leave failed",
};
_Static_assert(ARRAY_COUNT(event_names) == INSTANCE_EVENT_COUNT, "a name for every event");

const char *instance_state_name(enum instance_state state)
{
    return state_names[state];
}

const char *instance_event_name(enum instance_event event)
{
    return event_names[event];
}

bool instance_state_lives(enum instance_state state)
{
    return state >= INSTANCE_STARTING && state <= INSTANCE_STOPPING;
}
