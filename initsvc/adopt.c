/*
 * adopt.c - a hostd that comes after the death of the one that started us.
 *
 * It connects to a listener that its predecessor bound below the run directory and handed to us with the setup, says
 * INIT_ADOPT, and gets one INIT_ADOPTED: what we know, and a duplicate of each ingress listener.  From then on that
 * connection is our stage socket, and the old one is closed.
 *
 * Invariants
 *  I1  The listener's path is below a directory of root's alone: that keeps all services away.  Were it open, nobody
 *      of our own PID namespace and no id that our user namespace knows is listened to (an id of another service looks
 *      from here like the host's root: unknown).  In plain mode, where there is no namespace: our own id alone.
 *  I2  A connection that does not say INIT_ADOPT changes nothing; there is at most one.
 *  I3  Nothing here blocks.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "initsvc/init.h"
#include "rpc/base/clock.h"
#include "rpc/base/own.h"

#define UNMAPPED_ID 65534u /* what the kernel shows of an id that a user namespace does not have */

static bool is_hostd(const struct init *init, int fd)
{
    struct ucred peer;
    socklen_t bytes = sizeof peer;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &bytes) < 0)
        return false;
    if (init_is_plain(init))
        return peer.uid == geteuid();
    return peer.pid == 0 && peer.uid == UNMAPPED_ID;
}

void adopt_accept(struct init *init)
{
    FD_AUTO int fd = accept4(init->adopt_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0 || !is_hostd(init, fd))
        return;
    fd_close(&init->candidate_fd);
    init->candidate_fd = fd_take(&fd);
}

static struct init_counts counts_of(const struct link *link)
{
    return (struct init_counts){.calls = link->told_calls, .denied = link->told_denied, .broken = link->told_broken};
}

/* One message, so that it comes whole or not at all: the header, what we know of each link, the ingress listeners. */
static int answer(const struct init *init, int fd)
{
    static struct init_adopted_link links[LINKS_MAX];
    uint64_t now = clock_ms();
    struct init_adopted header = {
        .kind = INIT_ADOPTED,
        .flags = (init->is_ready ? INIT_ADOPTED_READY : 0) | (init->kill_at_ms ? INIT_ADOPTED_STOPPING : 0),
        .generation = init->contract->generation,
        .link_count = (uint32_t)init->link_count,
        .ingress_count = init->setup->ingress_count,
        .operator_counts = counts_of(&init->operator),
        .ready_ms = init->is_ready ? now - init->ready_at_ms : 0,
        .alone_ms = init->alone_since_ms ? now - init->alone_since_ms : 0,
    };
    for (size_t i = 0; i < init->link_count; i++) {
        const struct link *link = &init->links[i];
        links[i] = (struct init_adopted_link){.wire = link->wire, .counts = counts_of(link)};
    }
    struct iovec data[] = {{.iov_base = &header, .iov_len = sizeof header},
                           {.iov_base = links, .iov_len = init->link_count * sizeof links[0]}};
    union {
        char bytes[CMSG_SPACE(sizeof(int) * INIT_FDS_MAX)];
        struct cmsghdr align;
    } control = {0};
    struct msghdr message = {.msg_iov = data, .msg_iovlen = ARRAY_COUNT(data)};
    size_t fd_bytes = header.ingress_count * sizeof(int);
    if (fd_bytes > 0) {
        message.msg_control = &control;
        message.msg_controllen = CMSG_SPACE(fd_bytes);
        struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
        rights->cmsg_level = SOL_SOCKET;
        rights->cmsg_type = SCM_RIGHTS;
        rights->cmsg_len = CMSG_LEN(fd_bytes);
        memcpy(CMSG_DATA(rights), init->fds + INIT_FD_FIRST + init->setup->mount_count, fd_bytes);
    }
    return sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

void adopt_read(struct init *init)
{
    struct init_message message;
    ssize_t got = recv(init->candidate_fd, &message, sizeof message, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if ((size_t)got != sizeof message || message.kind != INIT_ADOPT || answer(init, init->candidate_fd) < 0) {
        fd_close(&init->candidate_fd);
        return;
    }
    fd_close(&init->stage_fd);
    init->stage_fd = fd_take(&init->candidate_fd);
    init->alone_since_ms = 0;
}
