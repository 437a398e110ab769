/*
 * process.c - the root of a process service, beyond its files.  Doing; called by rootfs_enter().
 *
 *   /etc/{passwd,group,nsswitch.conf}  a few lines, so that libc asks no resolver and knows its own user
 *   /etc/hosts                         names of the callees; PID 1 writes it anew when a wire gets another address
 *   /tmp                               tmpfs, small, noexec
 *   /proc                              where asked for: only processes, only the service's own, read-only
 *   /run/hostd/notify                  where asked for: the socket of sd_notify(3)
 *
 * /etc/hosts and the socket lie on a tmpfs of their own.  It is mounted for a moment, to be filled; what stays in the
 * root are read-only views of it, and what keeps it writable is one descriptor of PID 1.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "rootfs/internal.h"
#include "rpc/base/compat.h"
#include "rpc/base/own.h"

#define OWN "/run/hostd" /* where the tmpfs of hosts and socket is */

static const struct {
    const char *path, *text;
} files[] = {
    {"etc/passwd", "root:x:0:0:root:/:/\nservice:x:1000:1000:service:/tmp:/\n"},
    {"etc/group", "root:x:0:\nservice:x:1000:\n"},
    {"etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\nservices: files\nprotocols: files\n"},
    {"etc/hosts", ""},
};

static int write_file(int root_fd, const char *path, const char *text, struct err *e)
{
    FD_AUTO int fd = openat(root_fd, path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644);
    if (fd < 0 && errno == EEXIST)
        return 0; /* one of the list's `files` */
    if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
        return err_sys(e, -errno, "write /%s", path);
    return 0;
}

/* Must be made while the host's /proc is in this namespace: the kernel gives a user namespace no more of it than it
 * could see before. */
static int mount_proc(int root_fd, struct err *e)
{
    static const char *const options[][2] = {{"hidepid", "2"}, {"subset", "pid"}};
    FD_AUTO int fs_fd = (int)syscall(SYS_fsopen, "proc", FSOPEN_CLOEXEC);
    if (fs_fd < 0)
        return err_sys(e, -errno, "fsopen(proc)");
    for (size_t i = 0; i < ARRAY_COUNT(options); i++)
        if (syscall(SYS_fsconfig, fs_fd, FSCONFIG_SET_STRING, options[i][0], options[i][1], 0) < 0)
            return err_sys(e, -errno, "proc option %s=%s", options[i][0], options[i][1]);
    if (syscall(SYS_fsconfig, fs_fd, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
        return err_sys(e, -errno, "create proc");
    FD_AUTO int mount_fd = (int)syscall(SYS_fsmount, fs_fd, FSMOUNT_CLOEXEC,
                                        MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
    if (mount_fd < 0 || syscall(SYS_move_mount, mount_fd, "", root_fd, "proc", MOVE_MOUNT_F_EMPTY_PATH) < 0) {
        int code = -errno;
        (void)err_sys(e, code, "mount /proc");
        return code == -EPERM ? err_hint(e, "hostd runs where parts of /proc are hidden; do without proc = true")
                              : code;
    }
    return 0;
}

int rootfs_process_prepare(int root_fd, const struct rootfs_process *process, struct err *e)
{
    static const char *const directories[] = {"etc", "tmp", "run", "run/hostd", "proc"}; /* the last where asked for */
    static const char *const links[][2] = {{"/proc/self/fd", "dev/fd"},
                                           {"/proc/self/fd/0", "dev/stdin"},
                                           {"/proc/self/fd/1", "dev/stdout"},
                                           {"/proc/self/fd/2", "dev/stderr"}};
    int result = 0;
    for (size_t i = 0; i < ARRAY_COUNT(directories) - !process->has_proc; i++)
        if (mkdirat(root_fd, directories[i], 0755) < 0 && errno != EEXIST)
            return err_sys(e, -errno, "mkdir /%s", directories[i]);
    for (size_t i = 0; result == 0 && i < ARRAY_COUNT(files); i++)
        result = write_file(root_fd, files[i].path, files[i].text, e);
    if (result < 0 || !process->has_proc)
        return result;
    for (size_t i = 0; i < ARRAY_COUNT(links); i++)
        if (symlinkat(links[i][0], root_fd, links[i][1]) < 0)
            return err_sys(e, -errno, "symlink /%s", links[i][1]);
    return mount_proc(root_fd, e);
}

/* Where sd_notify(3) of the service sends to.  Anybody in the service may: the mode of a socket is a right to send. */
static int bind_notify(int *ret_fd, struct err *e)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = ROOTFS_NOTIFY_PATH};
    FD_AUTO int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || chmod(ROOTFS_NOTIFY_PATH, 0666) < 0)
        return err_sys(e, -errno, "socket at %s", ROOTFS_NOTIFY_PATH);
    *ret_fd = fd_take(&fd);
    return 0;
}

/* A read-only view of what `path` names now, in no place yet. */
static int view_of(const char *path, int *ret_mount_fd, struct err *e)
{
    struct mount_attr read_only = {.attr_set =
                                       MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC};
    FD_AUTO int mount_fd = (int)syscall(SYS_open_tree, AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    if (mount_fd < 0 || syscall(SYS_mount_setattr, mount_fd, "", AT_EMPTY_PATH, &read_only, sizeof read_only) < 0)
        return err_sys(e, -errno, "view of %s", path);
    *ret_mount_fd = fd_take(&mount_fd);
    return 0;
}

static int attach(int mount_fd, const char *path, struct err *e)
{
    if (syscall(SYS_move_mount, mount_fd, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH) < 0)
        return err_sys(e, -errno, "mount %s", path);
    return 0;
}

/* Puts the views in the place of what they show. */
static int show_own(struct err *e)
{
    FD_AUTO int own_fd = -1;
    FD_AUTO int hosts_fd = -1;
    int result = view_of(OWN, &own_fd, e);
    if (result == 0)
        result = view_of(OWN "/hosts", &hosts_fd, e);
    if (result == 0 && umount2(OWN, MNT_DETACH) < 0)
        result = err_sys(e, -errno, "unmount %s", OWN);
    if (result == 0)
        result = attach(own_fd, OWN, e);
    return result == 0 ? attach(hosts_fd, "/etc/hosts", e) : result;
}

int rootfs_process_finish(struct rootfs_process *process, struct err *e)
{
    FD_AUTO int tmp_fd = -1;
    FD_AUTO int own_fd = -1;
    FD_AUTO int notify_fd = -1;
    int result = rootfs_tmpfs(ROOTFS_PROCESS_TMP_BYTES, "4096", "1777", &tmp_fd, e);
    if (result == 0)
        result = attach(tmp_fd, "/tmp", e);
    if (result == 0)
        result = rootfs_tmpfs("65536", "8", "0755", &own_fd, e);
    if (result == 0)
        result = attach(own_fd, OWN, e);
    if (result == 0 && process->has_notify)
        result = bind_notify(&notify_fd, e);
    if (result < 0)
        return result;
    FD_AUTO int hosts_fd = open(OWN "/hosts", O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644);
    if (hosts_fd < 0)
        return err_sys(e, -errno, "make %s/hosts", OWN);
    result = show_own(e);
    if (result < 0)
        return result;
    process->hosts_fd = fd_take(&hosts_fd);
    process->notify_fd = fd_take(&notify_fd);
    return 0;
}
