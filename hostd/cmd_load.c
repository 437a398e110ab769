/* cmd_load.c - what check, plan and start begin with: the list, read, checked and planned, or its errors on stderr. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "hostd/cmd.h"
#include "hostd/plan.h"
#include "rpc/base/own.h"

int cmd_load(const char *file, struct manifest **ret_manifest, struct plan **ret_plan)
{
    FREE_AUTO char *report = calloc(1, MANIFEST_REPORT_BYTES);
    FREE_AUTO struct manifest *manifest = NULL;
    struct err e;
    if (!report) {
        (void)fprintf(stderr, "%s: no memory\n", file);
        return 1;
    }
    int result = manifest_load(file, &manifest, report);
    if (result < 0) {
        (void)fputs(report, stderr);
        return result == -EINVAL ? 2 : 1;
    }
    /* With the first ids there are; a start takes those that no other application holds.  What cannot be planned is a
     * wrong list too. */
    if (plan_make(manifest, PLAN_IDS_PER_SERVICE, ret_plan, &e) < 0) {
        (void)fprintf(stderr, "%s: %s\n", file, e.text);
        return 2;
    }
    *ret_manifest = manifest;
    manifest = NULL;
    return 0;
}
