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
        "/../etc/login.defs",         "/box/../../etc/login.defs", "/proc/self/root/etc/login.defs",
        "/proc/1/cwd/etc/login.defs", "/box/up/etc/login.defs", /* up -> /.. on disk */
    };
    for (size_t i = 0; i < ARRAY_COUNT(paths); i++)
        (void)try_open(a, paths[i], O_RDONLY);
    tried(a, "linkat", CALL(linkat, AT_FDCWD, "/../etc/login.defs", AT_FDCWD, "/box/linked", 0));
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

/* And the other way: a mount of ours where the host shares what is mounted.  The test looks whether it is seen there.
 */
static void mounts_flow_out(struct attempt *a)
{
    char path[300];
    (void)snprintf(path, sizeof path, "/..%s", argument("flow"));
    tried(a, "mounted", CALL(mount, "attacks-out", path, "tmpfs", 0, NULL));
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
    if (source < 0) /* the same, in a service that has another program */
        source = CALL(openat, AT_FDCWD, "/launcher", O_RDONLY | O_CLOEXEC);
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

static void execute_a_written_file(struct attempt *a)
{
    long result = copy_program("/box/program");
    tried(a, result < 0 ? "write" : "execveat", result < 0 ? result : execute("/box/program", "F09"));
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
    tried(a, "execveat", execute_fd((int)fd, "", "F09b"));
}

/* ---- F10 to F13 ---- */

static void deep_directories(struct attempt *a)
{
    tried(a, "mkdir", CALL(mkdirat, AT_FDCWD, "/box/deep", 0700));
    tried(a, "rename", CALL(renameat2, AT_FDCWD, "/box/deep", AT_FDCWD, "/box/deeper", 0));
}

/* What a service may do to the file system that holds its data, and to files that it shares with others to read. */
#define FILL_FILES 1000
#define FILL_MIB 16

static const char *note_possible(char *text, size_t room, const char *what, long result)
{
    size_t used = strlen(text);
    (void)snprintf(text + used, room - used, "%s%s: %s", used ? ", " : "", what,
                   result >= 0 ? "yes" : strerrorname_np((int)-result));
    return text;
}

static void fill(struct attempt *a)
{
    static char block[1 << 20], text[200];
    char path[64];
    struct flock all = {.l_type = F_RDLCK};
    long fd = CALL(openat, AT_FDCWD, "/box/full", O_RDWR | O_CREAT | O_CLOEXEC, 0600), result = fd;
    for (int i = 0; result >= 0 && i < FILL_MIB; i++)
        result = CALL(pwrite64, fd, block, sizeof block, (off_t)i << 20);
    (void)note_possible(text, sizeof text, "bytes", result);
    (void)CALL(ftruncate, fd, 0);
    result = 0;
    for (int i = 0; result >= 0 && i < FILL_FILES; i++) {
        (void)snprintf(path, sizeof path, "/box/file%d", i);
        result = CALL(openat, AT_FDCWD, path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        (void)CALL(close, result);
    }
    (void)note_possible(text, sizeof text, "1000 files", result);
    for (int i = 0; i < FILL_FILES; i++) {
        (void)snprintf(path, sizeof path, "/box/file%d", i);
        (void)CALL(unlink, path);
    }
    long shared = CALL(openat, AT_FDCWD, "/launcher", O_RDONLY | O_CLOEXEC);
    (void)note_possible(text, sizeof text, "a read lock", CALL(fcntl, shared, F_SETLK, &all));
    all.l_type = F_WRLCK;
    (void)note_possible(text, sizeof text, "a write lock", CALL(fcntl, shared, F_SETLK, &all));
    (void)CALL(unlink, "/box/full");
    refused(a, "%s", note_possible(text, sizeof text, "flock", CALL(flock, shared, 2 /* LOCK_EX */)));
}

/* One file without end: by a length that it is given, and by a byte far out. */
static void large_file(struct attempt *a)
{
    long fd = CALL(openat, AT_FDCWD, "/box/large", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    tried(a, "a hole of 1 TiB", fd < 0 ? fd : CALL(ftruncate, fd, 1L << 40));
    tried(a, "a byte behind it", fd < 0 ? fd : CALL(pwrite64, fd, "x", 1, 1L << 40));
    (void)CALL(unlink, "/box/large");
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

/* A process service sees more of itself: whether it learns the host's paths by it. */
static void paths_of_the_host(struct attempt *a)
{
    static const char *const files[] = {"/proc/self/maps", "/proc/self/mountinfo", "/proc/self/cgroup"};
    static char text[1 << 16];
    for (size_t i = 0; i < ARRAY_COUNT(files); i++) {
        size_t used = 0;
        FD_AUTO int fd = (int)CALL(openat, AT_FDCWD, files[i], O_RDONLY | O_CLOEXEC);
        for (ssize_t got; fd >= 0 && (got = read(fd, text + used, sizeof text - 1 - used)) > 0;)
            used += (size_t)got;
        text[used] = '\0';
        if (fd < 0)
            tried(a, files[i], fd);
        else
            refused(a, "%s: %s", files[i] + sizeof "/proc/self", strstr(text, argument("place")) ? "yes" : "no");
    }
}

static void planted_fifo(struct attempt *a)
{
    static const char *const paths[] = {"/box/fifo", "/box/socket"};
    for (size_t i = 0; i < ARRAY_COUNT(paths); i++) {
        struct stat status;
        long result = CALL(newfstatat, AT_FDCWD, paths[i], &status, 0);
        if (result < 0)
            tried(a, paths[i], result);
        else
            won(a, "a %s of another service",
                S_ISFIFO(status.st_mode)   ? "FIFO"
                : S_ISSOCK(status.st_mode) ? "socket"
                                           : "file");
    }
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
    {"F01", walk_out},
    {"F01b", follow_a_link},
    {"F02", read_marker},
    {"F04", change_mounts},
    {"F04b", prepare_mounts},
    {"F05", mounts_flow_in},
    {"F05b", mounts_flow_out},
    {"F06", host_files},
    {"F07", kernel_files},
    {"F08", devices},
    {"F09", execute_a_written_file, true},
    {"F09b", execute_memory},
    {"F10", deep_directories},
    {"F10b", fill},
    {"F10c", large_file},
    {"F11", open_by_handle},
    {"F12", host_name},
    {"F12b", paths_of_the_host},
    {"F13", planted_fifo},
    {NULL, NULL},
};
