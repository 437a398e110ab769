/*
 * init.c - PID 1 of a service's namespaces: one straight line of stages, each reported by name when it fails.
 *
 *   setup → ids (done before exec, by hostd's child) → parent → root → listen → [hostd: connect] → connect → ring →
 * child → confine → loop
 *
 * Invariants
 *  I1  Before the loop anything may end us, and hostd is told which stage and why; in the loop only the end of the
 *      service, or a stop, does (loop.c).
 *  I2  Until the service is ready we die with hostd (death signal); afterwards we live without it.
 *  I3  In the loop we hold no capability, and a system call filter of our own.
 *  I4  In plain mode (INIT_PLAIN) we are an ordinary parent: no id, host name, mount, limit or filter is touched, for
 *      those would be the host's; everything else is the same.
 *  I5  Of a process service (INIT_PROCESS) the stages listen, connect, ring and contract are empty: see process.c.
 *
 * Started by hostd (hostd/spawn.c) as `initsvc`, with the stage socket as descriptor INIT_STAGE_FD; by `hostd exec`
 * (hostd/cmd_exec_run.c) for a command beside a running service, in namespaces that stand: see exec.c.
 */
#include "initsvc/init.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "rootfs/rootfs.h"
#include "rpc/base/clock.h"
#include "rpc/base/own.h"
#include "rpc/base/weaken.h"

#define CONNECT_MS_MAX 2000 /* to a peer that listens already, over a veth: far more than it takes */

static _Noreturn void fail(struct init *init, enum init_stage stage, const struct err *e)
{
    struct init_message message = {.kind = INIT_STAGE, .stage = stage, .error = *e};
    tell_hostd(init, &message);
    _exit(1);
}

/* ---- setup ---- */

bool init_is_plain(const struct init *init)
{
    return init->setup->flags & INIT_PLAIN;
}

static bool is_inside(const struct init_setup *setup, uint32_t at, uint64_t count, size_t size)
{
    return at <= setup->total_bytes && count * size <= setup->total_bytes - at;
}

/* hostd is trusted, but a mistake of ours in it should end here, not in a wild read. */
static int check_setup(const struct init_setup *setup, uint64_t bytes, size_t fd_count, struct err *e)
{
    if (bytes < sizeof *setup || setup->magic != INIT_MAGIC || setup->total_bytes != bytes)
        return err_set(e, -EINVAL, "setup message does not fit this initsvc (is it of the same build as hostd?)");
    if (!is_inside(setup, setup->wires_at, setup->wire_count, sizeof(struct init_wire)) ||
        !is_inside(setup, setup->mounts_at, setup->mount_count, sizeof(struct init_mount)) ||
        !is_inside(setup, setup->service_filter_at, setup->service_filter_bytes, 1) ||
        !is_inside(setup, setup->init_filter_at, setup->init_filter_bytes, 1) ||
        !is_inside(setup, setup->contract_at, setup->contract_bytes, 1) ||
        !is_inside(setup, setup->args_at, setup->args_bytes, 1) ||
        !is_inside(setup, setup->environment_at, setup->environment_bytes, 1) ||
        setup->contract_bytes < sizeof(struct contract) || setup->wire_count > LINKS_MAX || setup->mount_count == 0 ||
        (fd_count !=
             INIT_FD_FIRST + setup->mount_count + setup->ingress_count + (setup->flags & INIT_HAS_ADOPT ? 1 : 0) &&
         !(setup->flags & INIT_EXEC)))
        return err_set(e, -EINVAL, "setup message is inconsistent");
    return 0;
}

/* Receives one message; descriptors into fds.  Blocks.  -EPIPE when hostd is gone. */
static int receive(struct init *init, struct init_message *message, int *fds, size_t *fd_count, struct err *e)
{
    union {
        char bytes[CMSG_SPACE(sizeof(int) * INIT_FDS_MAX)];
        struct cmsghdr align;
    } control;
    struct iovec data = {.iov_base = message, .iov_len = sizeof *message};
    struct msghdr header = {
        .msg_iov = &data, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    ssize_t got = recvmsg(init->stage_fd, &header, MSG_CMSG_CLOEXEC);
    if (got == 0)
        return err_set(e, -EPIPE, "hostd closed the stage socket");
    if (got < 0)
        return err_sys(e, -errno, "receive from hostd");
    *fd_count = 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&header); c; c = CMSG_NXTHDR(&header, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        *fd_count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        memcpy(fds, CMSG_DATA(c), *fd_count * sizeof(int));
    }
    if ((size_t)got != sizeof *message || (header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)))
        return err_set(e, -EPROTO, "message of hostd was cut");
    return 0;
}

static int take_setup(struct init *init, struct err *e)
{
    struct init_message message;
    int result = receive(init, &message, init->fds, &init->fd_count, e);
    if (result < 0)
        return result;
    struct stat status;
    if (message.kind != INIT_SETUP || init->fd_count < INIT_FD_FIRST || fstat(init->fds[INIT_FD_SETUP], &status) < 0)
        return err_set(e, -EPROTO, "first message of hostd is not the setup");
    void *block = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, init->fds[INIT_FD_SETUP], 0);
    if (block == MAP_FAILED)
        return err_sys(e, -errno, "map the setup");
    init->setup = block;
    result = check_setup(init->setup, (uint64_t)status.st_size, init->fd_count, e);
    if (result < 0)
        return result;
    init->contract = (const void *)((const char *)block + init->setup->contract_at);
    init->hostd_fd = init->fds[INIT_FD_HOSTD];
    init->status_fd = init->fds[INIT_FD_STATUS];
    if (init->setup->flags & INIT_HAS_ADOPT)
        init->adopt_fd = init->fds[init->fd_count - 1];
    const struct init_wire *wires = (const void *)((const char *)block + init->setup->wires_at);
    init->link_count = init->setup->wire_count;
    if (init->link_count != init->contract->link_count)
        return err_set(e, -EINVAL, "setup message is inconsistent: wires and links differ");
    for (size_t i = 0; i < init->link_count; i++)
        init->links[i] = (struct link){.wire = wires[i], .fd = -1};
    return init_is_process(init) && !exec_is_on(init, INIT_EXEC) ? process_check(init, e) : 0;
}

/* ---- parent ---- */

static int bind_to_parent(const struct init *init, struct err *e)
{
    /* After the ids: setresuid clears the death signal.  It follows hostd's one thread. */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
        return err_sys(e, -errno, "set the death signal");
    /* hostd may have died before that line: then no signal will come. */
    struct pollfd hostd = {.fd = init->hostd_fd, .events = POLLIN};
    if (poll(&hostd, 1, 0) != 0)
        return err_set(e, -ESRCH, "hostd is gone");
    if (init_is_plain(init))
        return 0;
    if (exec_is_on(init, INIT_EXEC))
        return 0; /* the rest is the service's, and made */
    if (init->setup->flags & INIT_UNSHARE_CGROUP && unshare(CLONE_NEWCGROUP) < 0)
        return err_sys(e, -errno, "unshare the cgroup namespace");
    if (!weakened("uts-namespace") &&
        sethostname(init->setup->hostname, strnlen(init->setup->hostname, NAME_BYTES)) < 0)
        return err_sys(e, -errno, "set the host name");
    /* hostd's session keyring came along with the clone: an empty one instead.  A kernel without keys has none. */
    if (!weakened("keyring") && syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL) < 0 && errno != ENOSYS)
        return err_sys(e, -errno, "new session keyring");
    return 0;
}

/* ---- root ---- */

/* Plain mode: the host's root; the program is executed by its descriptor, the rest reached through the contract. */
static int stay_outside(struct init *init, struct err *e)
{
    const struct init_mount *mounts = (const void *)((const char *)init->setup + init->setup->mounts_at);
    if (mounts[0].fd_index >= init->fd_count)
        return err_set(e, -EINVAL, "setup message is inconsistent: mount 0");
    init->exe_fd = init->fds[mounts[0].fd_index];
    (void)umask(022);
    return chdir("/") < 0 ? err_sys(e, -errno, "chdir /") : 0;
}

static int enter_root(struct init *init, struct err *e)
{
    if (init_is_plain(init))
        return stay_outside(init, e);
    if (exec_is_on(init, INIT_EXEC))
        return exec_enter_root(init, e);
    const struct init_mount *mounts = (const void *)((const char *)init->setup + init->setup->mounts_at);
    struct rootfs_entry entries[INIT_FDS_MAX];
    uint32_t count = init->setup->mount_count;
    for (uint32_t i = 0; i < count; i++) {
        if (mounts[i].to[0] != '/' || !memchr(mounts[i].to, '\0', INIT_PATH_BYTES) ||
            mounts[i].fd_index >= init->fd_count)
            return err_set(e, -EINVAL, "setup message is inconsistent: mount %u", i);
        entries[i] = (struct rootfs_entry){
            .to = mounts[i].to, .mount_fd = init->fds[mounts[i].fd_index], .is_directory = mounts[i].is_directory};
    }
    (void)umask(022);
    struct rootfs_process process = {.hosts_fd = -1, .notify_fd = -1};
    process_root(init, &process);
    int result = rootfs_enter(entries, count, init_is_process(init) ? &process : NULL, e);
    if (result < 0)
        return result;
    init->hosts_fd = process.hosts_fd;
    init->notify_fd = process.notify_fd;
    process_write_hosts(init);
    for (uint32_t i = 0; i < count; i++)
        fd_close(&init->fds[mounts[i].fd_index]);
    /* exec needs more than O_PATH only on file systems that check read permission of the opener; ours is a bind mount.
     */
    const char *exe = init_is_process(init) ? (const char *)init->setup + init->setup->args_at : mounts[0].to;
    init->exe_fd = open(exe, O_PATH | O_CLOEXEC);
    return init->exe_fd < 0 ? err_sys(e, -errno, "open %s", exe) : 0;
}

/* ---- wires ---- */

static const struct contract_link *contract_links(const struct init *init)
{
    return (const void *)((const char *)init->contract + init->contract->links_at);
}

static int listen_all(struct init *init, struct err *e)
{
    if (init_is_process(init))
        return 0; /* it makes its sockets itself */
    for (size_t i = 0; i < init->link_count; i++) {
        struct link *link = &init->links[i];
        if (contract_links(init)[i].direction != LINK_IN || !link->wire.is_up || link->fd >= 0)
            continue;
        int result = wire_listen(&link->wire, &link->fd, e);
        if (result < 0)
            return err_prefix(e, "link from '%s'", contract_links(init)[i].peer);
    }
    return 0;
}

static int connect_all(struct init *init, struct err *e)
{
    if (init_is_process(init))
        return 0;
    for (size_t i = 0; i < init->link_count; i++) {
        struct link *link = &init->links[i];
        if (contract_links(init)[i].direction != LINK_OUT || !link->wire.is_up)
            continue;
        int result = wire_dial(&link->wire, &link->fd, e);
        if (result == -EINPROGRESS) {
            struct pollfd poll_fd = {.fd = link->fd, .events = POLLOUT};
            int ready = poll(&poll_fd, 1, CONNECT_MS_MAX);
            result = ready == 1
                         ? wire_dial_result(link->fd, e)
                         : err_set(e, -ETIMEDOUT, "no answer on %s within %d ms", link->wire.ifname, CONNECT_MS_MAX);
        }
        if (result == 0)
            result = wire_make_blocking(link->fd, e);
        if (result < 0)
            return err_prefix(e, "link to '%s'", contract_links(init)[i].peer);
    }
    return 0;
}

/* Waits for "connect"; takes renewals that come before it (a peer may restart while we start). */
static int await_connect(struct init *init, struct err *e)
{
    for (;;) {
        struct init_message message;
        int fds[INIT_FDS_MAX];
        size_t fd_count = 0;
        int result = receive(init, &message, fds, &fd_count, e);
        if (result < 0)
            return result;
        if (message.kind == INIT_CONNECT)
            return 0;
        if (message.kind == INIT_STOP)
            _exit(0); /* nothing runs yet */
        loop_message(init, &message);
    }
}

/* ---- child ---- */

static int make_pipe(int *ret_read_fd, int *ret_write_fd, struct err *e)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return err_sys(e, -errno, "pipe");
    *ret_read_fd = ends[0];
    *ret_write_fd = ends[1];
    return 0;
}

static int set_nonblocking(int fd, struct err *e)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return err_sys(e, -errno, "make a pipe non-blocking");
    return 0;
}

/* stdout and stderr: both are our log; of a command, what came with the setup. */
static int make_output(struct init *init, struct child_fds *child, struct err *e)
{
    if (exec_is_on(init, INIT_EXEC)) {
        child->stdout_fd = fd_take(&init->fds[INIT_FD_LOG_A]);
        child->stderr_fd = fd_take(&init->fds[INIT_FD_LOG_B]);
        return 0;
    }
    int result = make_pipe(&init->log_fd, &child->stdout_fd, e);
    if (result == 0)
        result = set_nonblocking(init->log_fd, e);
    if (result < 0)
        return result;
    child->stderr_fd = fcntl(child->stdout_fd, F_DUPFD_CLOEXEC, 0);
    return child->stderr_fd < 0 ? err_sys(e, -errno, "stderr of the service") : 0;
}

/* Everything of the service's ring and pipes.  The ring is made here and enabled by the child: we keep a duplicate. */
static int make_channels(struct init *init, struct child_fds *child, struct err *e)
{
    int note_read_fd = -1;
    int result = make_output(init, child, e);
    if (result == 0 && (init_is_process(init) || exec_is_on(init, INIT_EXEC_NO_RING)))
        return 0; /* no ring, and no notes */
    if (result == 0)
        result = make_pipe(&init->note_up_fd, &child->note_write_fd, e);
    if (result == 0)
        result = make_pipe(&note_read_fd, &init->note_down_fd, e);
    if (result < 0)
        return result;
    child->event_fd = eventfd(0, EFD_CLOEXEC);
    if (child->event_fd < 0)
        return err_sys(e, -errno, "eventfd");
    /* The ends that are ours, and the service's notes: none of them may stop its owner.  The log pipe stays blocking on
     * the service's side (we always drain it), the ends in the ring's table too (the ring waits for them by itself). */
    if (set_nonblocking(init->note_up_fd, e) < 0 || set_nonblocking(init->note_down_fd, e) < 0 ||
        set_nonblocking(child->note_write_fd, e) < 0)
        return e->code;
    const int *ingress_fds = init->fds + INIT_FD_FIRST + init->setup->mount_count;
    result = ring_make(init, child->event_fd, note_read_fd, ingress_fds, e);
    if (result == 0)
        result = sender_make(&init->sender, e);
    fd_close(&note_read_fd); /* lives in the table */
    return result;
}

static void start_child(struct init *init)
{
    struct err e = {0};
    struct child_fds child = {-1, -1, -1, -1, -1};
    int status_read_fd = -1;
    if (make_channels(init, &child, &e) < 0 || make_pipe(&status_read_fd, &child.status_fd, &e) < 0)
        fail(init, STAGE_RING, &e);

    sigset_t all;
    (void)sigfillset(&all);
    (void)sigprocmask(SIG_SETMASK, &all, NULL); /* before the fork: no SIGCHLD is missed */
    init->signal_fd = signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK);
    if (init->signal_fd < 0) {
        (void)err_sys(&e, -errno, "signalfd");
        fail(init, STAGE_RING, &e);
    }
    if (!init_is_plain(init) && !exec_is_on(init, INIT_EXEC_ROOT) && seal_bounding_set(&e) < 0)
        fail(init, STAGE_CAPS, &e); /* once: the child inherits it */
    init->own_pid = getpid();
    /* We wait for its exec anyway, so nothing of our memory need be copied for it. */
    init->service_pid = vfork();
    if (init->service_pid < 0) {
        if (err_sys(&e, -errno, "fork") == -EAGAIN)
            (void)err_hint(&e, "pids in the list leaves no room for another process");
        fail(init, STAGE_EXEC, &e);
    }
    if (init->service_pid == 0)
        seal_and_exec(init, &child);
    (void)prctl(PR_SET_DUMPABLE, 1, 0, 0, 0); /* the ids that the child took have set it to 0 for both of us */

    fd_close(&child.stdout_fd);
    fd_close(&child.stderr_fd);
    fd_close(&child.event_fd);
    fd_close(&child.note_write_fd);
    fd_close(&child.status_fd);
    fd_close(&init->exe_fd);
    struct init_message message;
    ssize_t got = read(status_read_fd, &message, sizeof message); /* ends with exec, which closes the other end */
    if (got != 0) {
        if (got != (ssize_t)sizeof message) {
            message = (struct init_message){.kind = INIT_STAGE, .stage = STAGE_EXEC};
            (void)err_sys(&message.error, got < 0 ? -errno : -EPROTO, "what the child said of its start");
        }
        tell_hostd(init, &message);
        _exit(1);
    }
    fd_close(&status_read_fd);
    fd_close(&init->hostd_fd);
    fd_close(&init->fds[INIT_FD_SETUP]); /* mapped; PROT_READ, so it cannot change under us */
    /* The wires are in the service's table now, and only there: when it lets go of one, it is gone. */
    for (size_t i = 0; i < init->link_count; i++)
        fd_close(&init->links[i].fd);
    message = (struct init_message){.kind = INIT_STARTED, .value = (uint32_t)init->service_pid};
    tell_hostd(init, &message);
}

static void confine(struct init *init)
{
    struct err e = {0};
    if (init_is_plain(init))
        return;
    const struct init_setup *setup = init->setup;
    /* A command is ended from outside. */
    bool may_signal = init_is_process(init) && !exec_is_on(init, INIT_EXEC);
    /* Without a capability a signal reaches only processes of one's own real or effective user: so we take the real one
     * of a process service, for SIGTERM.  It gives the service no more than signals to us, which we all block. */
    if ((exec_is_on(init, INIT_EXEC_ROOT) && seal_bounding_set(&e) < 0) ||
        seal_drop_all(may_signal ? setup->uid : 0, 0, 0, &e) < 0)
        fail(init, STAGE_CONFINE, &e);
    if (!weakened("no-new-privs") && /* nobody without them may install one */
        seal_filter((const char *)setup + setup->init_filter_at, setup->init_filter_bytes, &e) < 0)
        fail(init, STAGE_CONFINE, &e);
}

int main(void)
{
    static struct init init = {.stage_fd = INIT_STAGE_FD,
                               .hostd_fd = -1,
                               .exe_fd = -1,
                               .ring_fd = -1,
                               .log_fd = -1,
                               .note_up_fd = -1,
                               .note_down_fd = -1,
                               .hosts_fd = -1,
                               .notify_fd = -1,
                               .adopt_fd = -1,
                               .candidate_fd = -1};
    struct err e = {0};

    if (fcntl(INIT_STAGE_FD, F_SETFD, FD_CLOEXEC) < 0) {
        (void)dprintf(STDERR_FILENO, "initsvc: started by hostd only, with descriptor %d a socket\n", INIT_STAGE_FD);
        return 2;
    }
    if (take_setup(&init, &e) < 0)
        fail(&init, STAGE_SETUP, &e);
    if (bind_to_parent(&init, &e) < 0)
        fail(&init, STAGE_PARENT, &e);
    if (enter_root(&init, &e) < 0)
        fail(&init, STAGE_ROOT, &e);
    if (!exec_is_on(&init, INIT_EXEC)) {
        logs_open(&init.logs, init.fds[INIT_FD_LOG_A], init.fds[INIT_FD_LOG_B], init.setup->log_bytes_max);
        static const char plain[] = "PLAIN MODE: this service is not isolated, and its callers are not verified";
        if (init_is_plain(&init))
            logs_tell(&init.logs, plain, sizeof plain - 1);
        if (listen_all(&init, &e) < 0)
            fail(&init, STAGE_LISTEN, &e);
        struct init_message listening = {.kind = INIT_LISTENING, .link = UINT32_MAX};
        tell_hostd(&init, &listening);
        if (await_connect(&init, &e) < 0)
            fail(&init, STAGE_CONNECT, &e);
    }
    if (connect_all(&init, &e) < 0)
        fail(&init, STAGE_CONNECT, &e);
    start_child(&init);
    confine(&init);
    if (init_is_process(&init) && init.notify_fd < 0 && !exec_is_on(&init, INIT_EXEC))
        init.started_until_ms = clock_ms() + PROCESS_STARTED_MS;
    loop_run(&init);
}
