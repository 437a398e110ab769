/*
 * sealed.h - what a sealed ring may do: one list for the side that seals it and the side that uses it.
 *
 * initsvc's child restricts the ring to exactly this before the program starts (IORING_REGISTER_RESTRICTIONS); librpc
 * uses nothing else.  Never to be listed: CONNECT, SHUTDOWN, SENDMSG, SOCKET, URING_CMD, FIXED_FD_INSTALL (each of them
 * makes a wire or a descriptor that nobody declared).
 *
 * What librpc expects of the descriptors behind the ring, because nothing in the lists could set it later:
 *   - the eventfd and the read end of the note pipe are blocking (IORING_OP_READ of an O_NONBLOCK file gives EAGAIN);
 *   - the write end of the note pipe, CONTRACT_NOTE_FD, is O_NONBLOCK (the service never waits for PID 1);
 *   - TCP_NODELAY is set on connections and on listeners (accepted sockets inherit it).
 */
#ifndef RPC_BASE_SEALED_H
#define RPC_BASE_SEALED_H

#include <linux/io_uring.h>
#include <stddef.h>
#include <stdint.h>

static const uint8_t sealed_ops[] __attribute__((unused)) = {
    IORING_OP_ACCEPT,       /* into a slot of the listener's own quota */
    IORING_OP_RECV,         /* bytes of a wire */
    IORING_OP_SEND,         /* the same, the other way */
    IORING_OP_READ,         /* the eventfd and the note pipe */
    IORING_OP_ASYNC_CANCEL, /* before a slot is freed, and when a stream's time is over */
};

static const uint8_t sealed_registrations[] __attribute__((unused)) = {
    IORING_REGISTER_FILES_UPDATE, /* frees a slot: its file becomes -1 */
};

/*
 * Every operation uses the table (IOSQE_FIXED_FILE).  The one other flag of a submission that is allowed keeps the ring
 * from telling that an operation succeeded: it saves a send a turn of the loop, and does nothing else.  Never to be
 * listed: IO_LINK, IO_HARDLINK, IO_DRAIN, ASYNC (threads of the kernel), BUFFER_SELECT.
 */
#define SEALED_SQE_FLAGS_REQUIRED (1u << IOSQE_FIXED_FILE_BIT)
#define SEALED_SQE_FLAGS_ALLOWED (1u << IOSQE_FIXED_FILE_BIT | 1u << IOSQE_CQE_SKIP_SUCCESS_BIT)

#define SEALED_RESTRICTIONS (sizeof sealed_ops + sizeof sealed_registrations + 2)

/* The lists as IORING_REGISTER_RESTRICTIONS takes them. */
static inline void sealed_restrictions(struct io_uring_restriction list[SEALED_RESTRICTIONS])
{
    unsigned count = 0;
    for (size_t i = 0; i < sizeof sealed_ops; i++)
        list[count++] = (struct io_uring_restriction){.opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = sealed_ops[i]};
    for (size_t i = 0; i < sizeof sealed_registrations; i++)
        list[count++] = (struct io_uring_restriction){.opcode = IORING_RESTRICTION_REGISTER_OP,
                                                      .register_op = sealed_registrations[i]};
    list[count++] = (struct io_uring_restriction){.opcode = IORING_RESTRICTION_SQE_FLAGS_ALLOWED,
                                                  .sqe_flags = SEALED_SQE_FLAGS_ALLOWED};
    list[count++] = (struct io_uring_restriction){.opcode = IORING_RESTRICTION_SQE_FLAGS_REQUIRED,
                                                  .sqe_flags = SEALED_SQE_FLAGS_REQUIRED};
}

/* Flags that the ring is made with; SUBMIT_ALL: one refused operation does not hold back those behind it. */
#define SEALED_RING_FLAGS                                                                                              \
    (IORING_SETUP_R_DISABLED | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG |   \
     IORING_SETUP_SUBMIT_ALL)

#endif
