/* cmd_check.c - `hostd check FILE`: is this service list right?  Touches nothing; needs no root. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "hostd/app.h"
#include "hostd/cmd.h"
#include "hostd/options.h"
#include "rpc/base/own.h"

/* As a start does (spawn.c), where it would take the directory that is meant here. */
static bool is_of_state(const char *file, const struct manifest_service *service, const char *path, const char *state)
{
    FD_AUTO int state_fd = open(state, O_PATH | O_CLOEXEC);
    FD_AUTO int fd = open(path, O_PATH | O_CLOEXEC);
    if (state_fd < 0 || fd < 0 || !place_overlaps(fd, state_fd))
        return false;
    (void)fprintf(stderr, "%s:%u: service '%s': %s lies in the state directory %s, or holds it\n", file, service->line,
                  service->name, path, state);
    return true;
}

static bool sees_state(const char *file, const struct manifest *manifest)
{
    char state[APP_PATH_BYTES];
    bool is_any = false;
    (void)snprintf(state, sizeof state, "%s/%s", state_root(), manifest->app); /* a cut one is not there */
    for (uint32_t i = 0; i < manifest->service_count; i++) {
        const struct manifest_service *service = &manifest_services(manifest)[i];
        const struct manifest_file *files = manifest_files(manifest) + service->files_first;
        const struct manifest_mount *mounts = manifest_mounts(manifest) + service->mounts_first;
        is_any |= is_of_state(file, service, manifest_text(manifest, service->exec), state);
        for (uint32_t k = 0; k < service->files_count; k++)
            is_any |= is_of_state(file, service, manifest_text(manifest, files[k].from), state);
        for (uint32_t k = 0; k < service->mounts_count; k++)
            is_any |= is_of_state(file, service, manifest_text(manifest, mounts[k].path), state);
    }
    return is_any;
}

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
    if (sees_state(file, manifest)) {
        plan_free(plan);
        return 2;
    }
    (void)printf("%s: ok: %zu service%s, %zu link%s\n", file, plan->service_count, plural(plan->service_count),
                 plan->link_count, plural(plan->link_count));
    plan_free(plan);
    return 0;
}
