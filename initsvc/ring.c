/*
 * ring.c - the sealed ring of the service, and PID 1's own little ring that hands wires over.  Doing.
 *
 * Invariants
 *  I1  The service's ring is made disabled, filled, restricted, and only then enabled, by the task that will use it:
 *      from its first instruction the program can do what rpc/base/sealed.h lists, and no more.
 *  I2  A descriptor number of ours never reaches the service: wires go into slots.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "initsvc/init.h"
#include "rpc/base/own.h"
#include "rpc/base/sealed.h"
#include "rpc/base/weaken.h"

#define SENDER_ENTRIES 4u

static int restrict_ring(int ring_fd, struct err *e)
{
    struct io_uring_restriction list[SEALED_RESTRICTIONS];
    sealed_restrictions(list);
    int result = io_uring_register((unsigned)ring_fd, IORING_REGISTER_RESTRICTIONS, list, ARRAY_COUNT(list));
    return result < 0 ? err_sys(e, result, "restrict the ring") : 0;
}

/* Fills the table: event, notes, each link's first slot, each ingress's first slot; all else stays empty. */
static int fill_table(const struct init *init, int *table, int event_fd, int note_read_fd, const int *ingress_fds,
                      struct err *e)
{
    const struct contract *contract = init->contract;
    const struct contract_link *links = (const void *)((const char *)contract + contract->links_at);
    const struct contract_ingress *ingresses = (const void *)((const char *)contract + contract->ingresses_at);

    for (uint32_t i = 0; i < contract->slot_count; i++)
        table[i] = -1;
    table[CONTRACT_EVENT_SLOT] = event_fd;
    table[CONTRACT_NOTE_SLOT] = note_read_fd;
    for (size_t i = 0; i < init->link_count; i++)
        if (links[i].slot_first < contract->slot_count)
            table[links[i].slot_first] = init->links[i].fd; /* -1 where the peer is not there yet */
    for (uint32_t i = 0; i < contract->ingress_count; i++) {
        if (ingresses[i].slot_first >= contract->slot_count)
            return err_set(e, -EINVAL, "ingress slot beyond the table");
        if (i < init->setup->ingress_count) /* none beside a running service: they are its own alone */
            table[ingresses[i].slot_first] = ingress_fds[i];
    }
    return 0;
}

int ring_make(struct init *init, const int event_fd, const int note_read_fd, const int *ingress_fds, struct err *e)
{
    struct io_uring_params params = {
        .flags = (weakened("single-issuer") ? IORING_SETUP_R_DISABLED : SEALED_RING_FLAGS) | IORING_SETUP_CQSIZE,
        .cq_entries = init->setup->ring_entries * 4,
    };
    FD_AUTO int ring_fd = (int)syscall(__NR_io_uring_setup, init->setup->ring_entries, &params);
    if (ring_fd < 0) {
        int code = -errno;
        (void)err_sys(e, code, "io_uring_setup");
        if (code == -EPERM)
            (void)err_hint(e, "io_uring is forbidden here: see sysctl kernel.io_uring_disabled");
        return code;
    }
    /* No malloc: a heap would stay, with page tables of its own, in every PID 1. */
    size_t table_bytes = init->contract->slot_count * sizeof(int);
    int *table = mmap(NULL, table_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (table == MAP_FAILED)
        return err_sys(e, -errno, "memory for a table of %u slots", init->contract->slot_count);
    int result = fill_table(init, table, event_fd, note_read_fd, ingress_fds, e);
    if (result == 0) {
        result = io_uring_register((unsigned)ring_fd, IORING_REGISTER_FILES, table, init->contract->slot_count);
        if (result < 0)
            (void)err_sys(e, result, "register %u slots", init->contract->slot_count);
    }
    (void)munmap(table, table_bytes);
    if (result < 0)
        return result;
    result = init_is_plain(init) || weakened("ring") ? 0 : restrict_ring(ring_fd, e);
    if (result < 0)
        return result;
    init->ring_params = params;
    init->ring_fd = fd_take(&ring_fd);
    return 0;
}

int ring_enable(int ring_fd, struct err *e)
{
    int result = io_uring_register((unsigned)ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
    return result < 0 ? err_sys(e, result, "enable the ring") : 0;
}

/* Restricted like the service's: seccomp cannot look into a ring, and without this one PID 1 could make any socket. */
static int restrict_sender(struct io_uring *sender, struct err *e)
{
    struct io_uring_restriction list[] = {
        {.opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = IORING_OP_MSG_RING},
        {.opcode = IORING_RESTRICTION_REGISTER_OP, .register_op = IORING_REGISTER_FILES_UPDATE},
    };
    int result = weakened("sender") ? 0
                                    : io_uring_register((unsigned)sender->ring_fd, IORING_REGISTER_RESTRICTIONS, list,
                                                        ARRAY_COUNT(list));
    return result < 0 ? err_sys(e, result, "restrict PID 1's ring") : ring_enable(sender->ring_fd, e);
}

int sender_make(struct io_uring *sender, struct err *e)
{
    int result = io_uring_queue_init(SENDER_ENTRIES, sender, IORING_SETUP_R_DISABLED);
    if (result < 0)
        return err_sys(e, result, "io_uring_setup for PID 1");
    int none = -1;
    result = io_uring_register_files(sender, &none, 1);
    return result < 0 ? err_sys(e, result, "register a slot for PID 1") : restrict_sender(sender, e);
}

int sender_send(struct io_uring *sender, int ring_fd, int fd, uint32_t slot, uint64_t user_data, struct err *e)
{
    int result = io_uring_register_files_update(sender, 0, &fd, 1);
    if (result < 0)
        return err_sys(e, result, "take a wire into PID 1's slot");
    struct io_uring_sqe *sqe = io_uring_get_sqe(sender);
    if (!sqe)
        return err_set(e, -EBUSY, "PID 1's ring is full");
    io_uring_prep_rw(IORING_OP_MSG_RING, sqe, ring_fd, NULL, 0, user_data);
    sqe->addr = IORING_MSG_SEND_FD;
    sqe->addr3 = 0; /* our slot */
    sqe->file_index = slot + 1;
    result = io_uring_submit_and_wait(sender, 1);
    if (result < 0)
        return err_sys(e, result, "submit a wire");
    struct io_uring_cqe *cqe = NULL;
    result = io_uring_peek_cqe(sender, &cqe);
    if (result == 0) {
        result = cqe->res;
        io_uring_cqe_seen(sender, cqe);
    }
    int none = -1;
    (void)io_uring_register_files_update(sender, 0, &none, 1); /* only drops our reference */
    return result < 0 ? err_sys(e, result, "send a wire into slot %u", slot) : 0;
}
