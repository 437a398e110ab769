/*
 * cmd_doctor.c - `hostd doctor`: does this machine have what a start needs?  Each row is tried, not guessed.
 *
 * What it makes (namespaces, a ring, a mount of an empty directory) is gone when it ends.
 */
#include <errno.h>
#include <fcntl.h>
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
#include "rootfs/rootfs.h"
#include "rpc/base/compat.h"
#include "rpc/base/own.h"
#include "rpc/base/sealed.h"

#define KERNEL_MAJOR_MIN 6
#define KERNEL_MINOR_MIN 1
#define LANDLOCK_ABI_MIN 2

static int check_root(char *found, size_t bytes, struct err *e)
{
    (void)snprintf(found, bytes, "user id %u", geteuid());
    return geteuid() == 0 ? 0 : err_set(e, -EPERM, "hostd start needs root: run it with sudo");
}

static int check_kernel(char *found, size_t bytes, struct err *e)
{
    struct utsname name;
    int major = 0, minor = 0;
    (void)uname(&name); /* cannot fail with a valid buffer */
    (void)snprintf(found, bytes, "Linux %s %s", name.release, name.machine);
    if (sscanf(name.release, "%d.%d", &major, &minor) != 2 || major < KERNEL_MAJOR_MIN ||
        (major == KERNEL_MAJOR_MIN && minor < KERNEL_MINOR_MIN))
        return err_set(e, -ENOSYS, "Linux %d.%d or newer is needed", KERNEL_MAJOR_MIN, KERNEL_MINOR_MIN);
    return 0;
}

static int check_namespaces(char *found, size_t bytes, struct err *e)
{
    struct clone_args args = {
        .flags = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP,
        .exit_signal = SIGCHLD,
    };
    pid_t pid = (pid_t)syscall(SYS_clone3, &args, sizeof args);
    if (pid == 0)
        _exit(0);
    if (pid < 0) {
        int code = -errno;
        (void)err_sys(e, code, "clone3 with new namespaces");
        (void)err_hint(e, "allow user namespaces (sysctl user.max_user_namespaces); do not run in a chroot");
        return code;
    }
    (void)waitpid(pid, NULL, 0); /* our own child, ending at once */
    (void)snprintf(found, bytes, "user, mnt, pid, ipc, uts, cgroup");
    return 0;
}

static int check_wires(char *found, size_t bytes, struct err *e)
{
    (void)snprintf(found, bytes, "veth, nftables netdev ingress");
    return net_probe(e);
}

static int check_ring(char *found, size_t bytes, struct err *e)
{
    struct io_uring_params params = {.flags = SEALED_RING_FLAGS};
    FD_AUTO int fd = (int)syscall(SYS_io_uring_setup, 8, &params);
    if (fd < 0) {
        int code = -errno;
        (void)err_sys(e, code, "io_uring_setup");
        (void)err_hint(e, "see sysctl kernel.io_uring_disabled, and seccomp profiles of container engines");
        return code;
    }
    struct io_uring_restriction restriction = {.opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = IORING_OP_RECV};
    if (syscall(SYS_io_uring_register, fd, IORING_REGISTER_RESTRICTIONS, &restriction, 1) < 0)
        return err_sys(e, -errno, "restrict a ring");
    (void)snprintf(found, bytes, "io_uring with restrictions");
    return 0;
}

static int check_landlock(char *found, size_t bytes, struct err *e)
{
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    if (abi < LANDLOCK_ABI_MIN) {
        (void)err_set(e, -EOPNOTSUPP, "no Landlock of ABI %d or newer", LANDLOCK_ABI_MIN);
        return err_hint(e, "boot with lsm=landlock,...; or accept_missing = [\"landlock\"] in the TOML");
    }
    (void)snprintf(found, bytes, "ABI %ld", abi);
    return 0;
}

static int check_seccomp(char *found, size_t bytes, struct err *e)
{
    uint32_t action = SECCOMP_RET_KILL_PROCESS;
    if (syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) < 0)
        return err_sys(e, -errno, "seccomp");
    struct filter filter;
    int result = filter_service(PROFILE_BARE, &filter, e);
    (void)snprintf(found, bytes, "filters; the smallest has %u instructions", filter.count);
    return result;
}

static int check_cgroups(char *found, size_t bytes, struct err *e)
{
    struct cgroup_trees trees;
    cgroup_detect(&trees);
    bool has_all = trees.is_v2 || (trees.v1[CGROUP_MEMORY][0] && trees.v1[CGROUP_PIDS][0] && trees.v1[CGROUP_CPU][0]);
    (void)snprintf(found, bytes, "%s", trees.is_v2 ? trees.unified : "version 1: memory, pids, cpu");
    if (has_all)
        return 0;
    (void)err_set(e, -EOPNOTSUPP, "missing controllers:%s%s%s", trees.v1[CGROUP_MEMORY][0] ? "" : " memory",
                  trees.v1[CGROUP_PIDS][0] ? "" : " pids", trees.v1[CGROUP_CPU][0] ? "" : " cpu");
    return err_hint(e, "mount cgroup2 with its controllers; or name them in accept_missing of the TOML");
}

static int check_state(char *found, size_t bytes, struct err *e)
{
    char path[] = "/var/lib/hostd-doctor-XXXXXX";
    (void)snprintf(found, bytes, "idmapped mounts below /var/lib");
    if (!mkdtemp(path))
        return err_sys(e, -errno, "make a directory below /var/lib");
    FD_AUTO int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    FD_AUTO int mount_fd = -1;
    int result = fd < 0 ? err_sys(e, -errno, "open %s", path) : rootfs_data_mount(fd, 1u << 20, &mount_fd, e);
    (void)rmdir(path); /* ours and empty */
    return result;
}

static const struct check {
    const char *name;
    int (*run)(char *found, size_t bytes, struct err *e);
    bool needs_root; /* cannot be tried without it */
} checks[] = {
    {"root", check_root, false},
    {"kernel", check_kernel, false},
    {"namespaces", check_namespaces, true},
    {"wires and filters", check_wires, true},
    {"sealed rings", check_ring, false},
    {"Landlock", check_landlock, false},
    {"seccomp", check_seccomp, false},
    {"control groups", check_cgroups, false},
    {"data directories", check_state, true},
};

int cmd_doctor(int argc, char **argv)
{
    if (argc > 1) {
        (void)fprintf(stderr, "hostd doctor: takes no arguments, not '%s'\nusage: hostd doctor\n", argv[1]);
        return 2;
    }
    int missing = 0;
    for (size_t i = 0; i < ARRAY_COUNT(checks); i++) {
        char found[256] = "";
        struct err e = {0};
        if (checks[i].needs_root && geteuid() != 0) {
            (void)printf("?        %-18s not tried without root\n", checks[i].name);
            continue;
        }
        if (checks[i].run(found, sizeof found, &e) == 0) {
            (void)printf("ok       %-18s %s\n", checks[i].name, found);
        } else {
            (void)printf("MISSING  %-18s %s\n", checks[i].name, e.text);
            missing++;
        }
    }
    return missing ? 1 : 0;
}
