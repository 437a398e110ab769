/*
 * exec.c - the differences when we start a command beside a running service (`hostd exec`) instead of the service.
 *
 * The same straight line (init.c), the same seal (seal.c), the same loop (loop.c); but we are not PID 1: the namespaces
 * are the service's, entered before our exec, and nothing of them is changed.  What is left out or different:
 *
 *   root     the service's own; with INIT_EXEC_TOOLS another one, in a mount namespace of our own
 *   wires    no listener (those belong to the service alone); connections only where the setup says that a wire is up
 *   output   two pipes of the caller's, instead of the log
 *   end      we outlive the command until we are killed from outside: whatever it left behind has become our child by
 *            then, so that the caller can find and end it
 *
 * Invariant: we die with our parent, and the command with us, always.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "initsvc/init.h"
#include "rootfs/rootfs.h"
#include "rpc/base/own.h"

bool exec_is_on(const struct init *init, uint32_t flag)
{
    return init->setup->flags & flag;
}

static int enter_tools_root(struct init *init, struct err *e)
{
    const struct init_mount *mounts = (const void *)((const char *)init->setup + init->setup->mounts_at);
    struct rootfs_entry entries[INIT_FDS_MAX];
    uint32_t count = 0;
    if (unshare(CLONE_NEWNS) < 0)
        return err_sys(e, -errno, "unshare the mount namespace");
    for (uint32_t i = 1; i < init->setup->mount_count && i < INIT_FDS_MAX; i++) {
        if (mounts[i].to[0] != '/' || mounts[i].fd_index >= init->fd_count)
            return err_set(e, -EINVAL, "setup message is inconsistent: mount %u", i);
        entries[count++] = (struct rootfs_entry){
            .to = mounts[i].to, .mount_fd = init->fds[mounts[i].fd_index], .is_directory = mounts[i].is_directory};
    }
    struct rootfs_process process = {.hosts_fd = -1, .notify_fd = -1};
    int result = rootfs_enter(entries, count, &process, e);
    for (uint32_t i = 1; i <= count; i++)
        fd_close(&init->fds[mounts[i].fd_index]);
    if (result < 0)
        return result;
    init->hosts_fd = process.hosts_fd;
    process_write_hosts(init);
    return 0;
}

int exec_enter_root(struct init *init, struct err *e)
{
    /* What the command leaves behind comes to us, not to the service's PID 1. */
    if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
        return err_sys(e, -errno, "become the reaper of the command");
    (void)umask(022);
    init->exe_fd = fd_take(&init->fds[INIT_FD_FIRST]);
    return exec_is_on(init, INIT_EXEC_TOOLS) ? enter_tools_root(init, e) : 0;
}

_Noreturn void exec_wait_for_end(void)
{
    for (;;)
        if (waitpid(-1, NULL, 0) < 0)
            (void)poll(NULL, 0, -1); /* no child is left; only the caller's SIGKILL ends this */
}
