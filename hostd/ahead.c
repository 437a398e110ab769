/*
 * ahead.c - a child of hostd that makes the network namespaces of the first start, ahead of it and on another CPU: all
 * but the first, which hostd makes meanwhile.
 *
 * The kernel takes half a millisecond for one, a fifth of the start of its service, and hostd need not wait for it. The
 * child does what hostd would do (spawn_namespace(): sysctls written and read back), sends the descriptor, and ends
 * after the last, after the first that fails, or when hostd listens no longer.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hostd/app.h"
#include "rpc/base/own.h"

/* One message per namespace: how it went, and when well its descriptor. */
union rights {
    char bytes[CMSG_SPACE(sizeof(int))];
    struct cmsghdr header;
};

static int send_one(int fd, const struct err *e, int netns_fd)
{
    union rights rights = {
        .header = {.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int))}};
    struct iovec data = {.iov_base = (void *)(uintptr_t)e, .iov_len = sizeof *e};
    struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1};
    memcpy(CMSG_DATA(&rights.header), &netns_fd, sizeof netns_fd);
    if (netns_fd >= 0) {
        message.msg_control = &rights;
        message.msg_controllen = sizeof rights;
    }
    return sendmsg(fd, &message, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static _Noreturn void make_all(struct app *app, int fd, pid_t hostd)
{
    int result = prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 || getppid() != hostd ? -ESRCH : 0;
    for (uint32_t i = 1; result == 0 && i < app->plan->service_count; i++) {
        struct err e = {0};
        int made = spawn_namespace(app, i, &e);
        result = send_one(fd, &e, app->instances[i].netns_fd);
        fd_close(&app->instances[i].netns_fd);
        result = made < 0 ? made : result;
    }
    _exit(result < 0);
}

int ahead_begin(struct app *app, struct ahead *ret_ahead, struct err *e)
{
    *ret_ahead = (struct ahead){.pid = 0, .fd = -1};
    if (app->is_plain || app->plan->service_count < 2)
        return 0;
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        return err_sys(e, -errno, "socketpair");
    FD_AUTO int own_fd = ends[0];
    FD_AUTO int child_fd = ends[1];
    pid_t hostd = getpid(), pid = fork();
    if (pid < 0)
        return err_sys(e, -errno, "fork");
    if (pid == 0) {
        fd_close(&own_fd); /* else it would never see that hostd listens no longer */
        make_all(app, child_fd, hostd);
    }
    *ret_ahead = (struct ahead){.pid = pid, .fd = fd_take(&own_fd)};
    return 0;
}

int ahead_next(struct app *app, const struct ahead *ahead, uint32_t service, struct err *e)
{
    if (ahead->pid == 0 || service == 0)
        return spawn_namespace(app, service, e);
    union rights rights = {.bytes = {0}};
    struct err made = {0};
    struct iovec data = {.iov_base = &made, .iov_len = sizeof made};
    struct msghdr message = {
        .msg_iov = &data, .msg_iovlen = 1, .msg_control = &rights, .msg_controllen = sizeof rights};
    ssize_t got;
    do
        got = recvmsg(ahead->fd, &message, MSG_CMSG_CLOEXEC);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return err_sys(e, -errno, "receive a network namespace");
    const struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS &&
        header->cmsg_len == CMSG_LEN(sizeof(int)))
        memcpy(&app->instances[service].netns_fd, CMSG_DATA(header), sizeof(int));
    if (got == (ssize_t)sizeof made && made.code < 0) {
        *e = made;
        return made.code;
    }
    if (message.msg_flags & MSG_CTRUNC)
        return err_sys(e, -EMFILE, "receive a network namespace");
    if (got != (ssize_t)sizeof made || app->instances[service].netns_fd < 0)
        return err_set(e, -ECHILD, "the child that makes network namespaces has ended");
    return 0;
}

void ahead_end(struct ahead *ahead)
{
    fd_close(&ahead->fd);
    if (ahead->pid > 0)
        (void)waitpid(ahead->pid, NULL, 0); /* it ends with its next message, if it has not */
    ahead->pid = 0;
}
