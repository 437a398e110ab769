/*
 * leftovers.c - ends what a hostd that died has left, where it is not adopted.  Doing.
 *
 * Two ways to it, and neither is a bare pid: the marks of the ledger (process.h), and the sockets below init/, which
 * only a PID 1 of this application holds.  The second finds those too that no ledger names.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "hostd/adopt.h"
#include "rpc/base/own.h"

#define END_MS_MAX 2000 /* for a killed process to be gone */

static int init_address(const struct app *app, const char *service, struct sockaddr_un *ret_address)
{
    *ret_address = (struct sockaddr_un){.sun_family = AF_UNIX};
    int bytes = snprintf(ret_address->sun_path, sizeof ret_address->sun_path, "%s/init/%s", app->run_dir, service);
    return bytes < (int)sizeof ret_address->sun_path ? 0 : -ENAMETOOLONG;
}

int adopt_listen(const struct app *app, const char *service, int *ret_fd, struct err *e)
{
    struct sockaddr_un address;
    int result = init_address(app, service, &address);
    if (result < 0)
        return err_set(e, result, "path of the socket of service '%s' is too long", service);
    (void)unlink(address.sun_path); /* of its last start */
    FD_AUTO int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, 4) < 0)
        return err_sys(e, -errno, "listen on %s", address.sun_path);
    *ret_fd = fd_take(&fd);
    return 0;
}

int leftovers_connect(const struct app *app, const char *service, int *ret_fd)
{
    struct sockaddr_un address;
    int one = 1;
    int result = init_address(app, service, &address);
    if (result < 0)
        return result;
    FD_AUTO int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    /* The kernel then says with each message which process sent it. */
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &one, sizeof one) < 0 ||
        connect(fd, (struct sockaddr *)&address, sizeof address) < 0)
        return -errno;
    *ret_fd = fd_take(&fd);
    return 0;
}

/* ---- by the ledger ---- */

size_t leftovers_alive(const struct app *app)
{
    size_t count = 0;
    for (size_t i = 0; app->ledger && i < app->ledger->service_count; i++) {
        FD_AUTO int pidfd = -1;
        count += process_open(&app->ledger->services[i].mark, ADOPT_PROGRAM, &pidfd) == 0;
    }
    return count;
}

static int end_marked(const struct ledger_service *service, struct err *e)
{
    FD_AUTO int pidfd = -1;
    if (process_open(&service->mark, ADOPT_PROGRAM, &pidfd) < 0)
        return 0;
    if (syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0) < 0 && errno != ESRCH)
        return err_sys(e, -errno, "end service '%s' of an earlier run (pid %d)", service->name, (int)service->mark.pid);
    if (process_wait(pidfd, END_MS_MAX) < 0)
        return err_set(e, -EBUSY, "service '%s' of an earlier run (pid %d) does not end", service->name,
                       (int)service->mark.pid);
    return 1;
}

/* ---- by the sockets ---- */

/* Who answers INIT_ADOPT, by the kernel's word; 0: nobody within the time. */
static pid_t answering(int fd)
{
    union {
        char bytes[CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(sizeof(int) * MANIFEST_INGRESSES_PER_SERVICE_MAX)];
        struct cmsghdr align;
    } control;
    struct init_adopted header;
    struct ucred sender = {0};
    struct iovec data = {.iov_base = &header, .iov_len = sizeof header};
    struct msghdr message = {
        .msg_iov = &data, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    struct pollfd readable = {.fd = fd, .events = POLLIN};
    if (poll(&readable, 1, END_MS_MAX) != 1 || recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) <= 0)
        return 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c)) {
        if (c->cmsg_level != SOL_SOCKET)
            continue;
        if (c->cmsg_type == SCM_CREDENTIALS)
            memcpy(&sender, CMSG_DATA(c), sizeof sender);
        size_t count = c->cmsg_type == SCM_RIGHTS ? (c->cmsg_len - CMSG_LEN(0)) / sizeof(int) : 0;
        for (size_t i = 0; i < count; i++) { /* its ingress listeners: not wanted here */
            int received;
            memcpy(&received, CMSG_DATA(c) + i * sizeof received, sizeof received);
            fd_close(&received);
        }
    }
    return sender.pid;
}

/* Asked who it is, then to stop at once.  Until it is told to it lives: so the pidfd is its own. */
static int end_listening(const struct app *app, const char *service, struct err *e)
{
    FD_AUTO int fd = -1;
    if (leftovers_connect(app, service, &fd) < 0)
        return 0; /* nobody is there */
    const struct init_message question = {.kind = INIT_ADOPT}, stop = {.kind = INIT_STOP, .value = 0};
    (void)send(fd, &question, sizeof question, MSG_NOSIGNAL); /* one that is ending by itself: as wanted */
    pid_t pid = answering(fd);
    FD_AUTO int pidfd = pid > 0 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
    (void)send(fd, &stop, sizeof stop, MSG_NOSIGNAL);
    struct pollfd closed = {.fd = fd, .events = 0};
    if (poll(&closed, 1, END_MS_MAX) != 1 || (pidfd >= 0 && process_wait(pidfd, END_MS_MAX) < 0))
        return err_set(e, -EBUSY, "PID 1 of service '%s' of an earlier run does not end", service);
    return pidfd >= 0;
}

static int end_all_listening(const struct app *app, size_t *count, struct err *e)
{
    FD_AUTO int fd = openat(app->run_fd, "init", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *directory = fd < 0 ? NULL : fdopendir(fd);
    int result = 0;
    if (!directory)
        return 0;
    int list_fd = fd_take(&fd); /* the directory's now */
    for (struct dirent *entry; result >= 0 && (entry = readdir(directory));) {
        if (entry->d_name[0] == '.')
            continue;
        result = end_listening(app, entry->d_name, e);
        *count += result > 0;
        if (result >= 0)
            (void)unlinkat(list_fd, entry->d_name, 0); /* found again by nobody */
    }
    (void)closedir(directory);
    return result < 0 ? result : 0;
}

int leftovers_end(struct app *app, struct err *e)
{
    size_t count = 0;
    int result = 0;
    for (size_t i = 0; result >= 0 && app->ledger && i < app->ledger->service_count; i++) {
        result = end_marked(&app->ledger->services[i], e);
        count += result > 0;
    }
    if (result >= 0)
        result = end_all_listening(app, &count, e);
    if (result < 0)
        return result;
    (void)unlinkat(app->run_fd, "ledger", 0);
    cgroup_sweep(&app->cgroups, app->name);
    free(app->ledger);
    app->ledger = NULL;
    app->is_kept = false;
    app->ended_leftovers = count;
    return 0;
}
