/*
 * cmd_exec_tools.c - `hostd exec --tools`: a root for the command that has the host's programs in it.
 *
 *   the service's mounts, but its program: each a copy of the mount that the service itself has, flags and id map too
 *   /usr and what /bin, /sbin, /lib and /lib64 name on the host, read-only; a few devices; /proc of its processes
 *   /tmp, /etc/passwd and the like, as a process service has them (rootfs/process.c)
 *
 * A filter of a sealed service refuses nearly everything that a shell does, so the command gets another: that of
 * process services, and execve.  It gives no capability, no namespace, no ring and no family of sockets beyond theirs;
 * TCP is as the service's Landlock rules have it: for a sealed one, none.
 *
 * Mounts are made by children that share our descriptors: one enters the mount namespace, one the pid namespace, and
 * both keep the host's rights while they do.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "hostd/cmd_exec.h"
#include "hostd/filter.h"
#include "hostd/rules.h"
#include "rootfs/rootfs.h"
#include "rpc/base/compat.h"
#include "rpc/base/own.h"

#define FILES_MAX                                                                                                      \
    1024u /* RLIMIT_NOFILE, where the service may have fewer: a shell parks descriptors at 10 and above                \
           */

static const char environment[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\0HOME=/tmp\0"
                                  "LANG=C.UTF-8\0TERM=dumb";
static const char *const host_directories[] = {"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"};
static const char *const devices[] = {"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"};

struct mounts {
    struct exec_target *target;
    struct init_mount list[INIT_FDS_MAX]; /* list[i] is what fds[INIT_FD_FIRST + i] is; 0 is the command */
    uint32_t count;
};

/* Room for one more; its descriptor is to be filled. */
static int *add(struct mounts *mounts, const char *to, struct err *e)
{
    struct exec_target *target = mounts->target;
    if (target->fd_count >= INIT_FDS_MAX || strlen(to) >= INIT_PATH_BYTES) {
        (void)err_set(e, -E2BIG, "too many mounts, or the path '%s' is too long", to);
        return NULL;
    }
    struct init_mount *mount = &mounts->list[mounts->count++];
    *mount = (struct init_mount){.fd_index = (uint32_t)target->fd_count};
    memcpy(mount->to, to, strlen(to));
    target->fds[target->fd_count] = -1;
    return &target->fds[target->fd_count++];
}

static int add_host(struct mounts *mounts, const char *path, bool is_device, struct err *e)
{
    struct stat status;
    FD_AUTO int fd = open(path, O_PATH | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return 0; /* not every host has /lib32 */
    if (fd < 0 || fstat(fd, &status) < 0)
        return err_sys(e, -errno, "open %s", path);
    int *mount_fd = add(mounts, path, e);
    if (!mount_fd)
        return -E2BIG;
    struct init_mount *mount = &mounts->list[mounts->count - 1];
    mount->is_directory = S_ISDIR(status.st_mode);
    mount->is_device = is_device;
    mount->is_executable = !is_device;
    int result = is_device ? rootfs_device_mount(fd, mount_fd, e) : rootfs_file_mount(fd, true, mount_fd, e);
    return result < 0 ? err_prefix(e, "mount of %s", path) : 0;
}

/* ---- children that share our descriptors ---- */

static pid_t fork_sharing_files(void)
{
    struct clone_args args = {.flags = CLONE_FILES, .exit_signal = SIGCHLD};
    return (pid_t)syscall(SYS_clone3, &args, sizeof args);
}

/* The errno that a child ended with. */
static int result_of(pid_t pid)
{
    int status = 0;
    if (pid < 0)
        return -errno;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return WIFEXITED(status) ? -WEXITSTATUS(status) : -ECHILD;
}

static int copy_mount(const char *path, int to_fd)
{
    int fd = (int)syscall(SYS_open_tree, AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_SYMLINK_NOFOLLOW);
    int result = fd < 0 || dup3(fd, to_fd, O_CLOEXEC) < 0 ? -errno : 0;
    fd_close(&fd);
    return result;
}

/* Fills the descriptors of list[first] and on with copies of the service's own mounts. */
static int copy_mounts(const struct mounts *mounts, uint32_t first, struct err *e)
{
    const int *fds = mounts->target->fds + INIT_FD_FIRST;
    pid_t pid = fork_sharing_files();
    if (pid == 0) {
        int result = setns(mounts->target->pidfd, CLONE_NEWNS) < 0 ? -errno : 0;
        for (uint32_t i = first; result == 0 && i < mounts->count; i++)
            result = copy_mount(mounts->list[i].to, fds[i]);
        _exit(-result);
    }
    int result = result_of(pid);
    return result < 0 ? err_sys(e, result, "copy the mounts of the service, from %s on", mounts->list[first].to) : 0;
}

static int make_proc(int to_fd)
{
    FD_AUTO int fs_fd = (int)syscall(SYS_fsopen, "proc", FSOPEN_CLOEXEC);
    if (fs_fd < 0 || syscall(SYS_fsconfig, fs_fd, FSCONFIG_SET_STRING, "subset", "pid", 0) < 0 ||
        syscall(SYS_fsconfig, fs_fd, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
        return -errno;
    FD_AUTO int fd = (int)syscall(SYS_fsmount, fs_fd, FSMOUNT_CLOEXEC,
                                  MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
    return fd < 0 || dup3(fd, to_fd, O_CLOEXEC) < 0 ? -errno : 0;
}

/* A /proc is that of the pid namespace of who makes it: a child of a child. */
static int add_proc(struct mounts *mounts, int null_fd, struct err *e)
{
    int *mount_fd = add(mounts, "/proc", e);
    if (!mount_fd)
        return -E2BIG;
    mounts->list[mounts->count - 1].is_directory = 1;
    *mount_fd = fcntl(null_fd, F_DUPFD_CLOEXEC, 0);
    pid_t pid = fork_sharing_files();
    if (pid == 0) {
        if (setns(mounts->target->pidfd, CLONE_NEWPID) < 0)
            _exit(errno);
        pid_t inner = fork_sharing_files();
        if (inner == 0)
            _exit(-make_proc(*mount_fd));
        _exit(-result_of(inner));
    }
    int result = result_of(pid);
    return result < 0 ? err_sys(e, result, "mount /proc of the service") : 0;
}

/* ---- what the service has ---- */

static bool is_on_host(const char *path)
{
    for (size_t i = 0; i < ARRAY_COUNT(host_directories); i++)
        if (rule_paths_clash(path, host_directories[i]))
            return true;
    for (size_t i = 0; i < ARRAY_COUNT(devices); i++)
        if (strcmp(path, devices[i]) == 0)
            return true;
    return false;
}

static int add_own(struct mounts *mounts, int null_fd, struct err *e)
{
    const struct init_setup *setup = mounts->target->setup;
    const struct init_mount *own = (const void *)((const char *)setup + setup->mounts_at);
    uint32_t first = mounts->count;
    for (uint32_t i = 0; i < setup->mount_count; i++) {
        if (!memchr(own[i].to, '\0', INIT_PATH_BYTES) || is_on_host(own[i].to))
            continue; /* a sealed service's program is in /bin, and hidden by the host's */
        int *mount_fd = add(mounts, own[i].to, e);
        if (!mount_fd)
            return -E2BIG;
        uint32_t fd_index = mounts->list[mounts->count - 1].fd_index;
        mounts->list[mounts->count - 1] = own[i];
        mounts->list[mounts->count - 1].fd_index = fd_index;
        *mount_fd = fcntl(null_fd, F_DUPFD_CLOEXEC, 0); /* a number for the copy */
        if (*mount_fd < 0)
            return err_sys(e, -errno, "a descriptor for %s", own[i].to);
    }
    return first < mounts->count ? copy_mounts(mounts, first, e) : 0;
}

/* ---- all of it ---- */

int exec_tools_root(struct exec_target *target, struct err *e)
{
    struct mounts mounts = {.target = target, .list = {{.to = "/", .fd_index = INIT_FD_FIRST}}, .count = 1};
    struct init_setup *setup = target->setup;
    struct filter filter;
    FD_AUTO int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int result = null_fd < 0 ? err_sys(e, -errno, "open /dev/null") : 0;
    for (size_t i = 0; result == 0 && i < ARRAY_COUNT(host_directories); i++)
        result = add_host(&mounts, host_directories[i], false, e);
    for (size_t i = 0; result == 0 && i < ARRAY_COUNT(devices); i++)
        result = add_host(&mounts, devices[i], true, e);
    if (result == 0)
        result = add_proc(&mounts, null_fd, e);
    if (result == 0)
        result = add_own(&mounts, null_fd, e);
    if (result == 0)
        result = filter_tools(&filter, e);
    if (result < 0)
        return result;
    setup->flags |= INIT_EXEC_TOOLS;
    setup->mount_count = mounts.count;
    setup->service_filter_bytes = (uint32_t)(filter.count * sizeof filter.instructions[0]);
    setup->environment_bytes = sizeof environment;
    if (setup->files_max < FILES_MAX)
        setup->files_max = FILES_MAX;
    result = exec_target_append(target, mounts.list, mounts.count * sizeof mounts.list[0], &setup->mounts_at, e);
    if (result == 0)
        result =
            exec_target_append(target, filter.instructions, setup->service_filter_bytes, &setup->service_filter_at, e);
    return result < 0 ? result : exec_target_append(target, environment, sizeof environment, &setup->environment_at, e);
}
