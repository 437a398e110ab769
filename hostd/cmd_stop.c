/* cmd_stop.c - `hostd stop`: ends an application in order and returns when nothing of it is left. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "hostd/app.h"
#include "hostd/cmd.h"
#include "rpc/base/own.h"

static int usage(const char *what)
{
    (void)fprintf(stderr, "hostd stop: %s\nusage: hostd stop [--app NAME]\n", what);
    return 2;
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
    if (result < 0) {
        (void)fprintf(stderr, "hostd stop: %s\n", e.text);
        return result == -EINVAL ? 2 : 1;
    }
    return 0;
}
