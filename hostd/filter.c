/*
 * filter.c - see filter.h.  Pure but for a memfd that libseccomp writes the compiled filter into.
 *
 * Each table is a list of names, each with the arguments it must have.  A name may stand there more than once: any
 * match allows the call.  To let PID 1 or a service do more, add a row, and say why behind it; the unit test compares
 * every system call number with these tables.
 */
#include "hostd/filter.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <netinet/in.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "rpc/base/own.h"
#include "rpc/base/weaken.h"

#define CONDITIONS_MAX 3u
#define TABLES_MAX 3u

struct condition {
    uint32_t argument;
    uint64_t mask, value; /* allowed when (argument & mask) == value, over all 64 bits */
};

struct rule {
    const char *name;
    int refusal; /* 0: allowed; else the errno of a refusal that programs expect, in place of EPERM */
    uint32_t condition_count;
    struct condition conditions[CONDITIONS_MAX];
};

#define ARGUMENT_IS(number, wanted)                                                                                    \
    {                                                                                                                  \
        .argument = (number), .mask = UINT64_MAX, .value = (uint64_t)(wanted)                                          \
    }
#define ARGUMENT_BITS(number, allowed)                                                                                 \
    {                                                                                                                  \
        .argument = (number), .mask = ~(uint64_t)(allowed), .value = 0                                                 \
    }
#define ARGUMENT_IS_WITH(number, wanted, allowed)                                                                      \
    {                                                                                                                  \
        .argument = (number), .mask = ~(uint64_t)(allowed), .value = (uint64_t)(wanted)                                \
    }
#define ANY(call)                                                                                                      \
    {                                                                                                                  \
        .name = (call)                                                                                                 \
    }
#define ANY2(a, b) ANY(a), ANY(b)
#define ANY3(a, b, c) ANY2(a, b), ANY(c)
#define ANY4(a, b, c, d) ANY2(a, b), ANY2(c, d)
#define WHEN(call, ...)                                                                                                \
    {                                                                                                                  \
        .name = (call), .condition_count = sizeof((struct condition[]){__VA_ARGS__}) / sizeof(struct condition),       \
        .conditions = {                                                                                                \
            __VA_ARGS__                                                                                                \
        }                                                                                                              \
    }

#define REFUSE(call, code, ...)                                                                                        \
    {                                                                                                                  \
        .name = (call), .refusal = (code),                                                                             \
        .condition_count = sizeof((struct condition[]){__VA_ARGS__}) / sizeof(struct condition), .conditions = {       \
            __VA_ARGS__                                                                                                \
        }                                                                                                              \
    }

/* What every service needs: its ring, its pipes, memory that is never executable, and the one exec that starts it. */
static const struct rule bare[] = {
    ANY("io_uring_enter"), /* first: the hot path; the ring itself is restricted */
    WHEN("io_uring_register", ARGUMENT_IS(1, IORING_REGISTER_FILES_UPDATE)), /* frees a slot */
    ANY("read"),
    ANY("write"), /* stdout, stderr, notes, the eventfd */
    ANY("close"),
    ANY("brk"),
    WHEN("mmap", ARGUMENT_BITS(2, PROT_READ | PROT_WRITE)),
    WHEN("mprotect", ARGUMENT_BITS(2, PROT_READ | PROT_WRITE)),
    ANY("arch_prctl"), /* libc's thread register, at start */
    ANY("exit_group"),
    /* PID 1's child starts the program with it.  The path cannot be checked (it is a pointer), but with AT_EMPTY_PATH
     * and a path that is not empty the kernel walks the path: that is why the root holds one program and mounts noexec.
     */
    WHEN("execveat", ARGUMENT_IS(4, AT_EMPTY_PATH)),
    ANY("getrandom"),
};

#define OPEN_READ (O_RDONLY | O_CLOEXEC | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY)

/* Reads files of its root by path. */
static const struct rule files[] = {
    WHEN("openat", ARGUMENT_BITS(2, OPEN_READ)),
    ANY("fstat"),
    ANY("newfstatat"),
    ANY("lseek"),
    ANY("pread64"),
    ANY("getdents64"),
    ANY("munmap"), /* of large buffers, and of mapped files */
};

/* pthread_create of glibc, exactly: no other set of flags, and with it no new namespace and no new process. */
#define CLONE_THREAD_FLAGS                                                                                             \
    (CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM | CLONE_SETTLS |                 \
     CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID)

/* SQLite with a write-ahead log on a worker thread, OpenSSL's random numbers and key derivation: found by tracing them.
 */
static const struct rule data[] = {
    WHEN("openat", ARGUMENT_BITS(2, OPEN_READ | O_WRONLY | O_RDWR | O_CREAT | O_EXCL)),
    ANY("fstat"),
    ANY("newfstatat"),
    ANY("lseek"),
    ANY("pread64"),
    ANY("pwrite64"),
    ANY("fsync"),
    ANY("fdatasync"),
    ANY("ftruncate"),
    ANY("unlink"),
    WHEN("fcntl", ARGUMENT_IS(1, F_SETLK)),
    WHEN("fcntl", ARGUMENT_IS(1, F_GETLK)),
    ANY("munmap"),
    ANY("madvise"), /* a thread's stack is given back */
    ANY("futex"),
    WHEN("clone", ARGUMENT_IS(0, CLONE_THREAD_FLAGS)),
    ANY("rt_sigprocmask"), /* libc, around clone */
    ANY("exit"),           /* a thread ends */
};

/* ---- process services: any program ---- */

#define SOCKET_FLAGS (SOCK_CLOEXEC | SOCK_NONBLOCK)
#define CLONE_NAMESPACES                                                                                               \
    (CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET)

/*
 * Threads and processes, files, sockets on its wires; no other program, no namespace, no ring, nothing that changes
 * the machine.  memfd_create is left out with execve: execveat of a memfd would be another program.  Memory may be
 * executable (libraries are), but never writable at the same time.
 */
static const struct rule process[] = {
    /* the one exec that starts it, as in `bare` */
    WHEN("execveat", ARGUMENT_IS(4, AT_EMPTY_PATH)),
    /* memory */
    ANY("brk"),
    WHEN("mmap", ARGUMENT_BITS(2, PROT_READ | PROT_WRITE)),
    WHEN("mmap", ARGUMENT_BITS(2, PROT_READ | PROT_EXEC)),
    WHEN("mprotect", ARGUMENT_BITS(2, PROT_READ | PROT_WRITE)),
    WHEN("mprotect", ARGUMENT_BITS(2, PROT_READ | PROT_EXEC)),
    ANY4("munmap", "mremap", "madvise", "msync"),
    ANY2("mincore", "membarrier"),
    /* processes and threads; clone3, whose flags a filter cannot see, is ENOSYS in every profile */
    WHEN("clone", ARGUMENT_BITS(0, 0xFFFFFFFFu & ~(unsigned)(CLONE_NAMESPACES | CLONE_PTRACE | CLONE_PARENT))),
    ANY4("fork", "vfork", "exit", "exit_group"),
    ANY4("wait4", "waitid", "arch_prctl", "set_tid_address"),
    ANY4("set_robust_list", "get_robust_list", "rseq", "futex"),
    /* of its own, by 0: PID 1 has its real user, and by a number could be slowed down */
    WHEN("sched_setaffinity", ARGUMENT_IS(0, 0)),
    WHEN("setpriority", ARGUMENT_IS(0, PRIO_PROCESS), ARGUMENT_IS(1, 0)),
    ANY3("sched_yield", "sched_getaffinity", "sched_getparam"),
    ANY4("sched_getscheduler", "sched_get_priority_max", "sched_get_priority_min", "getpriority"),
    ANY3("getpid", "getppid", "gettid"),
    ANY4("getpgid", "getpgrp", "getsid", "setpgid"),
    ANY4("setsid", "getuid", "geteuid", "getgid"),
    ANY4("getegid", "getresuid", "getresgid", "getgroups"),
    ANY4("capget", "getcpu", "getrusage", "getrlimit"),
    ANY("setrlimit"), /* the hard ones cannot be raised */
    ANY4("prlimit64", "times", "uname", "sysinfo"),
    ANY("umask"),
    WHEN("prctl", ARGUMENT_IS(0, PR_SET_NAME)),
    WHEN("prctl", ARGUMENT_IS(0, PR_GET_NAME)),
    WHEN("prctl", ARGUMENT_IS(0, PR_SET_PDEATHSIG)),
    WHEN("prctl", ARGUMENT_IS(0, PR_GET_DUMPABLE)),
    WHEN("prctl", ARGUMENT_IS(0, PR_SET_DUMPABLE)),
    WHEN("prctl", ARGUMENT_IS(0, PR_CAPBSET_READ)),
    WHEN("prctl", ARGUMENT_IS(0, PR_GET_NO_NEW_PRIVS)),
    WHEN("prctl", ARGUMENT_IS(0, PR_SET_VMA)), /* names of memory, by malloc */
    /* signals, among its own processes: Landlock and the PID namespace see to that */
    ANY4("kill", "tkill", "tgkill", "pidfd_open"),
    ANY4("pidfd_send_signal", "rt_sigaction", "rt_sigprocmask", "rt_sigreturn"),
    ANY4("rt_sigpending", "rt_sigtimedwait", "rt_sigsuspend", "rt_sigqueueinfo"),
    ANY3("sigaltstack", "pause", "restart_syscall"),
    /* time: to read, to wait for */
    ANY4("time", "gettimeofday", "clock_gettime", "clock_getres"),
    ANY4("clock_nanosleep", "nanosleep", "alarm", "getitimer"),
    ANY4("setitimer", "timer_create", "timer_settime", "timer_gettime"),
    ANY4("timer_getoverrun", "timer_delete", "timerfd_create", "timerfd_settime"),
    ANY("timerfd_gettime"),
    /* events */
    ANY4("poll", "ppoll", "select", "pselect6"),
    ANY4("epoll_create", "epoll_create1", "epoll_ctl", "epoll_wait"),
    ANY4("epoll_pwait", "epoll_pwait2", "eventfd", "eventfd2"),
    ANY4("signalfd", "signalfd4", "inotify_init", "inotify_init1"),
    ANY2("inotify_add_watch", "inotify_rm_watch"),
    ANY("io_setup"), /* asynchronous reads of files, nginx's; not io_uring */
    ANY4("io_submit", "io_cancel", "io_getevents", "io_pgetevents"),
    ANY("io_destroy"),
    /* descriptors */
    ANY4("read", "readv", "pread64", "preadv"),
    ANY4("preadv2", "write", "writev", "pwrite64"),
    ANY4("pwritev", "pwritev2", "lseek", "close"),
    ANY4("close_range", "dup", "dup2", "dup3"),
    ANY3("pipe", "pipe2", "fcntl"),
    WHEN("ioctl", ARGUMENT_IS(1, FIONBIO)),
    WHEN("ioctl", ARGUMENT_IS(1, FIOASYNC)),
    WHEN("ioctl", ARGUMENT_IS(1, FIONREAD)),
    WHEN("ioctl", ARGUMENT_IS(1, FIOCLEX)),
    WHEN("ioctl", ARGUMENT_IS(1, FIONCLEX)),
    WHEN("ioctl", ARGUMENT_IS(1, TCGETS)), /* isatty */
    ANY4("sendfile", "splice", "tee", "copy_file_range"),
    ANY("getrandom"),
    /* files: what there is to open is decided by the root and by Landlock */
    ANY4("open", "openat", "openat2", "creat"),
    ANY4("stat", "fstat", "lstat", "newfstatat"),
    ANY4("statx", "statfs", "fstatfs", "access"),
    ANY4("faccessat", "faccessat2", "readlink", "readlinkat"),
    ANY4("getdents", "getdents64", "getcwd", "chdir"),
    ANY4("fchdir", "mkdir", "mkdirat", "rmdir"),
    ANY4("unlink", "unlinkat", "rename", "renameat"),
    ANY4("renameat2", "link", "linkat", "symlink"),
    ANY4("symlinkat", "chmod", "fchmod", "fchmodat"),
    ANY4("truncate", "ftruncate", "fallocate", "fsync"),
    ANY4("fdatasync", "sync_file_range", "fadvise64", "readahead"),
    ANY4("flock", "utime", "utimes", "futimesat"),
    ANY4("utimensat", "getxattr", "lgetxattr", "fgetxattr"),
    ANY3("listxattr", "llistxattr", "flistxattr"),
    /* sockets: IPv4 TCP and UDP, and unix ones; other families are refused as a kernel without them would */
    WHEN("socket", ARGUMENT_IS(0, AF_INET), ARGUMENT_IS_WITH(1, SOCK_STREAM, SOCKET_FLAGS), ARGUMENT_IS(2, 0)),
    WHEN("socket", ARGUMENT_IS(0, AF_INET), ARGUMENT_IS_WITH(1, SOCK_STREAM, SOCKET_FLAGS),
         ARGUMENT_IS(2, IPPROTO_TCP)),
    WHEN("socket", ARGUMENT_IS(0, AF_INET), ARGUMENT_IS_WITH(1, SOCK_DGRAM, SOCKET_FLAGS), ARGUMENT_IS(2, 0)),
    WHEN("socket", ARGUMENT_IS(0, AF_INET), ARGUMENT_IS_WITH(1, SOCK_DGRAM, SOCKET_FLAGS), ARGUMENT_IS(2, IPPROTO_UDP)),
    WHEN("socket", ARGUMENT_IS(0, AF_UNIX), ARGUMENT_IS_WITH(1, SOCK_STREAM, SOCKET_FLAGS), ARGUMENT_IS(2, 0)),
    WHEN("socket", ARGUMENT_IS(0, AF_UNIX), ARGUMENT_IS_WITH(1, SOCK_DGRAM, SOCKET_FLAGS), ARGUMENT_IS(2, 0)),
    WHEN("socket", ARGUMENT_IS(0, AF_UNIX), ARGUMENT_IS_WITH(1, SOCK_SEQPACKET, SOCKET_FLAGS), ARGUMENT_IS(2, 0)),
    REFUSE("socket", EAFNOSUPPORT, ARGUMENT_IS(0, AF_INET6)),
    WHEN("socketpair", ARGUMENT_IS(0, AF_UNIX)),
    ANY4("accept", "accept4", "bind", "connect"),
    ANY4("listen", "shutdown", "getsockname", "getpeername"),
    ANY4("getsockopt", "setsockopt", "sendto", "sendmsg"),
    ANY4("sendmmsg", "recvfrom", "recvmsg", "recvmmsg"),
};

/* A shell and what it starts, beside a service: a process that may be any program of its root, one after the other. */
static const struct rule tools[] = {
    ANY("execve"),
};

/* PID 1 after its loop starts: waits, moves bytes, reaps, ends. */
static const struct rule init[] = {
    ANY("poll"),
    ANY("ppoll"),
    ANY("restart_syscall"), /* poll with a timeout, after a stop and a continue */
    ANY("read"),
    ANY("write"),
    ANY("pwrite64"), /* the status file, /etc/hosts of a process */
    ANY("recvfrom"), /* libc's recv and send, on the stage socket */
    ANY("recvmsg"),
    ANY("sendto"),
    ANY("sendmsg"),
    ANY("accept4"),    /* the next hostd */
    ANY("getsockopt"), /* who that is; of a sealed service also how a connect went */
    ANY("wait4"),
    ANY("close"),
    ANY("clock_gettime"),                                               /* where the vDSO has no clock */
    ANY("ftruncate"),                                                   /* the log files */
    WHEN("prctl", ARGUMENT_IS(0, PR_SET_PDEATHSIG), ARGUMENT_IS(1, 0)), /* outlive hostd, once the service is ready */
    ANY("brk"),
    WHEN("mmap", ARGUMENT_BITS(2, PROT_READ | PROT_WRITE)),
    ANY("munmap"),
    ANY("exit_group"),
};

/* Of a sealed service: makes wires and hands them over. */
static const struct rule init_sealed[] = {
    WHEN("socket", ARGUMENT_IS(0, AF_INET), ARGUMENT_IS_WITH(1, SOCK_STREAM, SOCK_CLOEXEC | SOCK_NONBLOCK)),
    ANY("setsockopt"),
    ANY("bind"),
    ANY("listen"),
    ANY("connect"),
    WHEN("fcntl", ARGUMENT_IS(1, F_SETFL)),
    ANY("io_uring_enter"),
    WHEN("io_uring_register", ARGUMENT_IS(1, IORING_REGISTER_FILES_UPDATE)),
};

/* Of a process: asks it to end. */
static const struct rule init_process[] = {
    WHEN("kill", ARGUMENT_IS(1, SIGTERM)),
};

/* The child that parses the TOML: memory, and requests to its parent. */
static const struct rule parser[] = {
    ANY("recvmsg"),
    ANY("sendmsg"),
    ANY("close"),
    ANY("fstat"),
    ANY("newfstatat"),
    ANY("brk"),
    WHEN("mmap", ARGUMENT_BITS(2, PROT_READ | PROT_WRITE)),
    WHEN("mprotect", ARGUMENT_BITS(2, PROT_READ | PROT_WRITE)),
    ANY("mremap"),
    ANY("munmap"),
    ANY("madvise"),
    ANY("getrandom"), /* libc's malloc, once */
    ANY("exit_group"),
};

/* `hostd call`, once it has its connection: bytes of a service that may lie about what it is. */
static const struct rule client[] = {
    ANY("read"), /* the connection, and the program's notes are mapped already */
    ANY("write"),
    ANY("recvfrom"),
    ANY("sendto"),
    ANY("poll"),
    ANY("ppoll"),
    ANY("restart_syscall"),
    ANY("close"),
    ANY("fstat"), /* of stdout, by stdio */
    ANY("newfstatat"),
    ANY("brk"),
    WHEN("mmap", ARGUMENT_BITS(2, PROT_READ | PROT_WRITE)),
    WHEN("mprotect", ARGUMENT_BITS(2, PROT_READ | PROT_WRITE)),
    ANY("mremap"),
    ANY("munmap"),
    ANY("madvise"),
    ANY("getrandom"),
    ANY("clock_gettime"),
    ANY("lseek"), /* of stdout, by stdio */
    ANY("exit_group"),
};

struct table {
    const struct rule *rules;
    size_t count;
};
#define TABLE(rules_)                                                                                                  \
    {                                                                                                                  \
        .rules = (rules_), .count = ARRAY_COUNT(rules_)                                                                \
    }

static const struct table service_tables[][TABLES_MAX] = {
    [PROFILE_BARE] = {TABLE(bare)},
    [PROFILE_FILES] = {TABLE(bare), TABLE(files)},
    [PROFILE_DATA] = {TABLE(bare), TABLE(data)},
    [PROFILE_PROCESS] = {TABLE(process)},
};
_Static_assert(ARRAY_COUNT(service_tables) == PROFILE_COUNT, "every profile has its tables");

static const struct table tools_tables[TABLES_MAX] = {TABLE(process), TABLE(tools)};
static const struct table init_tables[][TABLES_MAX] = {
    [KIND_SEALED] = {TABLE(init), TABLE(init_sealed)},
    [KIND_PROCESS] = {TABLE(init), TABLE(init_process)},
};
_Static_assert(ARRAY_COUNT(init_tables) == KIND_COUNT, "every kind has its tables");
static const struct table parser_tables[TABLES_MAX] = {TABLE(parser)};
static const struct table client_tables[TABLES_MAX] = {TABLE(client)};

static int compile(const struct table tables[TABLES_MAX], const char *what, struct filter *ret_filter, struct err *e);
static const char *name_at(const struct table tables[TABLES_MAX], size_t index);

int filter_service(enum plan_profile profile, struct filter *ret_filter, struct err *e)
{
    assert(profile < PROFILE_COUNT);
    return compile(service_tables[profile], plan_profile_name(profile), ret_filter, e);
}

int filter_tools(struct filter *ret_filter, struct err *e)
{
    return compile(tools_tables, "tools", ret_filter, e);
}

int filter_init(enum manifest_kind kind, struct filter *ret_filter, struct err *e)
{
    assert(kind < KIND_COUNT);
    return compile(init_tables[kind], "init", ret_filter, e);
}

int filter_parser(struct filter *ret_filter, struct err *e)
{
    return compile(parser_tables, "parser", ret_filter, e);
}

int filter_client(struct filter *ret_filter, struct err *e)
{
    return compile(client_tables, "client", ret_filter, e);
}

const char *filter_service_name(enum plan_profile profile, size_t index)
{
    assert(profile < PROFILE_COUNT);
    return name_at(service_tables[profile], index);
}

const char *filter_init_name(enum manifest_kind kind, size_t index)
{
    assert(kind < KIND_COUNT);
    return name_at(init_tables[kind], index);
}

/* Name number `index` of a list of tables; rows of one name stand next to each other and count once. */
static const char *name_at(const struct table tables[TABLES_MAX], size_t index)
{
    for (size_t t = 0; t < TABLES_MAX; t++)
        for (size_t i = 0; i < tables[t].count; i++) {
            const struct rule *rule = &tables[t].rules[i];
            if (i > 0 && strcmp(rule[-1].name, rule->name) == 0)
                continue;
            if (index-- == 0)
                return rule->name;
        }
    return NULL;
}

static int add_rule(scmp_filter_ctx context, const struct rule *rule)
{
    struct scmp_arg_cmp compare[CONDITIONS_MAX];
    int number = seccomp_syscall_resolve_name(rule->name);
    if (number == __NR_SCMP_ERROR)
        return -ENOSYS;
    if (number < 0)
        return 0; /* not a call of this architecture (arch_prctl, poll, unlink): nothing to allow */
    for (uint32_t i = 0; i < rule->condition_count; i++) {
        const struct condition *condition = &rule->conditions[i];
        compare[i] =
            (struct scmp_arg_cmp){.arg = condition->argument,
                                  .op = SCMP_CMP_MASKED_EQ,
                                  .datum_a = condition->mask & (weakened("high-bits") ? UINT32_MAX : UINT64_MAX),
                                  .datum_b = condition->value};
    }
    uint32_t action = rule->refusal ? SCMP_ACT_ERRNO((uint32_t)rule->refusal) : SCMP_ACT_ALLOW;
    return seccomp_rule_add_array(context, action, number, rule->condition_count, compare);
}

static int fill(scmp_filter_ctx context, const struct table tables[TABLES_MAX], const char *what, struct err *e)
{
    int r = seccomp_attr_set(context, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
    if (r < 0)
        return err_sys(e, r, "filter '%s': wrong architecture", what);
    r = seccomp_rule_add(context, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
    if (r < 0)
        return err_sys(e, r, "filter '%s': clone3", what);
    for (size_t t = 0; t < TABLES_MAX; t++)
        for (size_t i = 0; i < tables[t].count; i++) {
            r = add_rule(context, &tables[t].rules[i]);
            if (r < 0)
                return err_sys(e, r, "filter '%s': %s", what, tables[t].rules[i].name);
        }
    r = seccomp_syscall_priority(context, SCMP_SYS(io_uring_enter), 255);
    if (r < 0)
        return err_sys(e, r, "filter '%s': priority", what);
    return 0;
}

static int export_bytes(scmp_filter_ctx context, const char *what, struct filter *ret_filter, struct err *e)
{
    FD_AUTO int fd = memfd_create("filter", MFD_CLOEXEC);
    if (fd < 0)
        return err_sys(e, -errno, "filter '%s': memfd", what);
    int r = seccomp_export_bpf(context, fd);
    if (r < 0)
        return err_sys(e, r, "filter '%s': compile", what);
    struct filter filter = {0};
    ssize_t got = pread(fd, filter.instructions, sizeof filter.instructions, 0);
    if (got < 0)
        return err_sys(e, -errno, "filter '%s': read back", what);
    char more;
    if (got == 0 || (size_t)got % sizeof filter.instructions[0] || pread(fd, &more, 1, sizeof filter.instructions) != 0)
        return err_set(e, -EOVERFLOW, "filter '%s': more than %u instructions", what, FILTER_MAX);
    filter.count = (uint32_t)((size_t)got / sizeof filter.instructions[0]);
    *ret_filter = filter;
    return 0;
}

static int compile(const struct table tables[TABLES_MAX], const char *what, struct filter *ret_filter, struct err *e)
{
    scmp_filter_ctx context = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    if (!context)
        return err_sys(e, -ENOMEM, "filter '%s'", what);
    int r = fill(context, tables, what, e);
    if (r == 0)
        r = export_bytes(context, what, ret_filter, e);
    seccomp_release(context);
    return r;
}
