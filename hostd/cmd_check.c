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
    static char report[MANIFEST_REPORT_BYTES];
    FREE_AUTO struct manifest *manifest = NULL;
    int r = manifest_load(argv[1], &manifest, report);
    if (r < 0) {
        (void)fputs(report, stderr);
        return r == -EINVAL ? 2 : 1;
    }
    /* A list that cannot be planned is wrong too. */
    struct plan *plan = NULL;
    struct err e;
    if (plan_make(manifest, PLAN_IDS_PER_SERVICE, &plan, &e) < 0) {
        (void)fprintf(stderr, "%s: %s\n", argv[1], e.text);
        return 2;
    }
    (void)printf("%s: ok: %zu service%s, %zu link%s\n", argv[1], plan->service_count,
                 plan->service_count == 1 ? "" : "s", plan->link_count, plan->link_count == 1 ? "" : "s");
    plan_free(plan);
    return 0;
}
