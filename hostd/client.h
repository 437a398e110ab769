/*
 * client.h - what client commands share: which application and which service is meant, and asking its hostd.
 *
 * Exit codes follow one rule (hostd(1), EXIT STATUS), and it is kept here: -EINVAL says that the command line is wrong
 * (a name that is none, or too few words to know what is meant), and becomes 2; any other errno says that something was
 * tried and failed, or does not run, and becomes 1.
 *
 * Callers: cmd_*.c, ps_view.c.  The order is client_choose(), client_check_service(), client_ask().
 */
#ifndef HOSTD_CLIENT_H
#define HOSTD_CLIENT_H

#include "hostd/manifest.h"
#include "rpc/base/contract.h"
#include "rpc/base/err.h"

/* Prints "hostd COMMAND: text"; returns the exit code. */
int client_fail(const char *command, int result, const struct err *e);

/* The application meant: app_name (what --app said), or the only one that runs.  -ENOENT: it does not run, or none
 * does; -EINVAL: several, or no name.  What comes back is a name, and safe in a path. */
int client_choose(const char *app_name, char ret_name[NAME_BYTES], struct err *e);
/* Fills e with how to say that none runs: to others than root not as if root's could be seen.  -ENOENT. */
int client_none_runs(struct err *e);

/* -EINVAL with the near name: it is not one of the list. */
int client_find_service(const struct manifest *manifest, const char *app_name, const char *name,
                        const struct manifest_service **ret_service, struct err *e);
/* The same against the list that the application was started from.  Where that cannot be read (another build of hostd
 * started it) any name is let through: whoever is asked then knows. */
int client_check_service(const char *app_name, const char *name, struct err *e);

/* Sends a request to an application; its answer, to the end, in a malloc'ed string.  -ENOENT: it does not run.
 * -ECONNREFUSED, -ECONNRESET: its hostd has died, before it was asked or before it answered. */
int client_ask(const char *app_name, const char *request, char **ret_answer, struct err *e);
/* The same, with the descriptor that came with the answer, or -1. */
int client_ask_fd(const char *app_name, const char *request, char **ret_answer, int *ret_fd, struct err *e);

#endif
