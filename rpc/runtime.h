/*
 * runtime.h - the state of a service, and who changes which part of it.  Private to this folder.
 *
 * One turn of the loop (main.c):
 *
 *   ring_wait() ─▶ completions change states and queue work ─▶ timers ─▶ tasks and frames run ─▶ notes, sends ─┐
 *        ▲                                                                                                     │
 *        └─────────────────────────────────────────────────────────────────────────────────────────────────────┘
 *
 * Invariants
 *  I1  Handlers of completions and of timers never run service code: they change states, queue operations, mark tasks
 *      ready.  Service code runs only in tasks, between them and the next wait.
 *  I2  A connection is given up only in completions, timers and notes, and in the parsing of its own bytes; never by
 *      something that a task calls.  What a task cannot send it marks (conn->is_doomed).
 *  I3  A slot of the ring's table is used again only after every operation on it has completed:
 *
 *        FREE ──accept armed, or wire asked for──▶ AWAITED ──it came──▶ OPEN ──endpoint_close()──▶ CLOSING
 *          ▲                                          │                                              │
 *          └────────── nothing came ──────────────────┴───── last operation completed, slot freed ◀──┘
 *
 *  I4  user_data of our operations is kind, slot and how often the slot was used: kind is below OP_KIND_COUNT, so it
 *      is never WIRE_TAG, and a completion of an earlier use is told from one of this use.
 */
#ifndef RPC_RUNTIME_H
#define RPC_RUNTIME_H

#include <liburing.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rpc/base/contract.h"
#include "rpc/base/err.h"
#include "rpc/fibre.h"
#include "rpc/frame.h"
#include "rpc/list.h"
#include "rpc/rpc.h"
#include "rpc/timer.h"

#define NEVER_MS TIMER_NEVER
#define DEADLINE_MS_MAX 300000u /* of a served call: a caller cannot hold a fibre longer with a far deadline */
#define WIRE_WAIT_MS 2000u      /* a call waits this long for a wire (a restart takes far less), then UNAVAILABLE */
#define WIRE_PAUSE_MS_MAX 1000u /* between asking for wires of one link that keep breaking */
#define WIRE_STEADY_MS 1000u    /* a wire that held this long resets the pause */
#define SEND_STALL_MS 10000u    /* a peer takes what one SEND carries within this time, or is broken off */
#define SEND_GATHER_BYTES (128u << 10)  /* waiting to be sent on one connection; one whole frame always fits */
#define SEND_PAUSE_BYTES (64u << 10)    /* with more than this unsent we stop receiving from the peer */
#define RECEIVE_BYTES_IDLE (4u << 10)   /* what an idle connection holds for receiving */
#define RECEIVE_BYTES_USUAL (64u << 10) /* grown to under load; more only for one larger frame */
#define OUT_KEEP_BYTES (16u << 10)      /* an empty send buffer larger than this is freed */
#define OUTSTANDING_MAX 4096u           /* calls on one link that were not answered yet, given-up ones included */
#define NOTES_PAUSE_MS 100u             /* between notes about denied calls and broken connections */
#define COUNTS_PAUSE_MS 1000u           /* between notes that count calls */
#define ACCEPT_PAUSE_MS 100u            /* after an accept that failed */
#define LOG_PAUSE_MS 1000u              /* between lines about denied calls of one link */
#define OPERATOR_IDLE_MS 3000u          /* an operator's connection without a running call is closed after this */

/* ---- what a slot holds ---- */

enum op_kind { OP_NONE, OP_ACCEPT, OP_RECV, OP_SEND, OP_CANCEL, OP_READ, OP_KIND_COUNT };
_Static_assert((unsigned)OP_KIND_COUNT <= WIRE_TAG, "kinds of operations are told from wires by the top byte");

enum endpoint_role {
    ROLE_READER,   /* the eventfd or the note pipe */
    ROLE_LISTENER, /* of a link in, or of an ingress */
    ROLE_SERVED,   /* connection of a link in */
    ROLE_CALLING,  /* connection of a link out */
    ROLE_STREAM,   /* connection of an ingress */
};

enum endpoint_state { ENDPOINT_FREE, ENDPOINT_AWAITED, ENDPOINT_OPEN, ENDPOINT_CLOSING };

struct endpoint {
    uint32_t slot, use;
    uint8_t role, state; /* enum endpoint_role, enum endpoint_state */
    uint8_t armed;       /* bits 1 << enum op_kind: at most one of a kind is in flight */
    bool is_drained;     /* the last RECV left nothing behind */
};

struct link;
struct ingress;
struct task;
struct conn;

struct reader {
    struct endpoint endpoint;
    void (*got)(const void *bytes, uint32_t length);
    uint32_t bytes;
    uint64_t buffer[64];
};

struct listener {
    struct endpoint endpoint;
    struct link *link; /* one of the two */
    struct ingress *ingress;
    uint32_t generation; /* of the peer it listens for: the identity of what it accepts */
    struct conn *target; /* the accept in flight goes into this one's slot */
    struct timer retry;
};

struct bytes {
    uint8_t *at;
    uint32_t used, room;
};

struct conn {
    struct endpoint endpoint;
    struct link *link;       /* NULL: a stream */
    struct ingress *ingress; /* NULL: of a link */
    uint32_t generation;     /* of the peer: that of the listener it came in by, or of the wire */
    bool is_paused;          /* too much is unsent: its bytes are not parsed */
    bool is_doomed;          /* to be closed at the next turn (I2) */
    bool is_dirty, is_readable;
    uint64_t opened_ms;
    struct list dirty_node, readable_node;
    /* frames */
    struct bytes in;
    uint32_t in_at; /* parsed up to here */
    struct bytes gather, flight;
    uint32_t flight_at; /* sent up to here */
    struct timer stall;
    struct timer idle;        /* of the operator's */
    struct list room_waiters; /* tasks that wait for room in gather */
    struct list calls;        /* being served */
    /* streams */
    struct task *task; /* the one that reads and writes */
    int32_t result;    /* of its last operation */
    bool has_result;
    struct list pending_node; /* accepted, waits for a fibre */
};

/* ---- tasks ---- */

/* So many tasks of each origin always find a fibre: one caller cannot take them all. */
struct share {
    uint32_t running, guaranteed;
};

enum task_state { TASK_RUNNING, TASK_READY, TASK_WAITING };

struct task {
    struct fibre fibre; /* first: a task is its fibre */
    struct list node;   /* on one list: ready ones, or those who wait for the same thing */
    struct timer timer;
    struct share *share;
    void (*run)(void *arg);
    void *arg;
    enum task_state state;
    bool is_interruptible; /* the wait it is in ends with a cancel */
    bool is_cancelled;     /* the call that it serves, or the stream's service, ends */
    bool is_served;        /* counts for the end: a call or a stream */
    int wake_result;
    uint64_t end_ms;           /* of the call that it serves; NEVER_MS */
    uint64_t deadline_ms;      /* of the calls that it makes; 0: RPC_DEADLINE_MS_DEFAULT each */
    const struct frame *reply; /* to its call; valid until it suspends again */
    char error_text[FRAME_TEXT_BYTES_MAX + 1];
};

/* ---- links ---- */

struct id_entry {
    struct task *task; /* NULL: it gave up; the answer is still to come */
    uint32_t id, next_free;
    bool is_used;
};

struct id_table {
    struct id_entry *entries;
    uint32_t count, used, free_head, turn;
};

struct link {
    const struct contract_link *contract;
    uint32_t index;
    uint32_t generation;       /* the newest that PID 1 told us */
    struct endpoint *wires[2]; /* listeners or connections */
    uint32_t turn;             /* the one of the two that is used or asked for */
    uint32_t pause_ms;
    struct timer want_timer;
    bool has_want; /* a NOTE_WANT is to be written */
    uint32_t count_calls, count_broken;
    /* in */
    struct share share;
    uint32_t *denied; /* per method of ours; the last one: methods that are not */
    uint64_t log_next_ms;
    uint32_t log_left_out;
    /* out */
    struct id_table ids;
    struct list wire_waiters;
};

struct ingress {
    const struct contract_ingress *contract;
    struct listener *listener;
    struct share share;
    struct list pending; /* connections that wait for a fibre */
};

/* One method of the interfaces that this service serves. */
struct served_method {
    uint32_t id;
    uint32_t place; /* in its interface */
    const struct rpc_method *method;
    const struct rpc_interface *interface;
};

/* ---- the service ---- */

struct runtime {
    const struct rpc_service *service;
    const struct contract *contract;
    struct io_uring ring;
    uint64_t now_ms; /* when the last wait ended */
    struct timers timers;

    struct fibre_pool pool;
    struct list ready;
    uint32_t guaranteed_unused; /* of all shares */
    uint32_t served_running;
    struct share own_share; /* start, rpc_spawn() */

    struct endpoint **endpoints; /* by slot; NULL where nobody owns it */
    struct link *links;          /* those of the contract, then the operator's */
    struct contract_link operator_contract;
    uint32_t operator_wants; /* bits: NOTE_WANT is to be written for these of its slots */
    struct ingress *ingresses;
    struct conn *conns; /* by slot */
    struct listener *listeners;
    struct reader notes_reader, event_reader;
    struct list dirty, readable;

    struct served_method *methods; /* sorted by id */
    uint32_t method_count;

    bool is_listening; /* `start` is done: callers are accepted */
    bool is_stopping, is_over;
    int exit_code;
    uint64_t stop_at_ms;
    struct timer stop_timer;
};

extern struct runtime rt;

/* ---- contract.c: reading what PID 1's child left ---- */
int contract_open(int fd, const struct contract **ret_contract, struct err *e);
const struct contract_link *contract_links(void);
const struct contract_method *contract_methods(const struct contract_link *link);
const struct contract_ingress *contract_ingresses(void);
bool contract_allows(const struct contract_link *link, uint32_t method);

/* ---- ring.c: operations and completions ---- */
int ring_open(struct err *e);
/* Queues operations on an endpoint.  The ring or the program is broken where that is impossible: both end then. */
void ring_accept(struct endpoint *listener, uint32_t slot);
void ring_recv(struct endpoint *endpoint, void *bytes, uint32_t length);
void ring_send(struct endpoint *endpoint, const void *bytes, uint32_t length);
/*
 * Sends what the peer takes at once.  That it took all of it does not end the next wait, but is told by conn_sent()
 * like any result, after whatever does; less than all of it, or an error (-EAGAIN: nothing yet), ends the wait.  false:
 * too many in one turn, use ring_send().
 */
bool ring_send_at_once(struct endpoint *endpoint, const void *bytes, uint32_t length);
void ring_read(struct endpoint *endpoint, void *bytes, uint32_t length);
void ring_cancel(struct endpoint *endpoint, enum op_kind kind);
/* OPEN -> CLOSING, or straight to FREE; then endpoint_freed(). */
void endpoint_close(struct endpoint *endpoint);
void ring_submit(void);
/* The time came that PID 1 was asked to tell. */
void ring_alarm_came(void);
/* Submits, waits for a completion or until the time (TIMER_NEVER: no limit; 0: does not wait), handles all that are
 * there. */
void ring_wait(uint64_t until_ms);

/* ---- task.c ---- */
int tasks_init(void);
struct task *task_self(void);
/* NULL: no fibre for this share.  Call task_go() next: the new task takes its argument from what the caller has on its
 * stack. */
struct task *task_new(struct share *share, void (*run)(void *arg), void *arg);
void task_go(struct task *task);    /* main context only: runs it until it suspends or ends */
void task_ready(struct task *task); /* queues it */
/* Suspends until task_wake(), until_ms (-ETIMEDOUT) or, if interruptible, until the call that it serves ends
 * (-ETIMEDOUT, -ECANCELED). */
int task_wait(uint64_t until_ms, bool is_interruptible);
void task_wake(struct task *task, int result);       /* no-op unless it waits */
void task_resume_now(struct task *task, int result); /* main context only: the same, and it runs at once */
void tasks_wake_all(struct list *waiters, int result);
void task_cancel(struct task *task);
void tasks_run(void);

/* ---- conn.c: frames over a connection ---- */
void conn_init(struct conn *conn, uint32_t slot, enum endpoint_role role);
void conn_open(struct conn *conn, uint32_t generation); /* its slot holds a socket now */
void conn_break(struct conn *conn);
void conn_broken(struct conn *conn); /* the same, because the peer broke the protocol: counted */
void conn_received(struct conn *conn, int32_t result);
void conn_sent(struct conn *conn, int32_t result);
void conn_freed(struct conn *conn);
bool conn_has_room(const struct conn *conn, size_t payload_bytes);
/* Appends a frame; returns where its payload goes (frame->payload_bytes of it), NULL when memory is short (the
 * connection is doomed). */
uint8_t *conn_append(struct conn *conn, const struct frame *frame);
void conns_parse(void);
void conns_flush(void);
bool conns_are_flushed(void);

/* ---- link.c: wires of a link, and their renewal ---- */
void links_start(void);              /* arms what is wired, asks for the rest */
void link_listen(struct link *link); /* after `start`: accepts */
void link_renewed(struct link *link, uint32_t generation);
void link_wire_came(uint64_t user_data, int32_t result);
void link_wire_freed(struct link *link, uint64_t held_ms);
void link_want_fire(struct timer *timer);

/* ---- operator.c: connections of who uses `hostd call` ---- */
int operator_init(struct err *e);
static inline struct link *operator_link(void)
{
    return &rt.links[rt.contract->link_count];
}
void operator_came(uint64_t user_data);
void operator_freed(struct conn *conn);

/* ---- listener.c: accepting, for links and ingresses ---- */
void listener_init(struct listener *listener, uint32_t slot, struct link *link, struct ingress *ingress);
void listener_arm(struct listener *listener);
void listener_accepted(struct listener *listener, int32_t result);
void listener_freed(struct listener *listener);

/* ---- server.c ---- */
int server_init(struct err *e);
/* -EPROTO: the peer broke the protocol. */
int server_frame(struct conn *conn, const struct frame *frame);
void server_conn_lost(struct conn *conn);
void server_log_left_out(struct link *link);

/* ---- client.c ---- */
int client_frame(struct conn *conn, const struct frame *frame);
void client_conn_lost(struct conn *conn);

/* ---- stream.c ---- */
void stream_begin(struct conn *conn);
void stream_done(struct conn *conn, int32_t result);
void streams_serve_pending(void);
void streams_stop(void);

/* ---- worker.c ---- */
void workers_woken(void);

/* ---- notes.c ---- */
void notes_init(void);
void notes_ready(void);
void notes_want(struct link *link); /* the link's current slot is free */
void notes_want_operator(uint32_t slot);
void notes_broken(struct link *link);
void notes_denied(struct link *link, uint32_t method); /* place in rt.methods, or rt.method_count */
void notes_called(struct link *link);
/* PID 1 is to say NOTE_RING in so many ms.  false: it does not, or the pipe to it is full. */
bool notes_ask_alarm(uint32_t ms);
void notes_write(void);
void notes_got(const void *bytes, uint32_t length);

/* ---- main.c ---- */
void runtime_end(int exit_code);

#endif
