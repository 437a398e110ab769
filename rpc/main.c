/*
 * main.c - rpc_main(): from the inherited ring and contract to the loop, and out again.
 *
 * A sealed service has no system calls to spare: memory comes from brk and from mappings that are never given back,
 * time from the vDSO, everything else through the ring.
 */
#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#include "rpc/base/clock.h"
#include "rpc/base/log.h"
#include "rpc/base/own.h"
#include "rpc/runtime.h"

struct runtime rt;

void runtime_end(int exit_code)
{
    rt.is_over = true;
    rt.exit_code = exit_code;
}

static void on_stop_timer(struct timer *timer)
{
    log_line("stopped with %u calls still running", rt.served_running);
    runtime_end(0);
}

/* ---- setting up ---- */

static void *zeroed(size_t count, size_t bytes_each)
{
    /* Mapped, not allocated: of a table with many slots only those that are used take memory. */
    void *at = mmap(NULL, count * bytes_each + 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return at == MAP_FAILED ? NULL : at;
}

static void add_reader(struct reader *reader, uint32_t slot, uint32_t bytes, void (*got)(const void *, uint32_t))
{
    reader->endpoint = (struct endpoint){.slot = slot, .role = ROLE_READER, .state = ENDPOINT_OPEN};
    reader->bytes = bytes;
    reader->got = got;
    rt.endpoints[slot] = &reader->endpoint;
    ring_read(&reader->endpoint, reader->buffer, bytes);
}

static void got_event(const void *bytes, uint32_t length)
{
    workers_woken();
}

static int add_link(uint32_t index, struct listener *listeners, struct err *e)
{
    struct link *link = &rt.links[index];
    link->contract = &contract_links()[index];
    link->index = index;
    link->generation = link->contract->peer_generation;
    link->want_timer.fire = link_want_fire;
    list_init(&link->wire_waiters);
    link->denied = calloc(rt.method_count + 1, sizeof *link->denied);
    if (!link->denied)
        return err_set(e, -ENOMEM, "no memory for link %u", index);
    uint32_t first = link->contract->slot_first, count = link->contract->slot_count;
    bool is_out = link->contract->direction == LINK_OUT;
    for (uint32_t i = 0; i < count; i++) {
        struct conn *conn = &rt.conns[first + i];
        if (is_out || i >= 2) {
            conn->link = link;
            conn_init(conn, first + i, is_out ? ROLE_CALLING : ROLE_SERVED);
        } else {
            listener_init(&listeners[i], first + i, link, NULL);
        }
        if (i < 2)
            link->wires[i] = rt.endpoints[first + i];
    }
    return 0;
}

static void add_ingress(uint32_t index, struct listener *listener)
{
    struct ingress *ingress = &rt.ingresses[index];
    ingress->contract = &contract_ingresses()[index];
    ingress->listener = listener;
    list_init(&ingress->pending);
    uint32_t first = ingress->contract->slot_first, count = ingress->contract->slot_count;
    listener_init(listener, first, NULL, ingress);
    for (uint32_t i = 1; i < count; i++) {
        rt.conns[first + i].ingress = ingress;
        conn_init(&rt.conns[first + i], first + i, ROLE_STREAM);
    }
}

/*
 * Each origin of work is promised its part of half of the fibres; the other half goes to whoever comes first.  Who
 * looks why a service is busy (the operator) finds one too.
 */
static void promise_fibres(void)
{
    struct share *operator_share = &operator_link()->share;
    operator_share->guaranteed = rt.contract->operator_slot_count > 0 && rt.contract->fibres_max >= 16;
    rt.guaranteed_unused = operator_share->guaranteed;
    uint32_t origins = rt.contract->ingress_count;
    for (uint32_t i = 0; i < rt.contract->link_count; i++)
        origins += rt.links[i].contract->direction == LINK_IN;
    if (origins == 0)
        return;
    uint32_t each = rt.contract->fibres_max / 2 / origins;
    for (uint32_t i = 0; i < rt.contract->ingress_count; i++)
        rt.ingresses[i].share.guaranteed = each;
    for (uint32_t i = 0; i < rt.contract->link_count; i++)
        if (rt.links[i].contract->direction == LINK_IN)
            rt.links[i].share.guaranteed = each;
    rt.guaranteed_unused += each * origins;
}

static int set_up(struct err *e)
{
    int result = contract_open(CONTRACT_FD, &rt.contract, e);
    if (result < 0 || (result = ring_open(e)) < 0 || (result = server_init(e)) < 0)
        return result;
    const struct contract *contract = rt.contract;
    fibre_pool_init(&rt.pool, contract->fibres_max, sizeof(struct task), RPC_ARENA_BYTES_MAX);
    list_init(&rt.ready);
    list_init(&rt.dirty);
    list_init(&rt.readable);
    rt.stop_timer.fire = on_stop_timer;
    rt.now_ms = clock_ms();
    notes_init();

    rt.endpoints = zeroed(contract->slot_count, sizeof(struct endpoint *));
    rt.conns = zeroed(contract->slot_count, sizeof(struct conn));
    rt.links = zeroed((size_t)contract->link_count + 1, sizeof(struct link));
    rt.ingresses = zeroed(contract->ingress_count, sizeof(struct ingress));
    size_t listener_count = (size_t)contract->link_count * 2 + contract->ingress_count;
    rt.listeners = zeroed(listener_count, sizeof(struct listener));
    /* Per task, per connection (the operator's: two), per listener and link one timer, and those of notes and stopping.
     */
    size_t timer_count = contract->fibres_max + contract->slot_count + contract->operator_slot_count + listener_count +
                         contract->link_count + 2;
    if (!rt.endpoints || !rt.conns || !rt.links || !rt.ingresses || !rt.listeners ||
        timers_init(&rt.timers, (uint32_t)timer_count) < 0)
        return err_set(e, -ENOMEM, "no memory for %u slots", contract->slot_count);
    for (uint32_t i = 0; i < contract->link_count; i++)
        if ((result = add_link(i, &rt.listeners[(size_t)i * 2], e)) < 0)
            return result;
    if ((result = operator_init(e)) < 0)
        return result;
    for (uint32_t i = 0; i < contract->ingress_count; i++)
        add_ingress(i, &rt.listeners[(size_t)contract->link_count * 2 + i]);
    promise_fibres();
    add_reader(&rt.event_reader, CONTRACT_EVENT_SLOT, sizeof(uint64_t), got_event);
    add_reader(&rt.notes_reader, CONTRACT_NOTE_SLOT, sizeof rt.notes_reader.buffer, notes_got);
    links_start();
    return 0;
}

/* ---- the start of the service, in its own fibre ---- */

static void start_service(void *arg)
{
    struct err e = {0};
    if (rt.service->start && rt.service->start(&e) != 0) {
        log_line("start: %s", e.text[0] ? e.text : "failed");
        runtime_end(1);
        return;
    }
    if (rt.is_stopping)
        return;
    rt.is_listening = true;
    for (uint32_t i = 0; i < rt.contract->link_count; i++)
        link_listen(&rt.links[i]);
    for (uint32_t i = 0; i < rt.contract->ingress_count; i++) {
        rt.ingresses[i].listener->endpoint.state = ENDPOINT_OPEN;
        listener_arm(rt.ingresses[i].listener);
    }
    ring_submit(); /* the accepts stand before anybody hears that we are ready */
    notes_ready();
}

/* ---- the loop ---- */

static void run_loop(void)
{
    for (;;) {
        do {
            tasks_run();
            conns_parse();
        } while (!list_is_empty(&rt.ready));
        notes_write();
        conns_flush();
        if (rt.is_stopping && rt.served_running == 0 && conns_are_flushed())
            runtime_end(0);
        if (rt.is_over) {
            ring_submit();
            return;
        }
        ring_wait(timers_next_ms(&rt.timers));
        timers_fire(&rt.timers, rt.now_ms);
    }
}

int rpc_main(int argc, char **argv, const struct rpc_service *service)
{
    /* Large pieces from brk as well: a mapping could never be given back without munmap. */
    (void)mallopt(M_MMAP_MAX, 0);
    (void)mallopt(M_ARENA_MAX, 1);
    rt = (struct runtime){.service = service};
    struct err e = {0};
    struct timespec now;
    if (clock_gettime(CLOCK_MONOTONIC, &now) != 0) {
        /* A machine whose clock source the vDSO cannot read: the call itself is not on a sealed service's list. */
        log_line("rpc: no clock without a system call here; choose the clock source tsc or kvm-clock");
        return 1;
    }
    if (set_up(&e) < 0) {
        log_line("rpc: %s", e.text);
        return 1;
    }
    struct task *task = task_new(&rt.own_share, start_service, NULL);
    if (!task) {
        log_line("rpc: no fibre to start in: fibres_max is %u", rt.contract->fibres_max);
        return 1;
    }
    task_ready(task);
    run_loop();
    return rt.exit_code;
}
