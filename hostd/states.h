/*
 * states.h - what an instance of a service may be, and what happens to it: one table, state by event.
 *
 * Pure: touches nothing.  supervise.c asks it for every change and carries out the action; there is no other way for a
 * state to change.
 *
 *            SPAWNED             LISTENING              RELEASED               SERVES
 *   DOWN ──────────────▶ STARTING ────────▶ LISTENING ─────────────▶ CONNECTING ──────▶ READY
 *   │ ▲ ▲ ◀─ RETRY            │                 │                        │               │
 *   │ │ └──────────── DIED ◀──┴─────────────────┴───────┬────────────────┴───────────────┤
 *   │ │                                                 │ STOP: killed                   │ STOP: asked to finish
 *   │ └── DIED ◀── STOPPING ◀───────────────────────────┴────────────────────────────────┘
 *   │               ▲    │
 *   │               └────┘ OVERDUE: killed
 *   │
 *   ├── ADOPTED ──▶ READY      an earlier hostd started it
 *   ├── LEAVE_ENDED ──▶ ENDED ──┐
 *   ├── LEAVE_FAILED ─▶ FAILED ─┴─▶ DOWN by START (is started) or STOP (the application ends)
 *   └── START: is started (its pause is over, or somebody asked)
 *
 * OVERDUE in STARTING, LISTENING and CONNECTING kills: the DIED that follows moves on.  A pair that cannot happen is
 * written down as such, and is refused with its name: the state stays.
 */
#ifndef HOSTD_STATES_H
#define HOSTD_STATES_H

#include <stdbool.h>

enum instance_state {
    INSTANCE_DOWN,       /* nothing of it exists; it may wait for its next start */
    INSTANCE_STARTING,   /* cloned; waits for LISTENING */
    INSTANCE_LISTENING,  /* waits until every callee's listener for it stands */
    INSTANCE_CONNECTING, /* told to connect; waits for READY */
    INSTANCE_READY,
    INSTANCE_STOPPING, /* told to stop */
    INSTANCE_ENDED,    /* its restart policy, or somebody who stopped it, leaves it so: nothing of it exists */
    INSTANCE_FAILED,   /* ended too often, or badly and its policy leaves it so: nothing of it exists */
    INSTANCE_STATE_COUNT
};

enum instance_event {
    EVENT_START,        /* start it now */
    EVENT_SPAWNED,      /* its PID 1 exists */
    EVENT_LISTENING,    /* PID 1: the listeners of the start stand */
    EVENT_RELEASED,     /* all of its callees listen */
    EVENT_SERVES,       /* PID 1: the service is ready */
    EVENT_ADOPTED,      /* it runs and is ready: an earlier hostd started it */
    EVENT_OVERDUE,      /* the deadline of its state has passed */
    EVENT_STOP,         /* stop it */
    EVENT_DIED,         /* its PID 1 has ended */
    EVENT_RETRY,        /* after an end, by its policy: once more, after a pause */
    EVENT_LEAVE_ENDED,  /* ... it ended well and stays so */
    EVENT_LEAVE_FAILED, /* ... it stays failed */
    INSTANCE_EVENT_COUNT
};

enum instance_action {
    ACTION_UNSET,    /* never in the table */
    ACTION_REFUSE,   /* the pair cannot happen */
    ACTION_NONE,     /* only the state changes, or not even that */
    ACTION_SPAWN,    /* start it, in new namespaces, with new wires */
    ACTION_PROCEED,  /* see whether all of its callees listen */
    ACTION_CONNECT,  /* tell it to connect */
    ACTION_ANNOUNCE, /* it is ready */
    ACTION_ASK,      /* tell it to finish */
    ACTION_KILL,
    ACTION_BURY,   /* give back what it held, say why it ended, decide what comes next */
    ACTION_PLAN,   /* set the time of the next start */
    ACTION_REPORT, /* it stays failed: say so, with the last lines of its log */
    INSTANCE_ACTION_COUNT
};

struct transition {
    enum instance_state next;
    enum instance_action action;
};

/* Total: every pair has an answer. */
struct transition states_next(enum instance_state state, enum instance_event event);

/* "down", "starting", ...; "retry", "spawned", ...  Never NULL. */
const char *instance_state_name(enum instance_state state);
const char *instance_event_name(enum instance_event event);

/* A process of it exists in this state. */
bool instance_state_lives(enum instance_state state);

#endif
