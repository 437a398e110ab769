/*
 * place.c - where hostd keeps what runs and what stays: the system's directories, or a user's own.
 *
 *            root             anybody else (plain mode only)
 *   run      /run/hostd       $XDG_RUNTIME_DIR/hostd, or /tmp/hostd-UID (rundir.c refuses it when it is not ours)
 *   state    /var/lib/hostd   $XDG_STATE_HOME/hostd, or ~/.local/state/hostd
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "hostd/app.h"

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
