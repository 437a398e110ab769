/*
 * supervise.h - what the files that drive the services share.  Private to them.
 *
 *   supervise.c  states: the one place where an instance's state changes; the first start; the end
 *   turn.c       the loop: what happened, which deadlines passed
 *   messages.c   what PID 1 and hostd tell each other
 *   restart.c    after an end: why, whether and when again; a start in the middle of the others
 *   stop.c       callers before callees
 */
#ifndef HOSTD_SUPERVISE_H
#define HOSTD_SUPERVISE_H

#include "hostd/app.h"

#define STOP_GRACE_MS 500u /* for a PID 1 to notice that its service did not stop in time */

/* ---- supervise.c ---- */
/* The state after an event, and the action that goes with it (states.h).  A pair that cannot happen is said, and
 * changes nothing. */
void instance_event(struct app *app, uint32_t index, enum instance_event event);
/* Its PID 1 has ended. */
void instance_died(struct app *app, uint32_t index);
/* One line for whoever watches hostd, of no particular service (events.h has the others). */
void say(const struct app *app, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Remembers the stage at which a start failed. */
void note_failure(struct instance *instance, enum init_stage stage, const struct err *e);
/* SIGKILL to its PID 1, by its pidfd; what follows is told by the same. */
void instance_kill(struct app *app, uint32_t index);

/* ---- turn.c ---- */
int turn_open(struct app *app, struct err *e);
int turn_watch(struct app *app, uint32_t index, struct err *e);
void turn_unwatch_stage(struct app *app, uint32_t index);
/* Waits for the next event or deadline, and handles all that are there. */
void turn(struct app *app);

/* ---- messages.c ---- */
void tell(struct app *app, uint32_t index, const struct init_message *message);
/* The peer's new wire, to one end of a link. */
void tell_renewed(struct app *app, uint32_t link, uint32_t direction);
/* Reads what PID 1 said. */
void read_stage(struct app *app, uint32_t index);

/* ---- restart.c ---- */
void try_proceed(struct app *app, uint32_t index);
/* New namespaces, new wires to every peer that lives; plans the next try where that fails. */
void restart(struct app *app, uint32_t index);
/* What comes after an end, or of one that is down: another start, or nothing. */
void decide(struct app *app, uint32_t index, bool has_ended_well);
/* After an end: gives back, says why, decides. */
void bury(struct app *app, uint32_t index);
/* The same of one that ended while hostd was dead. */
void mourn(struct app *app, uint32_t index, bool was_ready);
void plan_restart(struct app *app, uint32_t index);
/* Says that it stays failed, and why. */
void report(struct app *app, uint32_t index);

/* ---- stop.c ---- */
void ask_to_stop(struct app *app, uint32_t index);
void stop_one(struct app *app, uint32_t index);
/* Stops all whose callers are gone. */
void stop_next(struct app *app);

#endif
