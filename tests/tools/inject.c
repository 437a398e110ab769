/*
 * inject.c - makes one system call of a start, a stop or a restart fail, or ends its process there.
 *
 *   inject [OPTION ...] -- COMMAND ...                runs the command traced, with everything that it starts
 *   inject --attach PID [OPTION ...] [-- COMMAND ...] traces what runs already; the command itself is not traced
 *
 *   which call      --role ROLE     of that process (default: any)
 *                   --after NAME    only behind the first such call of it
 *                   --call NAME     of that name
 *                   --text PART     whose first or second argument, a path, holds that
 *                   --nth N         the N-th of those that fit, from 1
 *                   --times K       that one and the next K - 1
 *   what then       --error NAME    fails so; "fit": one that this call might give
 *                   --kill          SIGKILL instead of the call
 *   what comes out  --log FILE      "count ROLE N" per process; "hit ROLE N NAME"; "seal ROLE CALL" for each call that
 *                                   succeeded of those that take rights away
 *                   --list          "call ROLE N NAME" per call as well
 *   how long        --seconds S     at most (60)
 *
 * Does what `strace -f -e inject=...:when=N` does, but counts per process of one role over all calls, names the
 * process by what it is, tells whether the call was met, and keeps a list of the protections that were really taken: so
 * a start that went on without one shows.
 *
 * Roles: the first process is "start" (or "hostd" when attached); its forks are start.1, start.2 ..; a child with a
 * PID namespace is .initN, a child of that .service; one with a user namespace alone .idmapN.  What executes something
 * else than hostd or initsvc is let go.
 *
 * A call that fails is not made, but close: that one is made first, because no kernel leaves a descriptor open.  brk
 * fails as the kernel makes it fail: by saying where the end of the heap is already.
 *
 * Exit code: that of the command; 3 when no call fitted, 4 when time was up.  x86-64.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define TASKS_MAX 512
#define ROLE_BYTES 64
#define NO_MATCH 3
#define NO_TIME 4

#ifndef __x86_64__

int main(void)
{
    (void)fprintf(stderr, "inject: knows the registers of x86-64 only\n");
    return 2;
}

#else

struct task {
    pid_t pid;
    bool is_inside;   /* between entry and exit of a call */
    bool is_released; /* traced no longer than to be let go */
    bool is_waiting;  /* stopped before its parent told of it */
    bool is_injected; /* the call that it is in gets `error` */
    bool is_replaced; /* ... and is not made */
    char role[ROLE_BYTES];
    unsigned forks, inits, idmaps;
    unsigned long calls;
    struct user_regs_struct entry;
};

static struct options {
    pid_t attached;
    const char *role, *after, *call, *text, *error;
    unsigned long nth, times;
    bool is_kill, is_listing;
    FILE *log;
    unsigned seconds;
} options = {.nth = 0, .times = 1, .seconds = 60};

static struct task tasks[TASKS_MAX];
static bool is_begun;                  /* the command's program runs, or we are attached */
static unsigned long fitted, injected; /* calls that fitted; that were made to fail */

static struct task *task_of(pid_t pid)
{
    struct task *free_task = NULL;
    for (int i = 0; i < TASKS_MAX; i++) {
        if (tasks[i].pid == pid)
            return &tasks[i];
        if (tasks[i].pid == 0 && !free_task)
            free_task = &tasks[i];
    }
    if (!free_task) {
        (void)fprintf(stderr, "inject: more than %d processes\n", TASKS_MAX);
        exit(2);
    }
    *free_task = (struct task){.pid = pid};
    return free_task;
}

static const char *call_name(long number)
{
    static char text[64];
    char *name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_X86_64, (int)number);
    (void)snprintf(text, sizeof text, "%s", name ? name : "unknown");
    free(name);
    return text;
}

/* ---- errors ---- */

/* One that the call might really give. */
static int fitting_error(const char *name)
{
    static const struct {
        const char *name;
        int error;
    } fits[] = {
        {"mmap", ENOMEM},
        {"mprotect", ENOMEM},
        {"brk", ENOMEM},
        {"munmap", ENOMEM},
        {"clone", EAGAIN},
        {"clone3", ENOSPC},
        {"fork", EAGAIN},
        {"vfork", EAGAIN},
        {"openat", ENFILE},
        {"open", ENFILE},
        {"socket", ENFILE},
        {"socketpair", ENFILE},
        {"pipe2", ENFILE},
        {"eventfd2", ENFILE},
        {"signalfd4", ENFILE},
        {"epoll_create1", ENFILE},
        {"dup2", EMFILE},
        {"fcntl", EINVAL},
        {"memfd_create", ENOMEM},
        {"mkdir", ENOSPC},
        {"mkdirat", ENOSPC},
        {"setns", EPERM},
        {"unshare", ENOSPC},
        {"prctl", EPERM},
        {"capset", EPERM},
        {"setresuid", EAGAIN},
        {"setresgid", EPERM},
        {"setgroups", EPERM},
        {"seccomp", ENOMEM},
        {"mount_setattr", EPERM},
        {"move_mount", EPERM},
        {"open_tree", EPERM},
        {"fsopen", EPERM},
        {"fsmount", EPERM},
        {"fsconfig", EPERM},
        {"pivot_root", EPERM},
        {"umount2", EPERM},
        {"mount", EPERM},
        {"io_uring_setup", ENOMEM},
        {"io_uring_register", ENOMEM},
        {"landlock_create_ruleset", ENOMEM},
        {"landlock_add_rule", ENOMEM},
        {"landlock_restrict_self", EPERM},
        {"execve", ENOMEM},
        {"execveat", ENOMEM},
        {"bind", EADDRINUSE},
        {"listen", EADDRINUSE},
        {"connect", ECONNREFUSED},
        {"prlimit64", EPERM},
        {"setrlimit", EPERM},
        {"sethostname", EPERM},
        {"sendmsg", ENOBUFS},
        {"sendto", ENOBUFS},
        {"recvmsg", ENOMEM},
        {"recvfrom", ENOMEM},
        {"kill", EPERM},
        {"pidfd_send_signal", EPERM},
        {"wait4", ECHILD},
        {"waitid", ECHILD},
        {"access", EACCES},
        {"faccessat", EACCES},
        {"rmdir", EBUSY},
        {"unlinkat", EBUSY},
    };
    for (size_t i = 0; i < sizeof fits / sizeof fits[0]; i++)
        if (strcmp(fits[i].name, name) == 0)
            return fits[i].error;
    return EIO;
}

static int error_number(const char *name)
{
    static const struct {
        const char *name;
        int error;
    } known[] = {{"EIO", EIO},
                 {"EPERM", EPERM},
                 {"ENOMEM", ENOMEM},
                 {"ENOSPC", ENOSPC},
                 {"EACCES", EACCES},
                 {"ENOENT", ENOENT},
                 {"EINVAL", EINVAL},
                 {"EAGAIN", EAGAIN},
                 {"EMFILE", EMFILE},
                 {"ENFILE", ENFILE},
                 {"EBUSY", EBUSY},
                 {"ENOBUFS", ENOBUFS},
                 {"EEXIST", EEXIST},
                 {"ENOSYS", ENOSYS},
                 {"EINTR", EINTR},
                 {"ESRCH", ESRCH},
                 {"EADDRINUSE", EADDRINUSE},
                 {"ECONNREFUSED", ECONNREFUSED},
                 {"EOPNOTSUPP", EOPNOTSUPP}};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strcmp(known[i].name, name) == 0)
            return known[i].error;
    (void)fprintf(stderr, "inject: no error '%s' here\n", name);
    exit(2);
}

/* ---- which call ---- */

static bool holds_text(const struct task *task, unsigned long address, const char *text)
{
    char bytes[512] = "";
    if (address < 4096)
        return false;
    /* Up to the end of its page, then the next: what follows a string need not be mapped. */
    size_t first = 4096 - address % 4096;
    size_t count = first < sizeof bytes - 1 ? first : sizeof bytes - 1;
    struct iovec here = {bytes, count}, there = {(void *)address, count}; // NOLINT(performance-no-int-to-ptr)
    ssize_t got = process_vm_readv(task->pid, &here, 1, &there, 1, 0);
    if (got == (ssize_t)first && !memchr(bytes, 0, first)) {
        struct iovec more = {bytes + got, sizeof bytes - 1 - (size_t)got};
        struct iovec next = {(void *)(address + first), more.iov_len}; // NOLINT(performance-no-int-to-ptr)
        (void)process_vm_readv(task->pid, &more, 1, &next, 1, 0);
    }
    return strstr(bytes, text) != NULL;
}

static bool fits(const struct task *task)
{
    if (options.nth == 0 || (options.role && strcmp(options.role, task->role) != 0))
        return false;
    long number = (long)task->entry.orig_rax;
    /* These do not return, or are made by the C library where nothing can be done about a failure. */
    if (!options.is_kill &&
        (number == SYS_exit || number == SYS_exit_group || number == SYS_rt_sigreturn || number == SYS_restart_syscall))
        return false;
    static bool is_after;
    if (options.after && !is_after) {
        is_after = strcmp(options.after, call_name(number)) == 0;
        return false;
    }
    if (options.call && strcmp(options.call, call_name(number)) != 0)
        return false;
    return !options.text || holds_text(task, task->entry.rdi, options.text) ||
           holds_text(task, task->entry.rsi, options.text);
}

/* ---- what takes rights away ---- */

/* A line per such call that succeeded: its numbers that matter, none that differ from run to run. */
static void log_seal(const struct task *task)
{
    const struct user_regs_struct *r = &task->entry;
    long number = (long)r->orig_rax;
    if (!options.log || !strstr(task->role, ".init"))
        return;
    switch (number) {
    case SYS_prctl:
        if (r->rdi == PR_CAPBSET_READ || r->rdi == PR_SET_NAME || r->rdi == PR_SET_VMA ||
            (r->rdi == PR_SET_PDEATHSIG && r->rsi == 0) || (r->rdi == PR_SET_DUMPABLE && r->rsi == 1))
            return; /* the last two give something back */
        (void)fprintf(options.log, "seal %s prctl %llu %llu\n", task->role, r->rdi, r->rsi);
        return;
    case SYS_io_uring_register:
        (void)fprintf(options.log, "seal %s io_uring_register %llu\n", task->role, r->rsi);
        return;
    case SYS_prlimit64:
        if (r->rdx)
            (void)fprintf(options.log, "seal %s prlimit64 %llu\n", task->role, r->rsi);
        return;
    case SYS_fcntl:
        if (r->rsi == F_ADD_SEALS)
            (void)fprintf(options.log, "seal %s fcntl seals %llu\n", task->role, r->rdx);
        return;
    case SYS_seccomp:
    case SYS_landlock_create_ruleset:
    case SYS_landlock_add_rule:
    case SYS_landlock_restrict_self:
    case SYS_capset:
    case SYS_setresuid:
    case SYS_setresgid:
    case SYS_setgroups:
    case SYS_mount:
    case SYS_mount_setattr:
    case SYS_move_mount:
    case SYS_pivot_root:
    case SYS_umount2:
    case SYS_unshare:
    case SYS_close_range:
    case SYS_sethostname:
    case SYS_io_uring_setup:
        (void)fprintf(options.log, "seal %s %s\n", task->role, call_name(number));
        return;
    default:
        return;
    }
}

/* ---- one stop ---- */

static void go_on(struct task *task, int signal)
{
    /* What was injected is done: no stops any more, unless there is a list to be kept. */
    bool is_over = injected >= options.times && !options.log;
    bool is_done = task->is_released || (is_over && !task->is_inside);
    (void)ptrace(is_done ? PTRACE_CONT : PTRACE_SYSCALL, task->pid, NULL, (void *)(long)signal);
}

static void enter_call(struct task *task)
{
    task->is_inside = true;
    if (ptrace(PTRACE_GETREGS, task->pid, NULL, &task->entry) < 0)
        return;
    if (!is_begun)
        return; /* our own child's way to its exec */
    task->calls++;
    const char *name = call_name((long)task->entry.orig_rax);
    if (options.log && options.is_listing)
        (void)fprintf(options.log, "call %s %lu %s\n", task->role, task->calls, name);
    if (injected >= options.times || !fits(task) || ++fitted < options.nth)
        return;
    injected++;
    if (options.log) {
        (void)fprintf(options.log, "hit %s %lu %s\n", task->role, task->calls, name);
        (void)fflush(options.log);
    }
    if (options.is_kill) {
        (void)kill(task->pid, SIGKILL);
        return;
    }
    task->is_injected = true;
    task->is_replaced = task->entry.orig_rax != SYS_close;
    struct user_regs_struct changed = task->entry;
    if (task->entry.orig_rax == SYS_brk) {
        task->is_replaced = false;
        changed.rdi = 0;
    } else if (task->is_replaced) {
        changed.orig_rax = (unsigned long long)-1;
    }
    (void)ptrace(PTRACE_SETREGS, task->pid, NULL, &changed);
}

static void leave_call(struct task *task)
{
    struct user_regs_struct now;
    task->is_inside = false;
    if (ptrace(PTRACE_GETREGS, task->pid, NULL, &now) < 0)
        return;
    if (task->is_injected) {
        task->is_injected = false;
        const char *name = call_name((long)task->entry.orig_rax);
        int error = strcmp(options.error, "fit") == 0 ? fitting_error(name) : error_number(options.error);
        if (task->entry.orig_rax != SYS_brk)
            now.rax = (unsigned long long)-(long)error;
        now.rdi = task->entry.rdi; /* of brk it was another one, and callers rely on their registers */
        if (task->is_replaced)
            now.orig_rax = task->entry.orig_rax;
        (void)ptrace(PTRACE_SETREGS, task->pid, NULL, &now);
        return;
    }
    if ((long)now.rax >= 0)
        log_seal(task);
}

static void name_child(struct task *parent, struct task *child)
{
    unsigned long long flags = 0;
    if (parent->entry.orig_rax == SYS_clone3) {
        struct iovec here = {&flags, sizeof flags};
        struct iovec there = {(void *)parent->entry.rdi, sizeof flags}; // NOLINT(performance-no-int-to-ptr)
        (void)process_vm_readv(parent->pid, &here, 1, &there, 1, 0);
    }
    if (parent->is_released) {
        child->is_released = true;
    } else if (flags & CLONE_NEWPID) {
        (void)snprintf(child->role, ROLE_BYTES, "%.40s.init%u", parent->role, ++parent->inits);
    } else if (flags & CLONE_NEWUSER) {
        (void)snprintf(child->role, ROLE_BYTES, "%.40s.idmap%u", parent->role, ++parent->idmaps);
    } else if (strstr(parent->role, ".init")) {
        (void)snprintf(child->role, ROLE_BYTES, "%.40s.service", parent->role);
    } else {
        (void)snprintf(child->role, ROLE_BYTES, "%.40s.%u", parent->role, ++parent->forks);
    }
    if (child->is_waiting) {
        child->is_waiting = false;
        go_on(child, 0);
    }
}

static void handle_exec(struct task *task)
{
    char path[64], exe[512];
    (void)snprintf(path, sizeof path, "/proc/%d/exe", (int)task->pid);
    ssize_t bytes = readlink(path, exe, sizeof exe - 1);
    exe[bytes > 0 ? bytes : 0] = '\0';
    const char *slash = strrchr(exe, '/');
    const char *name = slash ? slash + 1 : exe;
    task->is_released = strcmp(name, "hostd") != 0 && strcmp(name, "initsvc") != 0;
    if (task->is_released)
        (void)ptrace(PTRACE_DETACH, task->pid, NULL, NULL); /* a service runs as it would without us */
}

static void handle_stop(struct task *task, int status)
{
    int signal = WSTOPSIG(status), event = status >> 16;
    if (signal == (SIGTRAP | 0x80)) {
        if (task->is_inside)
            leave_call(task);
        else
            enter_call(task);
        go_on(task, 0);
        return;
    }
    switch (event) {
    case PTRACE_EVENT_FORK:
    case PTRACE_EVENT_VFORK:
    case PTRACE_EVENT_CLONE: {
        unsigned long child = 0;
        (void)ptrace(PTRACE_GETEVENTMSG, task->pid, NULL, &child);
        name_child(task, task_of((pid_t)child));
        go_on(task, 0);
        return;
    }
    case PTRACE_EVENT_EXEC:
        is_begun = true;
        handle_exec(task);
        if (!task->is_released)
            go_on(task, 0);
        return;
    case PTRACE_EVENT_STOP:
        if (signal == SIGTRAP && !task->role[0] && !task->is_released)
            task->is_waiting = true; /* its parent's stop, which names it, is still to come */
        else
            go_on(task, 0);
        return;
    default:
        go_on(task, event ? 0 : signal);
        return;
    }
}

/* ---- start ---- */

#define TRACE_OPTIONS                                                                                                  \
    (PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC)

static void seize(pid_t pid, const char *role)
{
    struct task *task = task_of(pid);
    (void)snprintf(task->role, sizeof task->role, "%s", role);
    if (ptrace(PTRACE_SEIZE, pid, NULL, (void *)TRACE_OPTIONS) < 0 || ptrace(PTRACE_INTERRUPT, pid, NULL, NULL) < 0) {
        (void)fprintf(stderr, "inject: trace %d: %s\n", (int)pid, strerror(errno));
        exit(2);
    }
}

/* Forks; the child waits for our word, so that its exec is the first thing that is seen of it. */
static pid_t run_command(char **argv, int *ret_go_fd)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        exit(2);
    pid_t pid = fork();
    if (pid < 0)
        exit(2);
    if (pid == 0) {
        char byte;
        (void)close(ends[1]);
        (void)!read(ends[0], &byte, 1);
        (void)execvp(argv[0], argv);
        (void)fprintf(stderr, "inject: exec %s: %s\n", argv[0], strerror(errno));
        _exit(2);
    }
    (void)close(ends[0]);
    *ret_go_fd = ends[1];
    return pid;
}

static int exit_code(int status)
{
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static int finish(int code)
{
    for (int i = 0; options.log && i < TASKS_MAX; i++)
        if (tasks[i].pid != 0 && tasks[i].role[0])
            (void)fprintf(options.log, "count %s %lu\n", tasks[i].role, tasks[i].calls);
    if (options.log)
        (void)fclose(options.log);
    return options.nth > 0 && injected == 0 ? NO_MATCH : code;
}

static volatile sig_atomic_t is_time_up;
static void time_up(int signal)
{
    (void)signal;
    is_time_up = 1;
}

static int trace(pid_t command)
{
    int status, code = 0;
    pid_t root = options.attached ? options.attached : command;
    bool is_command_over = command == 0, is_root_over = false;
    while (!(is_command_over && (is_root_over || (options.attached && injected >= options.times)))) {
        pid_t pid = waitpid(-1, &status, __WALL);
        if (is_time_up)
            return finish(NO_TIME);
        if (pid < 0)
            break;
        if (WIFSTOPPED(status)) {
            handle_stop(task_of(pid), status);
            continue;
        }
        struct task *task = task_of(pid);
        if (options.log && task->role[0])
            (void)fprintf(options.log, "count %s %lu\n", task->role, task->calls);
        if (pid == command) {
            is_command_over = true;
            code = exit_code(status);
        }
        is_root_over |= pid == root;
        *task = (struct task){.pid = 0};
    }
    /* The end of a call that fails is still to come: without us it would not fail. */
    for (int i = 0; i < TASKS_MAX; i++)
        while (tasks[i].pid != 0 && tasks[i].is_injected && waitpid(tasks[i].pid, &status, __WALL) > 0 &&
               WIFSTOPPED(status))
            handle_stop(&tasks[i], status);
    return finish(code);
}

static unsigned long number(const char *text)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);
    if (*end || end == text) {
        (void)fprintf(stderr, "inject: '%s' is no number\n", text);
        exit(2);
    }
    return value;
}

int main(int argc, char **argv)
{
    static const struct option known[] = {{"attach", required_argument, NULL, 'a'},
                                          {"role", required_argument, NULL, 'r'},
                                          {"call", required_argument, NULL, 'c'},
                                          {"text", required_argument, NULL, 't'},
                                          {"after", required_argument, NULL, 'A'},
                                          {"nth", required_argument, NULL, 'n'},
                                          {"times", required_argument, NULL, 'k'},
                                          {"error", required_argument, NULL, 'e'},
                                          {"kill", no_argument, NULL, 'K'},
                                          {"log", required_argument, NULL, 'l'},
                                          {"list", no_argument, NULL, 'L'},
                                          {"seconds", required_argument, NULL, 's'},
                                          {NULL, 0, NULL, 0}};
    for (int c; (c = getopt_long(argc, argv, "+", known, NULL)) != -1;) {
        switch (c) {
        case 'a':
            options.attached = (pid_t)number(optarg);
            break;
        case 'r':
            options.role = optarg;
            break;
        case 'c':
            options.call = optarg;
            break;
        case 'A':
            options.after = optarg;
            break;
        case 't':
            options.text = optarg;
            break;
        case 'n':
            options.nth = number(optarg);
            break;
        case 'k':
            options.times = number(optarg);
            break;
        case 'e':
            options.error = optarg;
            break;
        case 'K':
            options.is_kill = true;
            break;
        case 'L':
            options.is_listing = true;
            break;
        case 's':
            options.seconds = (unsigned)number(optarg);
            break;
        case 'l':
            options.log = fopen(optarg, "we");
            if (!options.log) {
                perror(optarg);
                return 2;
            }
            break;
        default:
            return 2;
        }
    }
    if ((options.error || options.is_kill) && options.nth == 0)
        options.nth = 1;
    if (!options.attached && optind == argc) {
        (void)fprintf(stderr, "inject: which COMMAND?  See tests/tools/inject.c\n");
        return 2;
    }
    if (options.error && strcmp(options.error, "fit") != 0)
        (void)error_number(options.error); /* a wrong name is said now */

    struct sigaction action = {.sa_handler = time_up};
    (void)sigaction(SIGALRM, &action, NULL);
    (void)alarm(options.seconds);
    int go_fd = -1;
    is_begun = options.attached != 0;
    pid_t command = optind < argc ? run_command(argv + optind, &go_fd) : 0;
    seize(options.attached ? options.attached : command, options.attached ? "hostd" : "start");
    if (options.attached) { /* its first stop, so that it counts from here */
        int status;
        if (waitpid(options.attached, &status, __WALL) > 0 && WIFSTOPPED(status))
            handle_stop(task_of(options.attached), status);
    }
    if (go_fd >= 0)
        (void)close(go_fd);
    return trace(command);
}

#endif
