/* cmd_plan.c - `hostd plan FILE`: what a start would make, as a table, JSON or a graph.  Needs no root. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "hostd/cmd.h"
#include "hostd/plan.h"
#include "rpc/base/own.h"

static int usage(const char *what)
{
    (void)fprintf(stderr, "hostd plan: %s\nusage: hostd plan FILE [--json|--dot]\n", what);
    return 2;
}

int cmd_plan(int argc, char **argv)
{
    static const struct option options[] = {{"json", no_argument, NULL, 'j'}, {"dot", no_argument, NULL, 'd'}, {0}};
    int (*print)(const struct plan *, FILE *) = plan_print_text;
    int format_count = 0, option;
    opterr = 0; /* our own words for it */
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == '?')
            return usage("unknown option");
        print = option == 'j' ? plan_print_json : plan_print_dot;
        format_count++;
    }
    if (format_count > 1)
        return usage("--json or --dot, not both");
    if (optind + 1 != argc)
        return usage(optind == argc ? "which FILE?" : "one FILE only");

    FREE_AUTO struct manifest *manifest = NULL;
    struct plan *plan = NULL;
    int code = cmd_load(argv[optind], &manifest, &plan);
    if (code)
        return code;
    int r = print(plan, stdout);
    plan_free(plan);
    if (r < 0 || fflush(stdout) != 0) {
        (void)fprintf(stderr, "hostd plan: cannot print: %s\n", strerror(r < 0 ? -r : errno));
        return 1;
    }
    return 0;
}
