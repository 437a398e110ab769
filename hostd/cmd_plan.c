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

    static char report[MANIFEST_REPORT_BYTES];
    FREE_AUTO struct manifest *manifest = NULL;
    int r = manifest_load(argv[optind], &manifest, report);
    if (r < 0) {
        (void)fputs(report, stderr);
        return r == -EINVAL ? 2 : 1;
    }
    struct plan *plan = NULL;
    struct err e;
    /* A start takes the first ids that no other application holds; here the first there are. */
    if (plan_make(manifest, PLAN_IDS_PER_SERVICE, &plan, &e) < 0) {
        (void)fprintf(stderr, "%s: %s\n", argv[optind], e.text);
        return 2;
    }
    r = print(plan, stdout);
    plan_free(plan);
    if (r < 0 || fflush(stdout) != 0) {
        (void)fprintf(stderr, "hostd plan: cannot print: %s\n", strerror(r < 0 ? -r : errno));
        return 1;
    }
    return 0;
}
