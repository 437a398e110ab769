/*
 * place.c - where hostd keeps what runs and what stays: the system's directories, or a user's own.
 *
 *            root             anybody else (plain mode only)
 *   run      /run/hostd       $XDG_RUNTIME_DIR/hostd, or /tmp/hostd-UID (rundir.c refuses it when it is not ours)
 *   state    /var/lib/hostd   $XDG_STATE_HOME/hostd, or ~/.local/state/hostd
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hostd/app.h"
#include "hostd/rules.h"

static const char *absolute(const char *variable)
{
    const char *value = getenv(variable);
    return value && value[0] == '/' ? value : NULL;
}

/* A cut path is one that cannot be made: mkdir says so, with the path. */
const char *run_root(void)
{
    static char path[APP_PATH_BYTES];
    const char *own = absolute("XDG_RUNTIME_DIR");
    if (geteuid() == 0)
        return "/run/hostd";
    if (own)
        (void)snprintf(path, sizeof path, "%s/hostd", own);
    else
        (void)snprintf(path, sizeof path, "/tmp/hostd-%u", (unsigned)geteuid());
    return path;
}

const char *state_root(void)
{
    static char path[APP_PATH_BYTES];
    const char *own = absolute("XDG_STATE_HOME"), *home = absolute("HOME");
    if (geteuid() == 0)
        return "/var/lib/hostd";
    if (own)
        (void)snprintf(path, sizeof path, "%s/hostd", own);
    else
        (void)snprintf(path, sizeof path, "%s/.local/state/hostd", home ? home : "/tmp");
    return path;
}

/* Where it is in the tree, without symbolic links; "" for the root, which everything lies below. */
static bool path_of(int fd, char path[PATH_MAX])
{
    char link[64];
    (void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t bytes = readlink(link, path, PATH_MAX - 1);
    path[bytes > 1 ? bytes : 0] = '\0';
    return bytes > 0;
}

bool place_overlaps(int fd, int other_fd)
{
    char path[PATH_MAX], other[PATH_MAX];
    struct stat status, other_status;
    if (fstat(fd, &status) < 0 || fstat(other_fd, &other_status) < 0 || !path_of(fd, path) || !path_of(other_fd, other))
        return true;
    return (status.st_dev == other_status.st_dev && status.st_ino == other_status.st_ino) ||
           rule_path_below(path, other) || rule_path_below(other, path);
}
