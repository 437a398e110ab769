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

    char names[2][NAME_BYTES];
    if (!app_name) {
        int count = control_list(names, ARRAY_COUNT(names));
        if (count > 1)
            return usage("several applications run: say which with --app (hostd ps lists them)");
        if (count == 0) {
            (void)fprintf(stderr, "hostd stop: no application runs\n");
            return 1;
        }
        if (count < 0) {
            (void)fprintf(stderr, "hostd stop: read %s: %s\n", RUN_ROOT, strerror(-count));
            return 1;
        }
        app_name = names[0];
    }
    struct err e = {0};
    FREE_AUTO char *answer = NULL;
    if (control_ask(app_name, "stop", &answer, &e) < 0) {
        (void)fprintf(stderr, "hostd stop: %s\n", e.text);
        return 1;
    }
    return 0;
}
