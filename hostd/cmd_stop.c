/*
 * cmd_stop.c - `hostd stop` ends an application in order and returns when nothing of it is left; with SERVICE it ends
 * that one alone.  `hostd restart SERVICE` returns when it is ready again.
 */
#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "hostd/adopt.h"
#include "hostd/app.h"
#include "hostd/cmd.h"
#include "hostd/rules.h"
#include "rpc/base/clock.h"
#include "rpc/base/own.h"

#define BUSY_MS_MAX 5000 /* for another hostd to let go of the application */

static int usage(const char *command, const char *what)
{
    bool is_stop = strcmp(command, "stop") == 0;
    (void)fprintf(stderr, "hostd %s: %s\nusage: hostd %s [--app NAME] %s\n", command, what, command,
                  is_stop ? "[SERVICE]" : "SERVICE");
    return 2;
}

/* Its hostd has died: what it left is ended by us, at once and not in order. */
static int end_leftovers(const char *name, struct err *e)
{
    struct app app = {.name = name, .run_fd = -1, .state_fd = -1, .lock_fd = -1};
    cgroup_detect(&app.cgroups);
    int result = rundir_lock(&app, e);
    if (result == 0)
        result = leftovers_end(&app, e);
    if (result == 0)
        (void)printf("hostd stop: the hostd of '%s' had died; ended %zu services\n", name, app.ended_leftovers);
    rundir_close(&app);
    free(app.ledger);
    return result;
}

/* Options; *ret_service: NULL when none is named. */
static int parse(int argc, char **argv, char ret_app[NAME_BYTES], const char **ret_service, struct err *e)
{
    static const struct option known[] = {{"app", required_argument, NULL, 'a'}, {NULL, 0, NULL, 0}};
    const char *app_name = NULL;
    optind = 1;
    for (int c; (c = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        if (c != 'a')
            return usage(argv[0], "unknown or incomplete option");
        app_name = optarg;
    }
    if (argc - optind > 1)
        return usage(argv[0], "one SERVICE only");
    *ret_service = optind < argc ? argv[optind] : NULL;
    if (*ret_service && !rule_name(*ret_service))
        return usage(argv[0], "SERVICE is a name as the list has it");
    return control_choose(app_name, ret_app, e);
}

/* Asks for something, of one service perhaps (else NULL), and waits until it is done. */
static int ask_for(const char *app_name, const char *verb, const char *service, struct err *e)
{
    char request[2 * NAME_BYTES];
    FREE_AUTO char *answer = NULL;
    (void)snprintf(request, sizeof request, "%s%s%s", verb, service ? " " : "", service ? service : "");
    int result = control_ask(app_name, request, &answer, e);
    if (result < 0)
        return result;
    json_t *root = json_loads(answer, JSON_REJECT_DUPLICATES, NULL);
    const char *error = json_string_value(json_object_get(root, "error"));
    if (error)
        result = err_set(e, -EIO, "%s", error);
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

static int fail(const char *command, int result, const struct err *e)
{
    if (result > 0)
        return result; /* said already */
    (void)fprintf(stderr, "hostd %s: %s\n", command, e->text);
    return result == -EINVAL ? 2 : 1;
}

int cmd_stop(int argc, char **argv)
{
    char name[NAME_BYTES];
    const char *service = NULL;
    struct err e = {0};
    int result = parse(argc, argv, name, &service, &e);
    if (result != 0)
        return fail(argv[0], result, &e);
    result = service ? ask_for(name, "stop-service", service, &e) : stop_all(name, &e);
    return result < 0 ? fail(argv[0], result, &e) : 0;
}

int cmd_restart(int argc, char **argv)
{
    char name[NAME_BYTES];
    const char *service = NULL;
    struct err e = {0};
    int result = parse(argc, argv, name, &service, &e);
    if (result != 0)
        return fail(argv[0], result, &e);
    if (!service)
        return usage(argv[0], "which SERVICE?");
    result = ask_for(name, "restart-service", service, &e);
    return result < 0 ? fail(argv[0], result, &e) : 0;
}
