/*
 * wires.c - listeners and connections of one wire.  Doing, thin.
 *
 * Invariant: every socket is bound to the wire's interface before anything else.  That binding, which accepted
 * sockets inherit, is what makes the name of a caller true; the address alone would not (Linux answers for any local
 * address on any interface).  In plain mode every wire is "lo" and no name is true.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#include "initsvc/init.h"
#include "rpc/base/own.h"

#define BACKLOG 16 /* a link has one caller; more than its slots need not wait */

static struct sockaddr_in address_of(uint32_t address, uint16_t port)
{
    return (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {.s_addr = htonl(address)}};
}

static int socket_on(const struct init_wire *wire, int flags, int *ret_fd, struct err *e)
{
    int one = 1;
    FD_AUTO int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, IPPROTO_TCP);
    if (fd < 0)
        return err_sys(e, -errno, "socket for %s", wire->ifname);
    if (setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, wire->ifname, (socklen_t)strlen(wire->ifname)) < 0)
        return err_sys(e, -errno, "bind to interface %s", wire->ifname);
    if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) < 0)
        return err_sys(e, -errno, "TCP_NODELAY on %s", wire->ifname);
    *ret_fd = fd_take(&fd);
    return 0;
}

int wire_listen(const struct init_wire *wire, int *ret_fd, struct err *e)
{
    FD_AUTO int fd = -1;
    int result = socket_on(wire, 0, &fd, e);
    if (result < 0)
        return result;
    struct sockaddr_in own = address_of(wire->own_address, wire->port);
    int one = 1;
    /* In plain mode hostd holds the port with a bound socket that does not listen, until we do. */
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) < 0)
        return err_sys(e, -errno, "SO_REUSEADDR on %s", wire->ifname);
    if (bind(fd, (struct sockaddr *)&own, sizeof own) < 0)
        return err_sys(e, -errno, "bind on %s", wire->ifname);
    if (listen(fd, BACKLOG) < 0)
        return err_sys(e, -errno, "listen on %s", wire->ifname);
    *ret_fd = fd_take(&fd);
    return 0;
}

int wire_dial(const struct init_wire *wire, int *ret_fd, struct err *e)
{
    FD_AUTO int fd = -1;
    int result = socket_on(wire, SOCK_NONBLOCK, &fd, e);
    if (result < 0)
        return result;
    struct sockaddr_in peer = address_of(wire->peer_address, wire->port);
    result = connect(fd, (struct sockaddr *)&peer, sizeof peer) < 0 ? -errno : 0;
    if (result < 0 && result != -EINPROGRESS)
        return err_sys(e, result, "connect on %s", wire->ifname);
    *ret_fd = fd_take(&fd);
    return result;
}

int wire_dial_result(int fd, struct err *e)
{
    int code = 0;
    socklen_t bytes = sizeof code;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &bytes) < 0)
        return err_sys(e, -errno, "result of connect");
    return code ? err_sys(e, -code, "connect") : 0;
}

int wire_make_blocking(int fd, struct err *e)
{
    if (fcntl(fd, F_SETFL, O_RDWR) < 0)
        return err_sys(e, -errno, "make a socket blocking");
    return 0;
}
