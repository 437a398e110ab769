/*
 * operator.c - a connection of `hostd call` to a service: one end for the client, the other for the service's PID 1.
 *
 * hostd only hands both on.  PID 1 puts its end into the service's sealed ring, where librpc serves it as the caller
 * "operator" (rpc/operator.c); hostd reads and writes none of it.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "hostd/supervise.h"
#include "rpc/base/own.h"

/* One message with one descriptor to PID 1. */
static int hand_over(int stage_fd, int fd)
{
    struct init_message message = {.kind = INIT_OPERATOR};
    struct iovec data = {.iov_base = &message, .iov_len = sizeof message};
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct msghdr header = {
        .msg_iov = &data, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    control.header =
        (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof fd), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(&control.header), &fd, sizeof fd);
    return sendmsg(stage_fd, &header, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)sizeof message ? 0 : -errno;
}

int operator_connect(struct app *app, const char *name, uint32_t *ret_service, int *ret_client_fd, struct err *e)
{
    uint32_t index = 0;
    int ends[2];
    while (index < app->plan->service_count && strcmp(SERVICE_NAME(app, index), name) != 0)
        index++;
    if (index == app->plan->service_count)
        return err_set(e, -ENOENT, "application '%s' has no service '%s'", app->name, name);
    const struct instance *instance = &app->instances[index];
    if (app->plan->services[index].manifest->kind == KIND_PROCESS)
        return err_set(e, -EOPNOTSUPP, "service '%s' is a process: it has no ring to call by", name);
    if (instance->state != INSTANCE_READY || instance->stage_fd < 0) {
        bool is_down = instance->state == INSTANCE_ENDED || instance->state == INSTANCE_FAILED;
        (void)err_set(e, -EAGAIN, "service '%s' is %s%s%s", name, instance_state_name(instance->state),
                      is_down ? "; to start it: hostd restart " : "", is_down ? name : "");
        return instance->last_end[0] ? err_hint(e, "last end: %s", instance->last_end) : -EAGAIN;
    }
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        return err_sys(e, -errno, "socketpair");
    FD_AUTO int client_fd = ends[0];
    FD_AUTO int service_fd = ends[1];
    int result = hand_over(instance->stage_fd, service_fd);
    if (result < 0)
        return err_sys(e, result, "reach PID 1 of service '%s'", name);
    *ret_service = index;
    *ret_client_fd = fd_take(&client_fd);
    return 0;
}
