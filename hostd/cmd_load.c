/* cmd_load.c - what check, plan and start begin with: the list, read, checked and planned, or its errors on stderr. */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hostd/cmd.h"
#include "hostd/plan.h"
#include "rpc/base/own.h"

/* FILE is a word of the command line: one that names no file that can be read is a wrong word, as a wrong list is. */
static bool is_wrong_word(int result)
{
    static const int codes[] = {EINVAL, ENOENT, ENOTDIR, ELOOP, ENAMETOOLONG, EACCES, EFBIG};
    for (size_t i = 0; i < ARRAY_COUNT(codes); i++)
        if (result == -codes[i])
            return true;
    return false;
}

/* What has no place in the list begins with "hostd: ", and is said as the command's. */
static void print_report(const char *command, const char *report)
{
    static const char own[] = "hostd: ";
    bool is_own = strncmp(report, own, sizeof own - 1) == 0;
    (void)fprintf(stderr, "%s%s%s%s", is_own ? "hostd " : "", is_own ? command : "", is_own ? ": " : "",
                  report + (is_own ? sizeof own - 1 : 0));
}

int cmd_load(const char *command, const char *file, struct manifest **ret_manifest, struct plan **ret_plan)
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
        print_report(command, report);
        return is_wrong_word(result) ? 2 : 1;
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
