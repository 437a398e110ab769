/* cmd_stop.c - `hostd stop`: ends an application in order and returns when nothing of it is left. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "hostd/adopt.h"
#include "hostd/app.h"
#include "hostd/cmd.h"
#include "rpc/base/own.h"

static int usage(const char *what)
{
    (void)fprintf(stderr, "hostd stop: %s\nusage: hostd stop [--app NAME]\n", what);
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

int cmd_stop(int argc, char **argv)
{
    static const struct option known[] = {{"app", required_argument, NULL, 'a'}, {NULL, 0, NULL, 0}};
    const char *app_name = NULL;
    optind = 1;
    for (int c; (c = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        if (c != 'a')
            return usage("unknown or incomplete option");
        app_name = optarg;
    }
    if (optind != argc)
        return usage("no arguments expected");

    char name[NAME_BYTES];
    struct err e = {0};
    FREE_AUTO char *answer = NULL;
    int result = control_choose(app_name, name, &e);
    if (result == 0)
        result = control_ask(name, "stop", &answer, &e);
    if (result == -ECONNREFUSED)
        result = end_leftovers(name, &e);
    if (result < 0) {
        (void)fprintf(stderr, "hostd stop: %s\n", e.text);
        return result == -EINVAL ? 2 : 1;
    }
    return 0;
}
