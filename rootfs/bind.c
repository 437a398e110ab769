/*
 * bind.c - detached mounts of host files, for the root of a service.  Doing; called by hostd, as root of the host.
 */
#include "rootfs/rootfs.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>

#include "rpc/base/compat.h"
#include "rpc/base/own.h"
#include "rpc/base/weaken.h"

/* A mount of its own of what fd names, in no namespace yet; attributes set before anybody can see it. */
static int detached_mount(int fd, struct mount_attr *attributes, int *ret_mount_fd, struct err *e)
{
    FD_AUTO int mount_fd = (int)syscall(SYS_open_tree, fd, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
    if (mount_fd < 0)
        return err_sys(e, -errno, "open_tree");
    if (syscall(SYS_mount_setattr, mount_fd, "", AT_EMPTY_PATH, attributes, sizeof *attributes) < 0)
        return err_sys(e, -errno, "mount_setattr");
    *ret_mount_fd = fd_take(&mount_fd);
    return 0;
}

int rootfs_file_mount(int fd, bool may_exec, int *ret_mount_fd, struct err *e)
{
    struct mount_attr attributes = {
        .attr_set = (weakened("read-only") ? 0 : MOUNT_ATTR_RDONLY) | (weakened("nosuid") ? 0 : MOUNT_ATTR_NOSUID) |
                    MOUNT_ATTR_NODEV | (may_exec || weakened("noexec") ? 0 : MOUNT_ATTR_NOEXEC),
        .propagation = MS_PRIVATE,
    };
    return detached_mount(fd, &attributes, ret_mount_fd, e);
}

int rootfs_device_mount(int fd, int *ret_mount_fd, struct err *e)
{
    struct mount_attr attributes = {
        .attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC,
        .propagation = MS_PRIVATE,
    };
    return detached_mount(fd, &attributes, ret_mount_fd, e);
}

static int write_map(pid_t pid, const char *file, uint32_t host_id, struct err *e)
{
    char path[64], line[64];
    (void)snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, file);
    int bytes = snprintf(line, sizeof line, "0 %u 1\n", host_id);
    FD_AUTO int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, line, (size_t)bytes) != bytes)
        return err_sys(e, -errno, "write %s", path);
    return 0;
}

/*
 * A user namespace in which id 0 is host_id: the map of an idmapped mount.  It needs a process to be born in; ours
 * does nothing and is gone before this returns.
 */
static int idmap_namespace(uint32_t host_id, int *ret_userns_fd, struct err *e)
{
    struct clone_args args = {.flags = CLONE_NEWUSER, .exit_signal = SIGCHLD};
    int gate[2];
    if (pipe2(gate, O_CLOEXEC) < 0)
        return err_sys(e, -errno, "pipe");
    FD_AUTO int gate_read = gate[0];
    FD_AUTO int gate_write = gate[1];
    pid_t pid = (pid_t)syscall(SYS_clone3, &args, sizeof args);
    if (pid < 0)
        return err_sys(e, -errno, "clone3(CLONE_NEWUSER)");
    if (pid == 0) {
        char byte;
        (void)close(gate_write);          /* else our own copy would keep the read below from ending */
        (void)!read(gate_read, &byte, 1); /* until the parent closes its end, or dies */
        _exit(0);
    }
    int result = write_map(pid, "uid_map", host_id, e);
    if (result == 0)
        result = write_map(pid, "gid_map", host_id, e);
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/%d/ns/user", (int)pid);
    FD_AUTO int userns_fd = open(path, O_RDONLY | O_CLOEXEC);
    if (result == 0 && userns_fd < 0)
        result = err_sys(e, -errno, "open %s", path);
    fd_close(&gate_write);
    (void)waitpid(pid, NULL, 0); /* our own child, ending now */
    if (result == 0)
        *ret_userns_fd = fd_take(&userns_fd);
    return result;
}

int rootfs_data_mount(int fd, uint32_t host_id, int *ret_mount_fd, struct err *e)
{
    FD_AUTO int userns_fd = -1;
    int result = idmap_namespace(host_id, &userns_fd, e);
    if (result < 0)
        return result;
    struct mount_attr attributes = {
        .attr_set = MOUNT_ATTR_IDMAP | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV |
                    (weakened("noexec") ? 0 : MOUNT_ATTR_NOEXEC) |
                    (weakened("nosymfollow") ? 0 : MOUNT_ATTR_NOSYMFOLLOW),
        .propagation = MS_PRIVATE,
        .userns_fd = (uint64_t)userns_fd,
    };
    result = detached_mount(fd, &attributes, ret_mount_fd, e);
    if (result == -EINVAL || result == -EOPNOTSUPP)
        (void)err_hint(e, "the file system of the state directory cannot be idmapped; put it on ext4, xfs or btrfs");
    return result;
}
