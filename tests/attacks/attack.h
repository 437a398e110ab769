/*
 * attack.h - what the attack rows have in common: how they say what happened, their arguments, the sealed ring.
 *
 * A row is one function, named like its id in tests/attacks/README.md.  It tries everything that belongs to the row
 * and notes each try; one try that succeeds makes the row succeed.
 */
#ifndef TESTS_ATTACKS_ATTACK_H
#define TESTS_ATTACKS_ATTACK_H

#include <errno.h>
#include <liburing.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "rpc/base/contract.h"

struct attempt {
    char refused[300]; /* names of the errors met, or a text; each once */
    char won[300];     /* what succeeded; "" = nothing */
};

struct row {
    const char *id;
    void (*run)(struct attempt *a);
    bool is_inline; /* not in a child of its own: it needs the process that the ring belongs to */
    void (*as_payload)(struct attempt *a); /* what this program tries once the row has executed it */
};

extern const struct row rows_identity[], rows_calls[], rows_escape[], rows_files[], rows_net[], rows_frames[],
    rows_kernel[]; /* end with id NULL */

/* Notes one try: result < 0 is the errno that refused it, anything else is success. */
void tried(struct attempt *a, const char *what, long result);
/* Notes a try whose outcome is no errno. */
void refused(struct attempt *a, const char *format, ...) __attribute__((format(printf, 2, 3)));
void won(struct attempt *a, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A system call's result, or the negative errno.  Raw: libc's wrapper may do something else first. */
#define CALL(name, ...) call_result(syscall(SYS_##name, __VA_ARGS__))
static inline long call_result(long result)
{
    return result < 0 ? -errno : result;
}

/* NAME=VALUE of the command line, or args.NAME of the service's configuration; "" where there is none. */
const char *argument(const char *name);
/* The IPv4 address that an argument holds, with a port. */
struct sockaddr_in address_of(const char *argument_name, uint16_t port);
#define PORT_OF_LINKS 7000
#define WAIT_MS 300 /* for an answer over a veth pair, which takes less than one */

/* Writes the row's line: for a program that a row execs. */
void report(const char *id, const struct attempt *a);

/* Executes a file in our place, in the one form that a sealed service's filter lets through (the path is a pointer,
 * which it cannot look at).  The file is this program, which reports the row, and goes on with the service's next one
 * where the row is_inline.  Returns the negative errno when it fails. */
long execute_fd(int fd, const char *path, const char *id);
static inline long execute(const char *path, const char *id)
{
    return execute_fd(-100 /* AT_FDCWD */, path, id);
}

/* ---- as a service: its contract and its sealed ring ---- */

extern const struct contract *contract; /* NULL where it was not started as a service */
extern struct io_uring ring;

/* A contract, and a ring that this task may use. */
bool has_ring(void);
struct io_uring_sqe *ring_prepare(int op, int fd, const void *address, unsigned length, uint64_t offset,
                                  unsigned flags);
/* Submits one operation and waits for it; its result, or the error of the submission. */
long ring_run(struct io_uring_sqe *sqe);
/* The first link of a direction (to or from peer, where it is not NULL), or NULL. */
const struct contract_link *ring_link(uint32_t direction, const char *peer);

#define OP_FIXED_FD_INSTALL 54 /* Linux 6.8 */

#endif
