/*
 * cmd_doctor.c - `hostd doctor`: does this machine have what a start needs?  Each row is tried, not guessed.
 *
 * A row that fails says what to do about it: a word of the table, or a better one where the check knows why.  What it
 * makes (namespaces, links, a ring, groups, a mount of an empty directory) is gone when it ends.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/io_uring.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hostd/app.h"
#include "hostd/cmd.h"
#include "hostd/options.h"
#include "rootfs/rootfs.h"
#include "rpc/base/compat.h"
#include "rpc/base/own.h"
#include "rpc/base/sealed.h"

#define KERNEL_MAJOR_MIN 6
#define KERNEL_MINOR_MIN 1
#define LANDLOCK_ABI_MIN 2
#define SERVICE_ID 0x20010000u /* one of those that services get (rundir.c) */

struct finding {
    char found[256];    /* of a row that is well */
    const char *remedy; /* of one that is not; set to the table's before the check runs */
    bool is_hinted;     /* ... and the hint of the error is a better one */
    struct err error;
};

/* An error that a start would say ends with a hint, for a start; takes it off.  One row gives one advice. */
static const char *cut_hint(struct err *e)
{
    size_t bytes = strlen(e->text);
    char *hint = strrchr(e->text, '(');
    if (bytes == 0 || e->text[bytes - 1] != ')' || !hint || hint == e->text)
        return NULL;
    e->text[bytes - 1] = '\0';
    hint[-1] = '\0';
    return hint + 1;
}

static int check_root(struct finding *f)
{
    (void)snprintf(f->found, sizeof f->found, "user id %u", geteuid());
    return geteuid() == 0 ? 0 : err_set(&f->error, -EPERM, "this is user %u", geteuid());
}

static int check_kernel(struct finding *f)
{
    struct utsname name;
    int major = 0, minor = 0;
    (void)uname(&name); /* cannot fail with a valid buffer */
    (void)snprintf(f->found, sizeof f->found, "Linux %s %s", name.release, name.machine);
    if (sscanf(name.release, "%d.%d", &major, &minor) != 2 || major < KERNEL_MAJOR_MIN ||
        (major == KERNEL_MAJOR_MIN && minor < KERNEL_MINOR_MIN))
        return err_set(&f->error, -ENOSYS, "this is Linux %s", name.release);
    return 0;
}

static int check_programs(struct finding *f)
{
    char path[PATH_MAX];
    int result = manifest_bin_dir(path);
    if (result < 0)
        return err_sys(&f->error, result, "find the folder of hostd's programs (is /proc mounted?)");
    FD_AUTO int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || faccessat(fd, "initsvc", X_OK, 0) < 0)
        return err_sys(&f->error, -errno, "%s/initsvc", path);
    (void)snprintf(f->found, sizeof f->found, "in %.*s", (int)sizeof f->found - 4, path);
    return 0;
}

/* In a child, because what it takes cannot be given back. */
static int check_ids(struct finding *f)
{
    pid_t pid = fork();
    if (pid == 0) {
        bool is_taken = setgroups(0, NULL) == 0 && setresgid(SERVICE_ID, SERVICE_ID, SERVICE_ID) == 0 &&
                        setresuid(SERVICE_ID, SERVICE_ID, SERVICE_ID) == 0;
        _exit(is_taken ? 0 : errno);
    }
    int status = 0;
    if (pid < 0 || waitpid(pid, &status, 0) < 0)
        return err_sys(&f->error, -errno, "a child to try it in");
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        return err_sys(&f->error, WIFEXITED(status) ? -WEXITSTATUS(status) : -EIO, "become user %u", SERVICE_ID);
    (void)snprintf(f->found, sizeof f->found, "of services: from %u", SERVICE_ID);
    return 0;
}

static int check_namespaces(struct finding *f)
{
    struct clone_args args = {
        .flags = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP,
        .exit_signal = SIGCHLD,
    };
    pid_t pid = (pid_t)syscall(SYS_clone3, &args, sizeof args);
    if (pid == 0)
        _exit(0);
    if (pid < 0) {
        if (errno == ENOSPC || errno == EUSERS)
            f->remedy =
                "there may be no more of them: sysctl -w user.max_user_namespaces=15000, and likewise the others "
                "of user.max_*_namespaces";
        else if (errno == EPERM)
            f->remedy = "do not run hostd in a chroot (use pivot_root), nor in a container that forbids namespaces";
        return err_sys(&f->error, -errno, "clone3 with new namespaces");
    }
    (void)waitpid(pid, NULL, 0); /* our own child, ending at once */
    (void)snprintf(f->found, sizeof f->found, "user, mnt, pid, ipc, uts, cgroup");
    return 0;
}

static int check_wires(struct finding *f)
{
    (void)snprintf(f->found, sizeof f->found, "veth, nftables netdev ingress");
    int result = net_probe(&f->error);
    if (result == -ENOSPC || result == -EUSERS)
        f->remedy = "there may be no more network namespaces: sysctl -w user.max_net_namespaces=15000";
    else if (result == -EPERM)
        f->remedy = "hostd needs CAP_NET_ADMIN and CAP_SYS_ADMIN: start it as a root that keeps its capabilities";
    return result;
}

/* The ring of a service is made by its PID 1, which is root of its own user namespace only: no privilege of ours helps
 * it over this switch, so our own ring proves too little. */
static int check_ring_switch(struct finding *f)
{
    char value[8] = "0";
    FD_AUTO int fd = open("/proc/sys/kernel/io_uring_disabled", O_RDONLY | O_CLOEXEC);
    if (fd < 0 || read(fd, value, sizeof value - 1) <= 0 || value[0] == '0')
        return 0; /* allowed, or a kernel before 6.6, which has no such switch */
    f->remedy = "sysctl -w kernel.io_uring_disabled=0, and the same in /etc/sysctl.d";
    return err_set(&f->error, -EPERM, "kernel.io_uring_disabled is %c", value[0]);
}

static int check_ring(struct finding *f)
{
    struct io_uring_params params = {.flags = SEALED_RING_FLAGS};
    int result = check_ring_switch(f);
    if (result < 0)
        return result;
    FD_AUTO int fd = (int)syscall(SYS_io_uring_setup, 8, &params);
    if (fd < 0)
        return err_sys(&f->error, -errno, "io_uring_setup");
    struct io_uring_restriction restriction = {.opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = IORING_OP_RECV};
    if (syscall(SYS_io_uring_register, fd, IORING_REGISTER_RESTRICTIONS, &restriction, 1) < 0)
        return err_sys(&f->error, -errno, "restrict a ring");
    (void)snprintf(f->found, sizeof f->found, "io_uring with restrictions");
    return 0;
}

static int check_landlock(struct finding *f)
{
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    if (abi < 0)
        return err_sys(&f->error, -errno, "landlock_create_ruleset");
    if (abi < LANDLOCK_ABI_MIN)
        return err_set(&f->error, -EOPNOTSUPP, "it has ABI %ld, %d is needed", abi, LANDLOCK_ABI_MIN);
    (void)snprintf(f->found, sizeof f->found, "ABI %ld", abi);
    return 0;
}

static int check_seccomp(struct finding *f)
{
    uint32_t action = SECCOMP_RET_KILL_PROCESS;
    if (syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) < 0)
        return err_sys(&f->error, -errno, "seccomp");
    struct filter filter;
    int result = filter_service(PROFILE_BARE, &filter, &f->error);
    (void)snprintf(f->found, sizeof f->found, "filters; the smallest has %u instructions", filter.count);
    return result;
}

static int check_cgroups(struct finding *f)
{
    struct cgroup_trees trees;
    char name[32];
    cgroup_detect(&trees);
    bool has_cpu = trees.is_v2 ? trees.v2[CGROUP_CPU] : trees.v1[CGROUP_CPU][0];
    const struct cgroup_limits limits = {.memory_bytes = 64u << 20, .pids = 8, .cpu_percent = has_cpu ? 50 : 0};
    (void)snprintf(name, sizeof name, "doctor.%d", (int)getpid()); /* the dot: no application has such a name */
    int result = cgroup_make(&trees, name, "probe", &limits, &f->error);
    (void)cgroup_remove(&trees, name, "probe"); /* ours and empty */
    if (result == -EROFS || result == -EACCES || result == -EPERM)
        f->remedy =
            "control groups must be writable: mount them read-write; a container needs its own (delegated) tree";
    f->is_hinted = result == -EBUSY;
    (void)snprintf(f->found, sizeof f->found, "%s%s", trees.is_v2 ? "version 2: " : "version 1: memory, pids",
                   trees.is_v2 ? trees.unified
                   : has_cpu   ? ", cpu"
                               : "; no cpu: a list that says 'cpu' wants accept_missing = [\"cpu\"]");
    return result;
}

static int check_run(struct finding *f)
{
    char path[] = "/run/hostd-doctor-XXXXXX";
    if (!mkdtemp(path))
        return err_sys(&f->error, -errno, "make a directory below /run");
    (void)rmdir(path); /* ours and empty */
    (void)snprintf(f->found, sizeof f->found, "below /run");
    return 0;
}

static int check_state(struct finding *f)
{
    char path[] = "/var/lib/hostd-doctor-XXXXXX";
    (void)snprintf(f->found, sizeof f->found, "idmapped mounts below /var/lib");
    if (!mkdtemp(path))
        return err_sys(&f->error, -errno, "make a directory below /var/lib");
    FD_AUTO int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    FD_AUTO int mount_fd = -1;
    int result =
        fd < 0 ? err_sys(&f->error, -errno, "open %s", path) : rootfs_data_mount(fd, SERVICE_ID, &mount_fd, &f->error);
    (void)rmdir(path);   /* ours and empty */
    f->is_hinted = true; /* which file system it wants */
    return result;
}

static const struct check {
    const char *name;
    int (*run)(struct finding *f);
    bool needs_root;    /* cannot be tried without it */
    const char *remedy; /* what to do when it fails */
} checks[] = {
    {"root", check_root, false, "sudo hostd doctor; a start needs root (but --plain, which isolates nothing)"},
    {"kernel", check_kernel, false, "boot Linux 6.1 or newer"},
    {"programs", check_programs, false,
     "make install: initsvc lies in libexec/hostd beside hostd's bin, or beside hostd"},
    {"host ids", check_ids, true,
     "start hostd outside of a user namespace, or in one that maps all ids and allows setgroups"},
    {"namespaces", check_namespaces, true, "a kernel with user, mount, pid, ipc, uts and cgroup namespaces"},
    {"wires and filters", check_wires, true,
     "a kernel with network namespaces, veth and nftables (modprobe veth nf_tables)"},
    {"sealed rings", check_ring, false,
     "a kernel with io_uring (CONFIG_IO_URING); in a container, a seccomp profile that allows it"},
    {"Landlock", check_landlock, false,
     "boot with lsm=landlock,... and CONFIG_SECURITY_LANDLOCK; or accept_missing = [\"landlock\"] in the list"},
    {"seccomp", check_seccomp, false,
     "a kernel with CONFIG_SECCOMP_FILTER; in a container, a profile that allows seccomp"},
    {"control groups", check_cgroups, true,
     "mount -t cgroup2 cgroup2 /sys/fs/cgroup, or accept_missing = [\"memory\", \"pids\", \"cpu\"] in the list"},
    {"run directory", check_run, true, "mount -t tmpfs tmpfs /run"},
    {"data directories", check_state, true,
     "services with 'data' want a writable /var/lib (or --state-dir) on ext4, xfs, btrfs or tmpfs"},
};

int cmd_doctor(int argc, char **argv)
{
    static const struct option known[] = {{0}};
    if (option_next(argc, argv, "", known) != -1)
        return 2;
    if (optind != argc)
        return cmd_wrong(argv[0], "no arguments expected");
    int missing = 0;
    for (size_t i = 0; i < ARRAY_COUNT(checks); i++) {
        struct finding f = {.remedy = checks[i].remedy};
        if (checks[i].needs_root && geteuid() != 0) {
            (void)printf("?        %-18s not tried without root\n", checks[i].name);
        } else if (checks[i].run(&f) == 0) {
            (void)printf("ok       %-18s %s\n", checks[i].name, f.found);
        } else {
            const char *hint = cut_hint(&f.error);
            (void)printf("MISSING  %-18s %s\n         to do:             %s\n", checks[i].name, f.error.text,
                         f.is_hinted && hint ? hint : f.remedy);
            missing++;
        }
    }
    return missing ? 1 : 0;
}
