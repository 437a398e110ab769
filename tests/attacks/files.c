/*
 * files.c - rows F01 to F13: out of the root, onto the host's files and devices.
 *
 * The service that tries them has a data directory /box and a host's file /launcher.
 */
#include <fcntl.h>
#include <linux/fs.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>

#include "rpc/base/own.h"
#include "tests/attacks/attack.h"

static long try_open(struct attempt *a, const char *path, int flags)
{
    long fd = CALL(openat, AT_FDCWD, path, flags | O_CLOEXEC);
    tried(a, path, fd);
    return fd;
}

/* ---- F01, F05 to F07: what lies outside ---- */

static void walk_out(struct attempt *a)
{
    static const char *const paths[] = {
        "/../etc/passwd",         "/box/../../etc/passwd", "/proc/self/root/etc/passwd",
        "/proc/1/cwd/etc/passwd", "/box/up/etc/passwd", /* up -> /.. on disk */
    };
    for (size_t i = 0; i < ARRAY_COUNT(paths); i++)
        (void)try_open(a, paths[i], O_RDONLY);
    tried(a, "linkat", CALL(linkat, AT_FDCWD, "/../etc/passwd", AT_FDCWD, "/box/passwd", 0));
}

/* /box/link was made on disk and points to the service's own program: harmless there, but a link is followed. */
static void follow_a_link(struct attempt *a)
{
    (void)try_open(a, "/box/link", O_RDONLY);
}

/* The host mounted something at `flow` after the service had started. */
static void mounts_flow_in(struct attempt *a)
{
    char path[300];
    (void)snprintf(path, sizeof path, "/..%s/marker", argument("flow"));
    (void)try_open(a, path, O_RDONLY);
}

static void host_files(struct attempt *a)
{
    static const char *const names[] = {"toml", "state", "run"};
    extern char **environ;
    char path[300];
    for (size_t i = 0; i < ARRAY_COUNT(names); i++)
        for (int up = 0; up < 2; up++) {
            (void)snprintf(path, sizeof path, "%s%s", up ? "/.." : "", argument(names[i]));
            (void)try_open(a, path, O_RDONLY);
        }
    (void)try_open(a, "/den", O_RDONLY); /* the data directory of another service */
    for (char **entry = environ; entry && *entry; entry++)
        if (strncmp(*entry, "HOSTD_WEAKEN=", 13) != 0) /* the test build's own */
            won(a, "the environment");
}

static void kernel_files(struct attempt *a)
{
    static const char *const paths[] = {"/proc/kallsyms",          "/proc/kcore", "/proc/keys", "/proc/version",
                                        "/proc/sys/kernel/ostype", "/sys/kernel"};
    char path[64];
    for (size_t i = 0; i < ARRAY_COUNT(paths); i++)
        for (int up = 0; up < 2; up++) {
            (void)snprintf(path, sizeof path, "%s%s", up ? "/.." : "", paths[i]);
            (void)try_open(a, path, O_RDONLY);
        }
    (void)try_open(a, "/proc/sysrq-trigger", O_WRONLY);
    (void)try_open(a, "/proc/sys/kernel/core_pattern", O_WRONLY);
}

/* ---- F04: mounts ---- */

static void change_mounts(struct attempt *a)
{
    tried(a, "mount", CALL(mount, "none", "/bin", "tmpfs", 0, NULL));
    tried(a, "remount", CALL(mount, NULL, "/", NULL, MS_REMOUNT | MS_BIND, NULL));
    tried(a, "umount", CALL(umount2, "/box", MNT_DETACH));
    tried(a, "move_mount", CALL(move_mount, AT_FDCWD, "/bin", AT_FDCWD, "/box", 0));
    tried(a, "pivot_root", CALL(pivot_root, "/bin", "/bin"));
}

/* What Landlock lets through: it attaches nothing yet, but is half of a mount, or another root. */
static void prepare_mounts(struct attempt *a)
{
    tried(a, "open_tree", CALL(open_tree, AT_FDCWD, "/", 1 /* OPEN_TREE_CLONE */));
    tried(a, "fsopen", CALL(fsopen, "tmpfs", 0));
    tried(a, "chroot", CALL(chroot, "/bin"));
}

/* ---- F08: devices ---- */

static void devices(struct attempt *a)
{
    static const char *const paths[] = {"/dev/sda", "/dev/vda", "/dev/kvm", "/dev/mem", "/dev/fuse"};
    for (size_t i = 0; i < ARRAY_COUNT(paths); i++)
        (void)try_open(a, paths[i], O_RDWR);
    (void)unshare(CLONE_NEWNS);
    long result = CALL(mount, "none", "/bin", "tmpfs", 0, NULL); /* a place where one may write */
    if (result < 0) {
        tried(a, "mount", result);
        return;
    }
    result = CALL(mknodat, AT_FDCWD, "/bin/zero", S_IFCHR | 0600, makedev(1, 5));
    if (result < 0)
        tried(a, "mknod", result);
    else
        (void)try_open(a, "/bin/zero", O_RDWR);
}

/* ---- F09: write and execute ---- */

/* Its own program, copied into a place where it may write. */
static long copy_program(const char *to)
{
    static char bytes[1 << 16];
    char from[64];
    (void)snprintf(from, sizeof from, "/bin/%s", contract ? contract->service : "keeper");
    long source = CALL(openat, AT_FDCWD, from, O_RDONLY | O_CLOEXEC);
    long target = CALL(openat, AT_FDCWD, to, O_WRONLY | O_CREAT | O_CLOEXEC, 0755);
    ssize_t got = 0;
    off_t offset = 0;
    if (source < 0 || target < 0)
        return source < 0 ? source : target;
    while ((got = pread((int)source, bytes, sizeof bytes, offset)) > 0) {
        if (pwrite((int)target, bytes, (size_t)got, offset) != got)
            return -EIO;
        offset += got;
    }
    (void)close((int)source);
    (void)close((int)target); /* else: text file busy */
    return got < 0 ? -errno : 0;
}

static char payload_name[] = "payload", payload_flag[] = "--payload", payload_row[] = "F09", memory_row[] = "F09b",
            *payload_argv[] = {payload_name, payload_flag, payload_row, NULL},
            *memory_argv[] = {payload_name, payload_flag, memory_row, NULL}, *payload_envp[] = {NULL};

static void execute_a_written_file(struct attempt *a)
{
    long result = copy_program("/box/program");
    if (result < 0)
        tried(a, "write", result);
    else /* the form that a sealed service's filter lets through: the path is a pointer, which it cannot look at */
        tried(a, "execveat", CALL(execveat, AT_FDCWD, "/box/program", payload_argv, payload_envp, AT_EMPTY_PATH));
}

static void execute_memory(struct attempt *a)
{
    static char bytes[1 << 16];
    long program = CALL(openat, AT_FDCWD, "/bin/keeper", O_RDONLY), fd = CALL(memfd_create, "program", 0);
    if (program < 0 || fd < 0) {
        tried(a, "memfd_create", fd < 0 ? fd : program);
        return;
    }
    for (off_t at = 0, got; (got = pread((int)program, bytes, sizeof bytes, at)) > 0; at += got)
        if (pwrite((int)fd, bytes, (size_t)got, at) != got)
            return;
    tried(a, "execveat", CALL(execveat, fd, "", memory_argv, payload_envp, AT_EMPTY_PATH));
}

/* ---- F10 to F13 ---- */

static void deep_directories(struct attempt *a)
{
    tried(a, "mkdir", CALL(mkdirat, AT_FDCWD, "/box/deep", 0700));
    tried(a, "rename", CALL(renameat2, AT_FDCWD, "/box/deep", AT_FDCWD, "/box/deeper", 0));
}

static void open_by_handle(struct attempt *a)
{
    union {
        struct file_handle head;
        char bytes[sizeof(struct file_handle) + MAX_HANDLE_SZ];
    } handle = {.head.handle_bytes = MAX_HANDLE_SZ};
    int mount_id;
    long mount_fd = CALL(openat, AT_FDCWD, "/box", O_RDONLY | O_DIRECTORY);
    long result = CALL(name_to_handle_at, AT_FDCWD, "/box", &handle, &mount_id, 0);
    tried(a, "open_by_handle_at", result < 0 ? result : CALL(open_by_handle_at, mount_fd, &handle, O_RDONLY));
}

static void host_name(struct attempt *a)
{
    struct utsname name = {0};
    long result = CALL(uname, &name);
    if (result < 0)
        tried(a, "uname", result);
    else if (strcmp(name.nodename, argument("hostname")) == 0)
        won(a, "the host's name");
    else
        refused(a, "the service's name");
    (void)try_open(a, "/proc/self/mountinfo", O_RDONLY);
    (void)try_open(a, "/proc/self/cgroup", O_RDONLY);
}

static void planted_fifo(struct attempt *a)
{
    struct stat status;
    long fd = CALL(openat, AT_FDCWD, "/box/fifo", O_RDONLY | O_NONBLOCK);
    if (fd < 0 || fstat((int)fd, &status) < 0)
        tried(a, "fifo", fd);
    else
        won(a, "%s", S_ISFIFO(status.st_mode) ? "a FIFO of another service" : "a file of another service");
}

/* What a file of the service holds: whose data it is that was mounted (F02). */
static void read_marker(struct attempt *a)
{
    char bytes[64] = "";
    long fd = CALL(openat, AT_FDCWD, "/box/marker", O_RDONLY);
    if (fd < 0 || read((int)fd, bytes, sizeof bytes - 1) < 0)
        tried(a, "marker", fd);
    else if (strncmp(bytes, "outside", 7) == 0)
        won(a, "a directory outside was mounted");
    else
        refused(a, "its own data");
}

const struct row rows_files[] = {
    {"F01", walk_out},        {"F01b", follow_a_link},
    {"F02", read_marker},     {"F04", change_mounts},
    {"F04b", prepare_mounts}, {"F05", mounts_flow_in},
    {"F06", host_files},      {"F07", kernel_files},
    {"F08", devices},         {"F09", execute_a_written_file, true},
    {"F09b", execute_memory}, {"F10", deep_directories},
    {"F11", open_by_handle},  {"F12", host_name},
    {"F13", planted_fifo},    {NULL, NULL},
};
