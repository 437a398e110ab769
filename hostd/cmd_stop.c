/*
 * cmd_stop.c - `hostd stop` ends an application in order and returns when nothing of it is left; with SERVICE it ends
 * that one alone.  `hostd restart SERVICE` returns when it is ready again.
 */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "hostd/adopt.h"
#include "hostd/app.h"
#include "hostd/client.h"
#include "hostd/cmd.h"
#include "hostd/options.h"
#include "rpc/base/clock.h"
#include "rpc/base/own.h"

#define BUSY_MS_MAX 5000 /* for another hostd to let go of the application */

/* Its hostd has died: what it left is ended by us, at once and not in order. */
static int end_leftovers(const char *name, struct err *e)
{
    struct app app = {.name = name, .run_fd = -1, .state_fd = -1, .lock_fd = -1};
    cgroup_detect(&app.cgroups);
    int result = rundir_lock(&app, e);
    if (result == 0)
        result = leftovers_end(&app, e);
    if (result == 0)
        (void)printf("hostd stop: the hostd of '%s' had died; ended %zu service%s\n", name, app.ended_leftovers,
                     plural(app.ended_leftovers));
    rundir_close(&app);
    free(app.ledger);
    return result;
}

/* Options; *ret_service: NULL when none is named.  0, an errno with e, or the exit code of what was said already. */
static int parse(int argc, char **argv, char ret_app[NAME_BYTES], const char **ret_service, struct err *e)
{
    static const struct option known[] = {{"app", required_argument, NULL, 'a'}, {NULL, 0, NULL, 0}};
    const char *app_name = NULL;
    for (int c; (c = option_next(argc, argv, "", known)) != -1;) {
        if (c == '?')
            return 2;
        app_name = optarg;
    }
    if (argc - optind > 1)
        return cmd_wrong(argv[0], "one SERVICE only");
    *ret_service = optind < argc ? argv[optind] : NULL;
    int result = client_choose(app_name, ret_app, e);
    return result == 0 && *ret_service ? client_check_service(ret_app, *ret_service, e) : result;
}

/* Asks for something, of one service perhaps (else NULL), and waits until it is done. */
static int ask_for(const char *app_name, const char *verb, const char *service, struct err *e)
{
    char request[2 * NAME_BYTES];
    FREE_AUTO char *answer = NULL;
    (void)snprintf(request, sizeof request, "%s%s%s", verb, service ? " " : "", service ? service : "");
    int result = client_ask(app_name, request, &answer, e);
    if (result < 0)
        return result;
    json_t *root = json_loads(answer, JSON_REJECT_DUPLICATES, NULL);
    const char *error = json_string_value(json_object_get(root, "error"));
    bool is_unknown = json_integer_value(json_object_get(root, "errno")) == ENOENT; /* no such service: a wrong word */
    if (error)
        result = err_set(e, is_unknown ? -EINVAL : -EIO, "%s", error);
    else if (!json_is_object(root)) /* cut: its hostd has ended in the middle of it */
        result = err_set(e, -EIO, "application '%s' gave no answer", app_name);
    json_decref(root);
    return result;
}

/* Asks for the end of all.  A hostd that is dead, or dies of it, leaves the rest to us. */
static int stop_all(const char *name, struct err *e)
{
    const uint64_t until_ms = clock_ms() + BUSY_MS_MAX;
    for (bool is_first = true;; is_first = false) {
        int result = ask_for(name, "stop", NULL, e);
        if (result == -ENOENT && !is_first)
            return 0; /* the end that we waited for */
        if (result != -ECONNREFUSED && result != -ECONNRESET)
            return result;
        result = end_leftovers(name, e);
        if (result != -EBUSY || clock_ms() > until_ms)
            return result;
        (void)usleep(10000); /* somebody has the lock: a hostd that adopts, or one that ends */
    }
}

int cmd_stop(int argc, char **argv)
{
    char name[NAME_BYTES];
    const char *service = NULL;
    struct err e = {0};
    int result = parse(argc, argv, name, &service, &e);
    if (result == 0)
        result = service ? ask_for(name, "stop-service", service, &e) : stop_all(name, &e);
    return result < 0 ? client_fail(argv[0], result, &e) : result;
}

int cmd_restart(int argc, char **argv)
{
    char name[NAME_BYTES];
    const char *service = NULL;
    struct err e = {0};
    int result = parse(argc, argv, name, &service, &e);
    if (result == 0 && !service)
        return cmd_wrong(argv[0], "which SERVICE?");
    if (result == 0)
        result = ask_for(name, "restart-service", service, &e);
    return result < 0 ? client_fail(argv[0], result, &e) : result;
}
