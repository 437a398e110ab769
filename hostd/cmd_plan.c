/* cmd_plan.c - `hostd plan FILE`: what a start would make, as a table, JSON or a graph.  Needs no root. */
#include <stdio.h>
#include <string.h>

#include "hostd/cmd.h"
#include "hostd/options.h"
#include "hostd/plan.h"
#include "rpc/base/own.h"

int cmd_plan(int argc, char **argv)
{
    static const struct option options[] = {{"json", no_argument, NULL, 'j'}, {"dot", no_argument, NULL, 'd'}, {0}};
    int (*print)(const struct plan *, FILE *) = plan_print_text;
    int format_count = 0, option;
    while ((option = option_next(argc, argv, "", options)) != -1) {
        if (option == '?')
            return 2;
        print = option == 'j' ? plan_print_json : plan_print_dot;
        format_count++;
    }
    if (format_count > 1)
        return cmd_wrong(argv[0], "--json or --dot, not both");
    if (optind + 1 != argc)
        return cmd_wrong(argv[0], optind == argc ? "which FILE?" : "one FILE only");

    FREE_AUTO struct manifest *manifest = NULL;
    struct plan *plan = NULL;
    int code = cmd_load(argv[0], argv[optind], &manifest, &plan);
    if (code)
        return code;
    int r = print(plan, stdout);
    plan_free(plan);
    if (r < 0 && !ferror(stdout)) { /* what does not go out is said by main.c */
        (void)fprintf(stderr, "hostd plan: cannot print: %s\n", strerror(-r));
        return 1;
    }
    return 0;
}
