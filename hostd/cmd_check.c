/* cmd_check.c - `hostd check FILE`: is this service list right?  Touches nothing; needs no root. */
#include <errno.h>
#include <stdio.h>

#include "hostd/cmd.h"
#include "hostd/plan.h"
#include "rpc/base/own.h"

int cmd_check(int argc, char **argv)
{
    if (argc != 2 || argv[1][0] == '-') {
        (void)fprintf(stderr, "hostd check: one FILE is needed\nusage: hostd check FILE\n");
        return 2;
    }
    FREE_AUTO struct manifest *manifest = NULL;
    struct plan *plan = NULL;
    int code = cmd_load(argv[1], &manifest, &plan);
    if (code)
        return code;
    (void)printf("%s: ok: %zu service%s, %zu link%s\n", argv[1], plan->service_count,
                 plan->service_count == 1 ? "" : "s", plan->link_count, plan->link_count == 1 ? "" : "s");
    plan_free(plan);
    return 0;
}
