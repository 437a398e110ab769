/*
 * ring.c - operations on the inherited, sealed ring, and their completions.  Doing.
 *
 * Uses exactly the operations and the registration of rpc/base/sealed.h.  Completions are first told to who owns them
 * (ring_wait), and only afterwards does service code run.  See I3 and I4 of runtime.h.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "rpc/base/clock.h"
#include "rpc/base/log.h"
#include "rpc/base/sealed.h"
#include "rpc/runtime.h"
#include "rpc/spin.h"

#define SPIN_NS 50000u    /* the longest look for completions: about what the peer's wake-up and its answer take */
#define SPIN_GAP_NS 2000u /* between two looks: longer, and others had our CPU */

#define ALARM_WAITS 256u  /* waits for a far time, then PID 1 is asked to tell it: an idle service has far fewer */
#define ALARM_MS_MIN 100u /* a nearer one is not worth asking */
#define ALARM_MS_MAX 60000u

static struct spin spin;
static uint64_t alarm_ms; /* PID 1 wakes us then; 0: it was not asked */
static uint32_t far_waits;

#define FAR_MS 500u     /* a wait for a time farther away may end a tick late */
#define AT_ONCE_MAX 64u /* sends of one turn that complete only when they fail; more wait for their completion */

static struct at_once {
    uint64_t data; /* its user_data; 0: it failed, its completion came */
    int32_t length;
} at_once[AT_ONCE_MAX];
static uint32_t at_once_count;

static _Noreturn void fatal(int result, const char *what)
{
    log_line("rpc: %s: %s", what, strerror(-result));
    _exit(1);
}

int ring_open(struct err *e)
{
    struct io_uring_params params = rt.contract->ring;
    int result = io_uring_queue_mmap(CONTRACT_RING_FD, &params, &rt.ring);
    if (result < 0)
        return err_sys(e, result, "map the inherited ring");
    /* liburing's own set-up would have stored these; without the features a timed wait would slip in a TIMEOUT
     * operation. */
    rt.ring.features = params.features;
    rt.ring.flags = params.flags;
    /* Likewise the fixed relation of entries to the submission array: without it the kernel would see entry 0 for ever.
     */
    for (unsigned i = 0; i < params.sq_entries; i++)
        rt.ring.sq.array[i] = i;
    if (!(params.features & IORING_FEAT_EXT_ARG) || !(params.features & IORING_FEAT_NODROP))
        return err_set(e, -EOPNOTSUPP, "the ring cannot wait with a timeout or may lose completions");
    return 0;
}

/* ---- operations ---- */

static uint64_t user_data(enum op_kind kind, const struct endpoint *endpoint)
{
    return (uint64_t)kind << 56 | (uint64_t)(endpoint->slot & 0xFFFFFFu) << 32 | endpoint->use;
}

static struct io_uring_sqe *next_sqe(void)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&rt.ring);
    if (!sqe) {
        ring_submit();
        sqe = io_uring_get_sqe(&rt.ring);
    }
    if (!sqe)
        fatal(-EBUSY, "the ring takes no more operations");
    return sqe;
}

static void begin(struct io_uring_sqe *sqe, enum op_kind kind, struct endpoint *endpoint)
{
    sqe->flags = IOSQE_FIXED_FILE;
    sqe->user_data = user_data(kind, endpoint);
    endpoint->armed |= (uint8_t)(1u << kind);
}

void ring_accept(struct endpoint *listener, uint32_t slot)
{
    struct io_uring_sqe *sqe = next_sqe();
    io_uring_prep_accept(sqe, (int)listener->slot, NULL, NULL, 0);
    sqe->file_index = slot + 1; /* by hand: 0 would make a descriptor, the allocating form would take any slot */
    begin(sqe, OP_ACCEPT, listener);
}

void ring_recv(struct endpoint *endpoint, void *bytes, uint32_t length)
{
    struct io_uring_sqe *sqe = next_sqe();
    io_uring_prep_recv(sqe, (int)endpoint->slot, bytes, length, 0);
    if (endpoint->is_drained)
        sqe->ioprio = IORING_RECVSEND_POLL_FIRST; /* spares the kernel the look that would find nothing */
    begin(sqe, OP_RECV, endpoint);
}

void ring_send(struct endpoint *endpoint, const void *bytes, uint32_t length)
{
    struct io_uring_sqe *sqe = next_sqe();
    io_uring_prep_send(sqe, (int)endpoint->slot, bytes, length, MSG_NOSIGNAL);
    begin(sqe, OP_SEND, endpoint);
}

/*
 * With MSG_DONTWAIT the kernel decides in the submission itself, and with MSG_WAITALL all is sent or the operation has
 * failed, with what it did send as its result.  So once it was submitted, no completion means success, and the memory
 * is ours again: see settle().
 */
bool ring_send_at_once(struct endpoint *endpoint, const void *bytes, uint32_t length)
{
    if (at_once_count == AT_ONCE_MAX)
        return false;
    struct io_uring_sqe *sqe = next_sqe();
    io_uring_prep_send(sqe, (int)endpoint->slot, bytes, length, MSG_NOSIGNAL | MSG_DONTWAIT | MSG_WAITALL);
    begin(sqe, OP_SEND, endpoint);
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
    at_once[at_once_count++] = (struct at_once){.data = sqe->user_data, .length = (int32_t)length};
    return true;
}

void ring_read(struct endpoint *endpoint, void *bytes, uint32_t length)
{
    struct io_uring_sqe *sqe = next_sqe();
    io_uring_prep_read(sqe, (int)endpoint->slot, bytes, length, (uint64_t)-1);
    begin(sqe, OP_READ, endpoint);
}

void ring_cancel(struct endpoint *endpoint, enum op_kind kind)
{
    if (!(endpoint->armed & 1u << kind))
        return;
    struct io_uring_sqe *sqe = next_sqe();
    io_uring_prep_rw(IORING_OP_ASYNC_CANCEL, sqe, -1, NULL, 0, 0);
    sqe->addr = user_data(kind, endpoint);
    sqe->flags = IOSQE_FIXED_FILE;
    sqe->user_data = user_data(OP_CANCEL, endpoint); /* not counted as armed: what it cancels is waited for */
}

/* ---- endpoints ---- */

static void endpoint_freed(struct endpoint *endpoint)
{
    endpoint->state = ENDPOINT_FREE;
    endpoint->use++;
    endpoint->is_drained = false;
    if (endpoint->role == ROLE_LISTENER)
        listener_freed((struct listener *)endpoint);
    else
        conn_freed((struct conn *)endpoint);
}

static void free_slot(struct endpoint *endpoint)
{
    int none = -1;
    struct io_uring_files_update update = {.offset = endpoint->slot, .fds = (uint64_t)(uintptr_t)&none};
    int result = io_uring_register(CONTRACT_RING_FD, IORING_REGISTER_FILES_UPDATE, &update, 1);
    if (result < 0)
        fatal(result, "free a slot of the ring's table");
    endpoint_freed(endpoint);
}

void endpoint_close(struct endpoint *endpoint)
{
    if (endpoint->state != ENDPOINT_OPEN)
        return;
    endpoint->state = ENDPOINT_CLOSING;
    if (!endpoint->armed) {
        free_slot(endpoint);
        return;
    }
    for (enum op_kind kind = OP_ACCEPT; kind <= OP_SEND; kind++)
        ring_cancel(endpoint, kind);
}

/* ---- completions ---- */

static void complete_reader(struct reader *reader, int32_t result)
{
    if (result <= 0)
        fatal(result < 0 ? result : -EPIPE, reader == &rt.notes_reader ? "PID 1 is gone" : "read the eventfd");
    reader->got(reader->buffer, (uint32_t)result);
    ring_read(&reader->endpoint, reader->buffer, reader->bytes);
}

static void forget_at_once(uint64_t data)
{
    for (uint32_t i = 0; i < at_once_count; i++)
        if (at_once[i].data == data)
            at_once[i].data = 0;
}

static void complete(uint64_t data, int32_t result, uint32_t flags)
{
    if (data >> 56 == WIRE_TAG) {
        link_wire_came(data, result);
        return;
    }
    enum op_kind kind = (enum op_kind)(data >> 56);
    uint32_t slot = (uint32_t)(data >> 32) & 0xFFFFFFu;
    struct endpoint *endpoint = slot < rt.contract->slot_count ? rt.endpoints[slot] : NULL;
    if (kind == OP_CANCEL || !endpoint || endpoint->use != (uint32_t)data)
        return; /* of a cancel only what it cancelled counts */
    endpoint->armed &= (uint8_t) ~(1u << kind);
    if (kind == OP_RECV)
        endpoint->is_drained = !(flags & IORING_CQE_F_SOCK_NONEMPTY);
    else if (kind == OP_SEND)
        forget_at_once(data);
    if (endpoint->role == ROLE_READER)
        complete_reader((struct reader *)endpoint, result);
    else if (endpoint->role == ROLE_LISTENER)
        listener_accepted((struct listener *)endpoint, result);
    else if (endpoint->role == ROLE_STREAM)
        stream_done((struct conn *)endpoint, result);
    else if (endpoint->state == ENDPOINT_OPEN && kind == OP_RECV)
        conn_received((struct conn *)endpoint, result);
    else if (endpoint->state == ENDPOINT_OPEN && kind == OP_SEND)
        conn_sent((struct conn *)endpoint, result);
    if (endpoint->state == ENDPOINT_CLOSING && !endpoint->armed)
        free_slot(endpoint);
}

void ring_submit(void)
{
    for (;;) {
        int result = io_uring_submit(&rt.ring);
        if (result >= 0)
            return;
        if (result != -EINTR && result != -EAGAIN)
            fatal(result, "submit operations");
    }
}

/* Handles the completions that are there; what that submits comes with the next wait. */
static void drain(void)
{
    struct io_uring_cqe *cqe;
    unsigned head, count;
    struct {
        uint64_t data;
        int32_t result;
        uint32_t flags;
    } batch[64];
    bool is_more;
    do {
        is_more = false;
        count = 0;
        io_uring_for_each_cqe(&rt.ring, head, cqe)
        {
            batch[count].data = cqe->user_data;
            batch[count].flags = cqe->flags;
            batch[count++].result = cqe->res;
            if (count == sizeof batch / sizeof batch[0])
                break;
        }
        io_uring_cq_advance(&rt.ring, count); /* before handling: that may submit, and the kernel wants the room */
        for (unsigned i = 0; i < count; i++)
            complete(batch[i].data, batch[i].result, batch[i].flags);
        if (count == 0 && IO_URING_READ_ONCE(*rt.ring.sq.kflags) & IORING_SQ_CQ_OVERFLOW)
            is_more = io_uring_get_events(&rt.ring) == 0; /* the kernel kept some for which there was no room */
    } while (count > 0 || is_more);
}

/*
 * Of what was to be sent at once, the first `count` were submitted and every completion was seen: those that did not
 * fail were sent.  Behind them are new ones.
 */
static void settle(uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (at_once[i].data)
            complete(at_once[i].data, at_once[i].length, 0);
    at_once_count -= count;
    memmove(at_once, at_once + count, at_once_count * sizeof at_once[0]);
}

static void relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

static bool is_there(void)
{
    return io_uring_cq_ready(&rt.ring) || IO_URING_READ_ONCE(*rt.ring.sq.kflags) & IORING_SQ_TASKRUN;
}

/* Submits, and looks until a completion is there, but not for long. */
static void look(void)
{
    ring_submit();
    uint64_t begin_ns = clock_ns(), now_ns = begin_ns, last_ns = begin_ns;
    while (!is_there()) {
        if (now_ns - begin_ns > SPIN_NS) {
            spin_lost(&spin);
            return;
        }
        relax();
        last_ns = now_ns;
        now_ns = clock_ns();
    }
    /* It says something for looking only if it came while we looked: not before, nor while others had our CPU. */
    if (now_ns > begin_ns && clock_ns() - last_ns < SPIN_GAP_NS)
        spin_won(&spin);
}

void ring_alarm_came(void)
{
    alarm_ms = 0;
}

/*
 * A sleep with a time to end it costs the kernel a timer set and taken back, which is half a microsecond of a call's
 * ten on each side; and nearly always something else ends it.  So a service that waits often for times far away has PID
 * 1 wake it for the first of them, and sleeps without a timer until then.  true: it will be woken in time.
 */
static bool is_alarm_set(uint64_t until_ms)
{
    if (alarm_ms == 0 && until_ms > rt.now_ms + ALARM_MS_MIN && ++far_waits >= ALARM_WAITS) {
        far_waits = 0;
        uint64_t wait_ms = until_ms - rt.now_ms < ALARM_MS_MAX ? until_ms - rt.now_ms : ALARM_MS_MAX;
        if (notes_ask_alarm((uint32_t)wait_ms))
            alarm_ms = rt.now_ms + wait_ms;
    }
    if (alarm_ms != 0 && rt.now_ms >= alarm_ms)
        alarm_ms = 0; /* it is late, or came together with what woke us: not to be relied on again */
    return alarm_ms != 0 && alarm_ms <= until_ms;
}

void ring_wait(uint64_t until_ms)
{
    struct __kernel_timespec timeout = {0};
    bool is_timed = until_ms != TIMER_NEVER && !is_alarm_set(until_ms);
    if (is_timed && until_ms != 0) {
        uint64_t now_ms = until_ms > rt.now_ms + FAR_MS ? clock_coarse_ms() : clock_ms();
        uint64_t wait_ms = until_ms > now_ms ? until_ms - now_ms : 0;
        timeout.tv_sec = (long long)(wait_ms / 1000);
        timeout.tv_nsec = (long long)(wait_ms % 1000) * 1000000;
    }
    if (until_ms != 0 && spin_wants(&spin))
        look();
    struct io_uring_cqe *cqe = NULL;
    int result = io_uring_submit_and_wait_timeout(&rt.ring, &cqe, 1, is_timed ? &timeout : NULL, NULL);
    if (result < 0 && result != -ETIME && result != -EINTR && result != -EAGAIN)
        fatal(result, "wait for completions");
    rt.now_ms = clock_ms();
    if (io_uring_sq_ready(&rt.ring) > 0)
        ring_submit(); /* the kernel took only a part: short of memory */
    uint32_t submitted = at_once_count;
    drain();
    settle(submitted);
}
