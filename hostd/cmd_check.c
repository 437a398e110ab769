/* cmd_check.c - `hostd check FILE`: is this service list right?  Touches nothing; needs no root. */
#include <errno.h>
#include <stdio.h>

#include "hostd/cmd.h"
#include "hostd/options.h"
#include "hostd/plan.h"
#include "rpc/base/own.h"

int cmd_check(int argc, char **argv)
{
    static const struct option known[] = {{0}};
    if (option_next(argc, argv, "", known) != -1)
        return 2;
    if (optind + 1 != argc)
        return cmd_wrong(argv[0], optind == argc ? "which FILE?" : "one FILE only");
    const char *file = argv[optind];
    FREE_AUTO struct manifest *manifest = NULL;
    struct plan *plan = NULL;
    int code = cmd_load(argv[0], file, &manifest, &plan);
    if (code)
        return code;
    (void)printf("%s: ok: %zu service%s, %zu link%s\n", file, plan->service_count, plural(plan->service_count),
                 plan->link_count, plural(plan->link_count));
    plan_free(plan);
    return 0;
}
