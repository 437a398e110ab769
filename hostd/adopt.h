/*
 * adopt.h - what a hostd that died has left: adopted, ended, or a reason to refuse.  Private to this folder.
 *
 * Order of use, by `hostd start`, once it holds the lock and has its plan: adopt(); then adopt_resume() in the loop.
 * `hostd stop` of an application whose hostd is dead: leftovers_end().
 */
#ifndef HOSTD_ADOPT_H
#define HOSTD_ADOPT_H

#include "hostd/app.h"

/*
 * The list and its options are those of the ledger: each service that is what the ledger says, and whose PID 1
 * confirms it, is ours again: *ret_count of them, which may be none.  Else where nothing lives, or the hostd died in
 * its first start or in its stop: cleaned, and no ledger any more.  Else -EEXIST, and nothing was touched. Blocks for
 * ADOPT_MS_MAX at most where a PID 1 does not answer (such a one is ended).
 */
#define ADOPT_PROGRAM "initsvc" /* what every PID 1 of ours runs */
#define ADOPT_MS_MAX 1000
int adopt(struct app *app, size_t *ret_count, struct err *e);

/* After adopt(): watches what was adopted, tells callers of wires that they have missed, starts again what died. */
int adopt_resume(struct app *app, struct err *e);

/* Of the list and the options that shape a start: another one is another application. */
uint64_t adopt_list_hash(const struct app *app);

/* The socket by which a later hostd reaches the PID 1 of a service (initsvc/contract.h, INIT_HAS_ADOPT). */
int adopt_listen(const struct app *app, const char *service, int *ret_fd, struct err *e);

/* ---- leftovers.c ---- */
/* How many of the ledger's processes live. */
size_t leftovers_alive(const struct app *app);
/* Ends them all, at once, and what else listens below the run directory; removes their control groups. */
int leftovers_end(struct app *app, struct err *e);
/* Connects to the PID 1 of a service.  -ECONNREFUSED, -ENOENT: there is none. */
int leftovers_connect(const struct app *app, const char *service, int *ret_fd);

#endif
