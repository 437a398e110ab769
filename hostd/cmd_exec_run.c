/*
 * cmd_exec_run.c - the processes of `hostd exec`: the guard outside, initsvc inside, and the output on its way out.
 *
 * The guard is a process of its own because somebody must be left when `hostd exec` is killed with -9: it holds the
 * read end of a pipe whose only writer is the command line's process.  initsvc dies with the guard and the command with
 * initsvc (death signals); what the command started and left becomes a child of initsvc, where the guard finds it.
 *
 * Invariants
 *  I1  The guard never waits for its child: PID 1 of a service cannot end before all processes of its namespace are
 *      reaped, and nobody here may hold up the end of a service (SIGCHLD ignored: the kernel reaps).
 *  I2  A process is ended by a pidfd, after it was seen below initsvc with that pidfd open: never by a bare number.
 *  I3  What comes from inside is not trusted: messages are of one size, numbers are used as numbers, texts are escaped.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/keyctl.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "hostd/cmd_exec.h"
#include "hostd/logtail.h"
#include "hostd/process.h"
#include "rpc/base/clock.h"
#include "rpc/base/own.h"
#include "rpc/base/weaken.h"

#define END_MS_MAX 5000        /* to end what the command left: it may fork while we kill */
#define DRAIN_MS_MAX 200       /* for the last output, when a process could not be ended that holds the pipe */
#define SERVICE_END_MS_MAX 500 /* from the end of a service's processes to that of its PID 1 */
#define CHUNK_BYTES 16384      /* copied at once */
#define REAP_MS 100            /* for one process to end */

/* The guard's one word to the process of the command line. */
struct report {
    int wait_status;
    struct err error; /* code 0: the command ran */
};

struct run {
    struct exec_target *target;
    int out_fd, error_fd;    /* write ends */
    int alive_fd;            /* end of file: the process of the command line is gone */
    int stage_fd, inside_fd; /* of initsvc: the socket, its pidfd */
    pid_t inside_pid;
};

/* ---- inside: until initsvc ---- */

static _Noreturn void inside_main(const struct run *run, int stage_fd, const int *task_fds, int null_fd)
{
    struct init_message message = {.kind = INIT_STAGE, .stage = STAGE_CGROUP};
    sigset_t none;
    for (int number = 1; number < NSIG; number++)
        (void)signal(number, SIG_DFL); /* SIGKILL and SIGSTOP: EINVAL, as they should */
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);

    (void)close(run->stage_fd); /* the guard's end: else the guard's death would not be seen below */
    if (cgroup_enter(task_fds, &message.error) < 0)
        goto failed;
    message.stage = STAGE_CLONE;
    struct pollfd setup = {.fd = stage_fd, .events = POLLIN};
    if (poll(&setup, 1, -1) != 1 || !(setup.revents & POLLIN))
        _exit(1); /* the guard gave up */
    const int kinds = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP;
    if (setns(run->target->pidfd, kinds) < 0) {
        (void)err_sys(&message.error, -errno, "enter the namespaces");
        goto failed;
    }
    /* Keys of the caller's session stay outside.  Where the kernel has no keys there is nothing to leave. */
    (void)syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL);
    message.stage = STAGE_IDS;
    if (setgroups(0, NULL) < 0 || setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0) {
        (void)err_sys(&message.error, -errno, "take user id 0 of the user namespace");
        goto failed;
    }
    message.stage = STAGE_EXEC;
    int stage_high = fcntl(stage_fd, F_DUPFD_CLOEXEC, 10);
    int binary_high = fcntl(run->target->initsvc_fd, F_DUPFD_CLOEXEC, 10);
    if (stage_high < 0 || binary_high < 0 || dup2(null_fd, 0) < 0 || dup2(null_fd, 1) < 0 || dup2(null_fd, 2) < 0 ||
        dup2(stage_high, INIT_STAGE_FD) < 0 || close_range(INIT_STAGE_FD + 1, ~0u, CLOSE_RANGE_CLOEXEC) < 0) {
        (void)err_sys(&message.error, -errno, "lay out the descriptors of initsvc");
        goto failed;
    }
    stage_fd = INIT_STAGE_FD;
    char *argv[] = {(char[]){"initsvc"}, NULL};
    char *envp[] = {WEAKEN_ENVIRONMENT NULL};
    (void)syscall(SYS_execveat, binary_high, "", argv, envp, AT_EMPTY_PATH);
    (void)err_sys(&message.error, -errno, "exec initsvc");
failed:
    (void)send(stage_fd, &message, sizeof message, MSG_NOSIGNAL);
    _exit(1);
}

/* ---- the guard: start ---- */

/* All limits of PID 1, so that those which the seal does not set are the service's too and not the caller's. */
static int copy_limits(const struct run *run, struct err *e)
{
    for (int resource = 0; resource < (int)RLIM_NLIMITS; resource++) {
        struct rlimit limit;
        if (prlimit(run->target->init_pid, (__rlimit_resource_t)resource, NULL, &limit) < 0 ||
            prlimit(run->inside_pid, (__rlimit_resource_t)resource, &limit, NULL) < 0)
            return err_sys(e, -errno, "copy limit %d of PID 1", resource);
    }
    return 0;
}

static int send_setup(struct run *run, struct err *e)
{
    struct exec_target *target = run->target;
    FD_AUTO int setup_fd = memfd_create("setup", MFD_CLOEXEC);
    FD_AUTO int own_pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0);
    FD_AUTO int null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (setup_fd < 0 || own_pidfd < 0 || null_fd < 0 ||
        write(setup_fd, target->setup, target->setup->total_bytes) != (ssize_t)target->setup->total_bytes)
        return err_sys(e, -errno, "write the setup");
    const int first[INIT_FD_FIRST] = {
        [INIT_FD_SETUP] = setup_fd,      [INIT_FD_HOSTD] = own_pidfd, [INIT_FD_LOG_A] = run->out_fd,
        [INIT_FD_LOG_B] = run->error_fd, [INIT_FD_STATUS] = null_fd, /* its status comes as a message */
    };
    memcpy(target->fds, first, sizeof first);

    struct init_message message = {.kind = INIT_SETUP};
    struct iovec data = {.iov_base = &message, .iov_len = sizeof message};
    union {
        char bytes[CMSG_SPACE(sizeof target->fds)];
        struct cmsghdr align;
    } control = {0};
    size_t fds_bytes = target->fd_count * sizeof(int);
    struct msghdr header = {
        .msg_iov = &data, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = CMSG_SPACE(fds_bytes)};
    struct cmsghdr *rights = CMSG_FIRSTHDR(&header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(fds_bytes);
    memcpy(CMSG_DATA(rights), target->fds, fds_bytes);
    if (sendmsg(run->stage_fd, &header, MSG_NOSIGNAL) != (ssize_t)sizeof message)
        return err_sys(e, -errno, "send the setup");
    return 0;
}

static int start_inside(struct run *run, struct err *e)
{
    struct exec_target *target = run->target;
    struct cgroup_trees trees;
    int sockets[2], pidfd = -1, task_fds[CGROUP_CONTROLLER_COUNT];
    FD_AUTO int cgroup_fd = -1;
    FD_AUTO int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null_fd < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) < 0)
        return err_sys(e, -errno, "prepare");
    run->stage_fd = sockets[0];
    FD_AUTO int child_stage_fd = sockets[1];
    cgroup_detect(&trees);
    int result = cgroup_open(&trees, target->app, target->service, &cgroup_fd, e);
    if (result == 0)
        result = cgroup_open_tasks(&trees, target->app, target->service, false, task_fds, e);
    if (result < 0)
        return result;
    /* Ours stays the host's; our next child is born into the service's. */
    if (setns(target->pidfd, CLONE_NEWPID) < 0)
        return err_sys(e, -errno, "enter the pid namespace");
    struct clone_args args = {.flags = CLONE_PIDFD | (cgroup_fd >= 0 ? CLONE_INTO_CGROUP : 0),
                              .pidfd = (uint64_t)(uintptr_t)&pidfd,
                              .exit_signal = SIGCHLD,
                              .cgroup = cgroup_fd >= 0 ? (uint64_t)cgroup_fd : 0};
    pid_t pid = (pid_t)syscall(SYS_clone3, &args, sizeof args);
    if (pid < 0)
        return err_sys(e, -errno, "clone3");
    if (pid == 0)
        inside_main(run, child_stage_fd, task_fds, null_fd);
    for (int i = 0; i < CGROUP_CONTROLLER_COUNT; i++)
        fd_close(&task_fds[i]);
    run->inside_pid = pid;
    run->inside_fd = pidfd;
    result = copy_limits(run, e);
    return result < 0 ? result : send_setup(run, e);
}

/* ---- the guard: end ---- */

/* Kills what is below initsvc, child by child: whoever loses a parent there becomes its child in the same moment, so
 * when it has no child there is nobody. */
static int end_all(const struct run *run, struct err *e)
{
    uint64_t end_ms = clock_ms() + END_MS_MAX;
    pid_t child;
    if (run->inside_fd < 0)
        return 0;
    while ((child = process_first_child(run->inside_pid)) > 0 && clock_ms() < end_ms) {
        FD_AUTO int pidfd = (int)syscall(SYS_pidfd_open, child, 0);
        if (pidfd >= 0 && process_first_child(run->inside_pid) == child) {
            (void)syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0); /* gone already: as wanted */
            (void)process_wait(pidfd, REAP_MS);                            /* and then initsvc reaps it */
        }
    }
    (void)syscall(SYS_pidfd_send_signal, run->inside_fd, SIGKILL, NULL, 0);
    struct pollfd ended = {.fd = run->inside_fd, .events = POLLIN};
    (void)poll(&ended, 1, END_MS_MAX); /* a task that the kernel cannot end now ends when it can */
    return child ? err_set(e, -EBUSY, "process %d, which the command started, cannot be ended", (int)child) : 0;
}

static void ended_early(const struct run *run, struct report *report)
{
    /* Its PID 1 kills us all, and is gone itself only after that. */
    struct pollfd service = {.fd = run->target->pidfd, .events = POLLIN};
    if (poll(&service, 1, SERVICE_END_MS_MAX) > 0)
        (void)err_set(&report->error, -ESRCH, "service '%s' ended, and the command with it", run->target->service);
    else
        (void)err_set(&report->error, -ESRCH, "the command was killed together with what watches over it");
}

/* Waits for the word of initsvc.  false: nobody wants to know any more. */
static bool await_end(const struct run *run, struct report *report)
{
    for (;;) {
        struct pollfd polls[] = {{.fd = run->alive_fd, .events = POLLIN},
                                 {.fd = run->stage_fd, .events = POLLIN},
                                 {.fd = run->inside_fd, .events = POLLIN}};
        if (poll(polls, ARRAY_COUNT(polls), -1) < 0 && errno != EINTR)
            return false;
        if (polls[0].revents)
            return false;
        struct init_message message;
        ssize_t got = recv(run->stage_fd, &message, sizeof message, MSG_DONTWAIT);
        if (got == (ssize_t)sizeof message && message.kind == INIT_EXITED) {
            report->wait_status = (int)message.value;
            return true;
        }
        if (got == (ssize_t)sizeof message && message.kind == INIT_STAGE && message.error.code != 0) {
            message.error.text[sizeof message.error.text - 1] = '\0';
            report->error = message.error;
            (void)err_prefix(&report->error, "service '%s', stage %s", run->target->service,
                             init_stage_name(message.stage));
            return true;
        }
        if (got <= 0 && polls[2].revents) {
            ended_early(run, report);
            return true;
        }
    }
}

static _Noreturn void guard_main(struct run *run, int report_fd)
{
    struct report report = {0};
    (void)setsid(); /* no signal of the terminal, and no terminal for what we start */
    (void)signal(SIGCHLD, SIG_IGN);
    (void)signal(SIGPIPE, SIG_IGN);
    bool is_wanted = true;
    if (start_inside(run, &report.error) == 0) {
        fd_close(&run->out_fd); /* else the output would not end with the command */
        fd_close(&run->error_fd);
        is_wanted = await_end(run, &report);
    }
    struct err e = {0};
    if (end_all(run, &e) < 0 && report.error.code == 0)
        report.error = e;
    if (is_wanted)
        (void)!write(report_fd, &report, sizeof report); /* below PIPE_BUF; a reader that is gone does not matter */
    _exit(0);
}

/* ---- output ---- */

struct stream {
    int from, to;
    bool is_terminal;
    char held[4]; /* the beginning of a character that was cut by a read */
    size_t held_bytes;
    int result; /* of the last write; negative errno */
};

static int write_all(int fd, const char *bytes, size_t count)
{
    while (count > 0) {
        ssize_t written = write(fd, bytes, count);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return -errno;
        bytes += written;
        count -= (size_t)written;
    }
    return 0;
}

/* How many bytes at the end of text begin a character of UTF-8 that is not whole. */
static size_t cut_bytes(const char *text, size_t count)
{
    for (size_t back = 1; back <= 3 && back <= count; back++) {
        unsigned char c = (unsigned char)text[count - back];
        if ((c & 0xC0) == 0x80)
            continue;
        size_t wanted = c >= 0xF0 ? 4 : c >= 0xE0 ? 3 : c >= 0xC0 ? 2 : 1;
        return wanted > back ? back : 0;
    }
    return 0;
}

/* What a program prints may not move the cursor of a terminal, or type into it. */
static int show_escaped(struct stream *stream, const char *bytes, size_t count)
{
    char text[CHUNK_BYTES + sizeof stream->held], shown[sizeof text * 4];
    memcpy(text, stream->held, stream->held_bytes);
    memcpy(text + stream->held_bytes, bytes, count);
    count += stream->held_bytes;
    stream->held_bytes = cut_bytes(text, count);
    count -= stream->held_bytes;
    memcpy(stream->held, text + count, stream->held_bytes);
    for (const char *part = text, *end = text + count; part < end;) {
        size_t length = 0; /* lines and tabs stay what they are */
        while (part + length < end && part[length] != '\n' && part[length] != '\t')
            length++;
        int result = write_all(stream->to, shown, logtail_escape(part, length, shown, sizeof shown));
        part += length;
        if (result == 0 && part < end)
            result = write_all(stream->to, part++, 1);
        if (result < 0)
            return result;
    }
    return 0;
}

/* 0 at the end of file. */
static ssize_t copy_some(struct stream *stream)
{
    char bytes[CHUNK_BYTES];
    ssize_t got = read(stream->from, bytes, sizeof bytes);
    if (got <= 0)
        return got < 0 && errno == EINTR ? 1 : 0;
    stream->result =
        stream->is_terminal ? show_escaped(stream, bytes, (size_t)got) : write_all(stream->to, bytes, (size_t)got);
    return stream->result < 0 ? 0 : got; /* a reader of ours that is gone: the command finds the same when it writes */
}

/* Until the guard's word came and all output is out; closes both.  -ESRCH: the guard died; *ret_lost: 0, or why output
 * was lost. */
static int copy_output(int out_fd, int error_fd, int report_fd, struct report *report, int *ret_lost)
{
    struct stream streams[] = {{.from = out_fd, .to = STDOUT_FILENO, .is_terminal = isatty(STDOUT_FILENO)},
                               {.from = error_fd, .to = STDERR_FILENO, .is_terminal = isatty(STDERR_FILENO)}};
    bool has_report = false;
    int result = 0;
    while (!has_report || streams[0].from >= 0 || streams[1].from >= 0) {
        struct pollfd polls[] = {{.fd = streams[0].from, .events = POLLIN},
                                 {.fd = streams[1].from, .events = POLLIN},
                                 {.fd = has_report ? -1 : report_fd, .events = POLLIN}};
        int ready = poll(polls, ARRAY_COUNT(polls), has_report ? DRAIN_MS_MAX : -1);
        if (ready == 0)
            break;
        for (int i = 0; ready > 0 && i < 2; i++)
            if (polls[i].revents && copy_some(&streams[i]) == 0)
                fd_close(&streams[i].from); /* at an error too: a command that goes on writing must not wait for us */
        if (ready > 0 && polls[2].revents) {
            has_report = true;
            if (read(report_fd, report, sizeof *report) != (ssize_t)sizeof *report)
                result = -ESRCH;
        }
    }
    fd_close(&streams[0].from);
    fd_close(&streams[1].from);
    *ret_lost = streams[0].result < 0 ? streams[0].result : streams[1].result;
    return result;
}

/* ---- all of it ---- */

int exec_run(struct exec_target *target, int *ret_wait_status, struct err *e)
{
    int ends[4][2]; /* output, errors, alive, report */
    for (size_t i = 0; i < ARRAY_COUNT(ends); i++)
        if (pipe2(ends[i], O_CLOEXEC) < 0)
            return err_sys(e, -errno, "pipe"); /* the process ends now */
    pid_t pid = fork();
    if (pid < 0)
        return err_sys(e, -errno, "fork");
    if (pid == 0) {
        (void)close(ends[0][0]);
        (void)close(ends[1][0]);
        (void)close(ends[2][1]);
        (void)close(ends[3][0]);
        struct run run = {.target = target,
                          .out_fd = ends[0][1],
                          .error_fd = ends[1][1],
                          .alive_fd = ends[2][0],
                          .stage_fd = -1,
                          .inside_fd = -1};
        guard_main(&run, ends[3][1]);
    }
    (void)close(ends[0][1]);
    (void)close(ends[1][1]);
    (void)close(ends[2][0]);
    (void)close(ends[3][1]);
    struct report report = {0};
    int lost = 0, result = copy_output(ends[0][0], ends[1][0], ends[3][0], &report, &lost);
    (void)close(ends[3][0]);
    (void)close(ends[2][1]);
    (void)waitpid(pid, NULL, 0); /* its word is in the report */
    if (result < 0)
        return err_set(e, result, "the process that watches over the command was killed");
    if (report.error.code != 0) {
        *e = report.error;
        return e->code;
    }
    if (lost < 0)
        return err_sys(e, lost, "cannot print");
    *ret_wait_status = report.wait_status;
    return 0;
}
