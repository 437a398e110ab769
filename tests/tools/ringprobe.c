/*
 * ringprobe.c - what a service could try with its ring, its listener and its system calls; one line per attempt.
 *
 *   as a service (exec of the TOML)  tries all of it on the sealed ring that PID 1 made, says READY and stays
 *   ringprobe unsealed               tries the same on a ring and a listener of its own, in a network namespace of its
 *                                    own, with nothing restricted: the attempts do work where nobody prevents them
 *
 * Lines: "ringprobe: NAME RESULT", RESULT "OK" or the name of the errno; at the end "ringprobe: done".
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "apps/echo/echo.rpc.h"
#include "rpc/base/contract.h"
#include "rpc/base/own.h"

#define OP_FIXED_FD_INSTALL 54 /* Linux 6.8; newer than the headers */
#define SHOWN_MS 300           /* for an operation to complete; one that waits is an answer too: "PENDING" */

ECHO_SCHEMA_NOTE;

static struct io_uring ring;
static unsigned listener_slot, free_slot;
static struct sockaddr_in target = {.sin_family = AF_INET};

static void show(const char *name, long result)
{
    char line[96];
    int bytes = snprintf(line, sizeof line, "ringprobe: %s %s\n", name,
                         result == -ETIME ? "PENDING"
                         : result >= 0    ? "OK"
                                          : strerrorname_np((int)-result));
    (void)!write(STDOUT_FILENO, line, (size_t)bytes); /* the test misses it */
}

/* Submits what is prepared in sqe and waits for its result. */
static long run(struct io_uring_sqe *sqe)
{
    struct __kernel_timespec timeout = {.tv_nsec = SHOWN_MS * 1000000LL};
    struct io_uring_cqe *cqe = NULL;
    static uint64_t number;
    sqe->user_data = ++number;
    for (;;) {
        int waited = io_uring_submit_and_wait_timeout(&ring, &cqe, 1, &timeout, NULL);
        if (waited < 0 && waited != -EINTR)
            return waited;
        if (!cqe)
            continue;
        uint64_t data = cqe->user_data;
        long result = cqe->res;
        io_uring_cqe_seen(&ring, cqe);
        cqe = NULL;
        if (data == number) /* not a late answer of an earlier attempt */
            return result;
    }
}

static struct io_uring_sqe *prepare(int op, int fd, const void *address, unsigned length, uint64_t offset,
                                    unsigned flags)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);
    io_uring_prep_rw(op, sqe, fd, address, length, offset);
    sqe->flags = (uint8_t)flags;
    return sqe;
}

/* ---- attempts ---- */

static void try_operations(void)
{
    static char bytes[64];
    static struct msghdr message;
    const unsigned fixed = IOSQE_FIXED_FILE;
    int listener = (int)listener_slot;

    show("OPENAT", run(prepare(IORING_OP_OPENAT, AT_FDCWD, "/", O_RDONLY, 0, 0)));
    show("SOCKET", run(prepare(IORING_OP_SOCKET, AF_INET, NULL, 0, SOCK_STREAM, 0)));
    show("SENDMSG", run(prepare(IORING_OP_SENDMSG, listener, &message, 1, 0, fixed)));
    show("SPLICE", run(prepare(IORING_OP_SPLICE, listener, NULL, 1, 0, fixed)));
    show("URING_CMD", run(prepare(IORING_OP_URING_CMD, listener, NULL, 0, 0, fixed)));
    show("MSG_RING", run(prepare(IORING_OP_MSG_RING, CONTRACT_RING_FD, NULL, 0, 0, 0)));
    show("FIXED_FD_INSTALL", run(prepare(OP_FIXED_FD_INSTALL, listener, NULL, 0, 0, fixed)));
    show("CONNECT", run(prepare(IORING_OP_CONNECT, listener, &target, 0, sizeof target, fixed)));
    show("RECV-of-a-descriptor", run(prepare(IORING_OP_RECV, CONTRACT_NOTE_FD, bytes, sizeof bytes, 0, 0)));
    show("ACCEPT-to-a-descriptor", run(prepare(IORING_OP_ACCEPT, listener, NULL, 0, 0, fixed)));
}

/* A listener that was shut down is a socket like any other: a SEND with MSG_FASTOPEN makes it a connection. */
static void try_turning_the_listener(void)
{
    static const char text[] = "hello";
    const unsigned fixed = IOSQE_FIXED_FILE;
    show("SHUTDOWN", run(prepare(IORING_OP_SHUTDOWN, (int)listener_slot, NULL, SHUT_RD, 0, fixed)));
    struct io_uring_sqe *sqe =
        prepare(IORING_OP_SEND, (int)listener_slot, text, sizeof text, (uint64_t)(uintptr_t)&target, fixed);
    sqe->addr_len = sizeof target;
    sqe->msg_flags = MSG_FASTOPEN | MSG_NOSIGNAL;
    show("SEND-with-FASTOPEN", run(sqe));
}

static void try_registrations(void)
{
    int none = -1;
    struct io_uring_files_update update = {.offset = free_slot, .fds = (uint64_t)(uintptr_t)&none};
    static const struct {
        const char *name;
        unsigned opcode;
    } tried[] = {
        {"register-RESTRICTIONS", IORING_REGISTER_RESTRICTIONS},
        {"register-ENABLE_RINGS", IORING_REGISTER_ENABLE_RINGS},
        {"register-EVENTFD", IORING_REGISTER_EVENTFD},
        {"register-PERSONALITY", IORING_REGISTER_PERSONALITY},
        {"unregister-FILES", IORING_UNREGISTER_FILES},
    };
    for (size_t i = 0; i < ARRAY_COUNT(tried); i++) {
        long result = syscall(SYS_io_uring_register, ring.ring_fd, tried[i].opcode, NULL, 0);
        show(tried[i].name, result < 0 ? -errno : result);
    }
    long result = syscall(SYS_io_uring_register, ring.ring_fd, IORING_REGISTER_FILES_UPDATE, &update, 1);
    show("register-FILES_UPDATE", result < 0 ? -errno : result);
}

static void try_calls(void)
{
    struct io_uring_params params = {0};
    static const struct {
        const char *name;
        long number, arguments[4];
    } tried[] = {
        {"socket", SYS_socket, {AF_INET, SOCK_STREAM, 0, 0}},
        {"socketpair", SYS_socketpair, {AF_UNIX, SOCK_STREAM, 0, 0}},
        {"openat", SYS_openat, {AT_FDCWD, (long)"/", O_RDONLY, 0}},
        {"unshare-NEWUSER", SYS_unshare, {CLONE_NEWUSER, 0, 0, 0}},
        {"ptrace", SYS_ptrace, {0, 0, 0, 0}},
        {"dup", SYS_dup, {CONTRACT_NOTE_FD, 0, 0, 0}},
    };
    long result = syscall(SYS_io_uring_setup, 8, &params);
    show("io_uring_setup", result < 0 ? -errno : result);
    for (size_t i = 0; i < ARRAY_COUNT(tried); i++) {
        const long *a = tried[i].arguments;
        result = syscall(tried[i].number, a[0], a[1], a[2], a[3]);
        show(tried[i].name, result < 0 ? -errno : result);
    }
}

/* ---- as a service ---- */

static int map_sealed(void)
{
    const struct contract *contract = mmap(NULL, 65536, PROT_READ, MAP_SHARED, CONTRACT_FD, 0);
    if (contract == MAP_FAILED || contract->magic != CONTRACT_MAGIC)
        return -EINVAL;
    struct io_uring_params params = contract->ring;
    int result = io_uring_queue_mmap(CONTRACT_RING_FD, &params, &ring);
    if (result < 0)
        return result;
    ring.features = params.features;
    ring.flags = params.flags;
    for (unsigned i = 0; i < params.sq_entries; i++)
        ring.sq.array[i] = i;
    const struct contract_link *links = (const void *)((const char *)contract + contract->links_at);
    for (uint32_t i = 0; i < contract->link_count; i++)
        if (links[i].direction == LINK_IN) {
            listener_slot = links[i].slot_first;
            free_slot = links[i].slot_first + 2;
        }
    target.sin_port = htons(7000);
    target.sin_addr.s_addr = htonl(0x0A000001u); /* some wire's callee; the attempts must fail before it matters */
    return 0;
}

static int as_service(void)
{
    int result = map_sealed();
    if (result < 0) {
        show("map", result);
        return 1;
    }
    try_calls();
    try_registrations();
    try_operations();
    try_turning_the_listener();
    (void)!write(STDOUT_FILENO, "ringprobe: done\n", 16);
    struct note_up ready = {.kind = NOTE_READY};
    (void)!write(CONTRACT_NOTE_FD, &ready, sizeof ready);
    for (;;) /* until PID 1 ends us; a note would wake the reads that librpc has */
        (void)run(prepare(IORING_OP_READ, CONTRACT_NOTE_SLOT, &ready, sizeof ready, (uint64_t)-1, IOSQE_FIXED_FILE));
}

/* ---- unsealed ---- */

static int own_listener(struct sockaddr_in *address)
{
    socklen_t bytes = sizeof *address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    *address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (fd < 0 || bind(fd, (struct sockaddr *)address, sizeof *address) < 0 || listen(fd, 4) < 0 ||
        getsockname(fd, (struct sockaddr *)address, &bytes) < 0)
        return -errno;
    return fd;
}

static int raise_loopback(void)
{
    struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP};
    FD_AUTO int fd = socket(AF_INET, SOCK_DGRAM, 0);
    return fd < 0 || ioctl(fd, SIOCSIFFLAGS, &request) < 0 ? -errno : 0;
}

static int unsealed(void)
{
    struct sockaddr_in own;
    if (unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0 || raise_loopback() < 0)
        return perror("ringprobe: unshare"), 1;
    int victim = own_listener(&target), listener = own_listener(&own), pending = own_listener(&own);
    struct io_uring_params params = {.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN};
    if (victim < 0 || listener < 0 || pending < 0 || io_uring_queue_init_params(64, &ring, &params) < 0)
        return perror("ringprobe: set up"), 1;
    int table[2] = {listener, pending};
    if (io_uring_register_files(&ring, table, 2) < 0)
        return perror("ringprobe: table"), 1;

    /* A caller that waits in the backlog: ACCEPT with file_index 0 makes a descriptor of it. */
    FD_AUTO int caller = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(caller, (struct sockaddr *)&own, sizeof own) < 0)
        return perror("ringprobe: connect"), 1;
    show("ACCEPT-to-a-descriptor", run(prepare(IORING_OP_ACCEPT, 1, NULL, 0, 0, IOSQE_FIXED_FILE)));
    show("FIXED_FD_INSTALL", run(prepare(OP_FIXED_FD_INSTALL, 0, NULL, 0, 0, IOSQE_FIXED_FILE)));
    listener_slot = 0;
    try_turning_the_listener();
    show("the-victim-was-reached",
         fcntl(victim, F_SETFL, O_NONBLOCK) < 0 || accept(victim, NULL, NULL) < 0 ? -errno : 0);
    (void)!write(STDOUT_FILENO, "ringprobe: done\n", 16);
    return 0;
}

int main(int argc, char **argv)
{
    return argc > 1 && strcmp(argv[1], "unsealed") == 0 ? unsealed() : as_service();
}
