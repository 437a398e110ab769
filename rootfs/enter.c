/*
 * enter.c - from the host's mounts to a root of our own, inside the new mount namespace.  Doing; called by initsvc.
 *
 * We still are root of our user namespace here.  The last line gives up, for good, every mount of the host.
 */
#include "rootfs/rootfs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "rootfs/internal.h"
#include "rpc/base/compat.h"
#include "rpc/base/own.h"
#include "rpc/base/weaken.h"

static int set_option(int fs_fd, const char *key, const char *value, struct err *e)
{
    if (syscall(SYS_fsconfig, fs_fd, FSCONFIG_SET_STRING, key, value, 0) < 0)
        return err_sys(e, -errno, "tmpfs option %s=%s", key, value);
    return 0;
}

int rootfs_tmpfs(const char *bytes, const char *inodes, const char *mode, int *ret_mount_fd, struct err *e)
{
    FD_AUTO int fs_fd = (int)syscall(SYS_fsopen, "tmpfs", FSOPEN_CLOEXEC);
    if (fs_fd < 0)
        return err_sys(e, -errno, "fsopen(tmpfs)");
    int result = set_option(fs_fd, "size", bytes, e);
    if (result == 0)
        result = set_option(fs_fd, "nr_inodes", inodes, e);
    if (result == 0)
        result = set_option(fs_fd, "mode", mode, e);
    if (result < 0)
        return result;
    if (syscall(SYS_fsconfig, fs_fd, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
        return err_sys(e, -errno, "create tmpfs");
    FD_AUTO int mount_fd =
        (int)syscall(SYS_fsmount, fs_fd, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
    if (mount_fd < 0)
        return err_sys(e, -errno, "fsmount(tmpfs)");
    *ret_mount_fd = fd_take(&mount_fd);
    return 0;
}

/* Makes the directories of `path` (relative), and the mount point itself: a directory or an empty file. */
static int make_mount_point(int root_fd, const char *path, bool is_directory, struct err *e)
{
    char part[4096];
    if (strlen(path) >= sizeof part)
        return err_set(e, -ENAMETOOLONG, "path too long");
    for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
        memcpy(part, path, (size_t)(slash - path));
        part[slash - path] = '\0';
        if (mkdirat(root_fd, part, 0755) < 0 && errno != EEXIST)
            return err_sys(e, -errno, "mkdir /%s", part);
    }
    if (is_directory) {
        if (mkdirat(root_fd, path, 0755) < 0 && errno != EEXIST)
            return err_sys(e, -errno, "mkdir /%s", path);
        return 0;
    }
    FD_AUTO int fd = openat(root_fd, path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0444);
    if (fd < 0)
        return err_sys(e, -errno, "create /%s", path);
    return 0;
}

static int place(int root_fd, const struct rootfs_entry *entry, struct err *e)
{
    const char *path = entry->to + 1; /* relative to the new root: the old "/" is never walked */
    int result = make_mount_point(root_fd, path, entry->is_directory, e);
    if (result < 0)
        return result;
    if (syscall(SYS_move_mount, entry->mount_fd, "", root_fd, path, MOVE_MOUNT_F_EMPTY_PATH) < 0)
        return err_sys(e, -errno, "move_mount to %s", entry->to);
    return 0;
}

int rootfs_enter(const struct rootfs_entry *entries, size_t count, struct rootfs_process *process, struct err *e)
{
    /* Inherited mounts are slaves of the host's: without this, what the host mounts later would flow in. */
    if (!weakened("private-mounts") && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return err_sys(e, -errno, "make mounts private");

    FD_AUTO int root_fd = -1;
    int result = rootfs_tmpfs(ROOTFS_BYTES_MAX, ROOTFS_INODES_MAX, "0755", &root_fd, e);
    if (result < 0)
        return result;
    /* A mount can take others only when it is attached itself.  Over "/", which every host has; reached by root_fd
     * alone. */
    if (syscall(SYS_move_mount, root_fd, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH) < 0)
        return err_sys(e, -errno, "attach the new root");
    for (size_t i = 0; i < count; i++) {
        result = place(root_fd, &entries[i], e);
        if (result < 0)
            return result;
    }
    result = process ? rootfs_process_prepare(root_fd, process, e) : 0;
    if (result < 0)
        return result;
    struct mount_attr read_only = {.attr_set = MOUNT_ATTR_RDONLY};
    if (syscall(SYS_mount_setattr, root_fd, "", AT_EMPTY_PATH, &read_only, sizeof read_only) < 0)
        return err_sys(e, -errno, "make the new root read-only");

    if (fchdir(root_fd) < 0)
        return err_sys(e, -errno, "enter the new root");
    /* Old and new root in one place, then the old one off: the only way that works for locked mounts of another user
     * namespace, which cannot be unmounted one by one. */
    if (syscall(SYS_pivot_root, ".", ".") < 0) {
        int code = -errno;
        (void)err_sys(e, code, "pivot_root");
        if (code == -EINVAL)
            (void)err_hint(e, "hostd must not run in a chroot: its root has to be a mount");
        return code;
    }
    if (!weakened("old-root") && umount2(".", MNT_DETACH) < 0)
        return err_sys(e, -errno, "detach the old root");
    if (chdir("/") < 0)
        return err_sys(e, -errno, "chdir /");
    return process ? rootfs_process_finish(process, e) : 0;
}
