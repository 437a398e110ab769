/* hints.c - see hints.h.  Pure: one table, the first row that fits. */
#include "hostd/hints.h"

#include <errno.h>
#include <string.h>

#include "rpc/base/own.h"

static const struct row {
    enum init_stage stage; /* STAGE_NONE: any */
    int code;              /* 0: any */
    const char *hint;
} rows[] = {
    {STAGE_READY, 0, "what it printed before that says why"},
    {STAGE_NETNS, ENOSPC, "no more namespaces are allowed: raise sysctl user.max_net_namespaces"},
    {STAGE_CLONE, ENOSPC, "no more namespaces are allowed: raise sysctl user.max_user_namespaces and its neighbours"},
    {STAGE_CLONE, EAGAIN, "no more processes are allowed: raise ulimit -u or sysctl kernel.pid_max"},
    {STAGE_MOUNTS, ENOSPC, "no more mounts are allowed: raise sysctl fs.mount-max"},
    {STAGE_MOUNTS, ENOENT, "see `files` and `paths` of the service in the list"},
    {STAGE_ROOT, ENOSPC, "no more mounts are allowed, or too many files: raise sysctl fs.mount-max"},
    {STAGE_CGROUP, ENOSPC, "no more control groups are allowed: see cgroup.max.descendants above the group"},
    {STAGE_CGROUP, EBUSY, "another program uses that control group: hostd wants its own below each tree"},
    {STAGE_IDMAP, 0, "hostd must be root of a user namespace that holds the ids of its services: see hostd doctor"},
    {STAGE_LISTEN, 0, "the wire has changed since it was made: does another program change links of hostd?"},
    {STAGE_CONNECT, 0, "the service on the other end does not answer on its wire: see its log"},
    {STAGE_LIMITS, 0, "hostd's own limits may be below it: see ulimit -H -a"},
    {STAGE_EXEC, ENOENT, "is the binary static? a sealed service's root holds no loader"},
    {STAGE_EXEC, EACCES, "the binary must be executable, and not on a file system mounted noexec"},
    {STAGE_EXEC, ENOEXEC, "the binary must be a static program for this machine"},
    {STAGE_NONE, ENOSPC, "the file system is full, or a limit of the kernel is reached"},
    {STAGE_NONE, ENOMEM, "memory is short, of the machine or of the service: see `memory` in the TOML"},
    {STAGE_NONE, ENOBUFS, "memory is short, of the machine or of the service: see `memory` in the TOML"},
    {STAGE_NONE, EAGAIN, "a limit is reached: see `pids` and `memory` in the TOML, and ulimit -a"},
    {STAGE_NONE, EMFILE, "too many open files: raise ulimit -n of hostd"},
    {STAGE_NONE, ENFILE, "too many open files on this machine: raise sysctl fs.file-max"},
    {STAGE_NONE, ESRCH, "it was ended from outside while it started"},
    {STAGE_NONE, ECHILD, "it was ended from outside while it started"},
    {STAGE_NONE, EPERM, "the kernel, or a container around hostd, forbids it: see hostd doctor"},
    {STAGE_NONE, EACCES, "the kernel, or a container around hostd, forbids it: see hostd doctor"},
    {STAGE_NONE, 0, "see hostd doctor for what this machine lacks"},
};

void hint_add(enum init_stage stage, struct err *e)
{
    size_t bytes = strlen(e->text);
    if (bytes > 0 && e->text[bytes - 1] == ')')
        return;
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        const struct row *row = &rows[i];
        if ((row->stage != STAGE_NONE && row->stage != stage) || (row->code != 0 && row->code != -e->code))
            continue;
        (void)err_hint(e, "%s", row->hint);
        return;
    }
}
