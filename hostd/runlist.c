/* runlist.c - see runlist.h.  Doing. */
#include "hostd/runlist.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hostd/app.h"
#include "rpc/base/own.h"

static int write_file(int run_fd, const char *name, const void *bytes, size_t count, struct err *e)
{
    FD_AUTO int fd = openat(run_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return err_sys(e, -errno, "open %s of the run directory", name);
    ssize_t written = write(fd, bytes, count);
    if (written != (ssize_t)count) /* a short write set no errno */
        return err_sys(e, written < 0 ? -errno : -ENOSPC, "write %s of the run directory", name);
    return 0;
}

int runlist_write(struct app *app, const char *path, const struct manifest *manifest, struct err *e)
{
    app->list = realpath(path, NULL);
    if (!app->list)
        app->list = strdup(path); /* moved away meanwhile: called as it was */
    if (!app->list)
        return err_set(e, -ENOMEM, "no memory for a path");
    int result = write_file(app->run_fd, "list", app->list, strlen(app->list), e);
    return result < 0 ? result : write_file(app->run_fd, "manifest", manifest, manifest->total_bytes, e);
}

static int read_file(int run_fd, const char *app_name, const char *name, size_t bytes_max, char **ret_text,
                     size_t *ret_bytes, struct err *e)
{
    struct stat status;
    FD_AUTO int fd = openat(run_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 || fstat(fd, &status) < 0)
        return err_sys(e, -errno, "open %s/%s/%s", run_root(), app_name, name);
    if (status.st_size <= 0 || (size_t)status.st_size > bytes_max)
        return err_set(e, -EPROTO, "%s/%s/%s has a wrong size", run_root(), app_name, name);
    size_t bytes = (size_t)status.st_size;
    FREE_AUTO char *text = calloc(1, bytes + 1);
    if (!text)
        return err_set(e, -ENOMEM, "no memory for %zu bytes", bytes);
    if (read(fd, text, bytes) != (ssize_t)bytes)
        return err_set(e, -EPROTO, "%s/%s/%s is being written; try again", run_root(), app_name, name);
    *ret_text = text;
    *ret_bytes = bytes;
    text = NULL;
    return 0;
}

int runlist_read(const char *app_name, char ret_path[RUNLIST_PATH_BYTES], struct manifest **ret_manifest, struct err *e)
{
    char directory[APP_PATH_BYTES];
    (void)snprintf(directory, sizeof directory, "%s/%.*s", run_root(), NAME_BYTES - 1, app_name);
    FD_AUTO int run_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (run_fd < 0)
        return errno == ENOENT ? err_set(e, -ENOENT, "application '%s' does not run", app_name)
                               : err_sys(e, -errno, "open %s", directory);
    FREE_AUTO char *path = NULL;
    FREE_AUTO char *block = NULL;
    size_t path_bytes = 0, block_bytes = 0;
    int result = read_file(run_fd, app_name, "list", RUNLIST_PATH_BYTES - 1, &path, &path_bytes, e);
    if (result == 0)
        result = read_file(run_fd, app_name, "manifest", MANIFEST_BYTES_MAX, &block, &block_bytes, e);
    if (result == 0 && manifest_verify((const struct manifest *)(const void *)block, block_bytes, e) < 0)
        result = err_prefix(e, "application '%s'", app_name); /* another build of hostd started it */
    if (result < 0)
        return result == -EINVAL ? -EPROTO : result;
    memcpy(ret_path, path, path_bytes + 1);
    *ret_manifest = (struct manifest *)(void *)block;
    block = NULL;
    return 0;
}
