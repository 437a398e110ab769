/*
 * init.h - what the files of initsvc share: the state of one PID 1.
 *
 * Private to this folder.  Flow: init.c (stages, straight down) → seal.c (the child, up to exec) → loop.c (until the
 * service ends).  The same for a command beside a running service, with exec.c's differences.
 */
#ifndef INITSVC_INIT_H
#define INITSVC_INIT_H

#include <liburing.h>
#include <stdbool.h>
#include <sys/types.h>

#include "initsvc/contract.h"

#define LINKS_MAX 256u /* MANIFEST_LINKS_PER_SERVICE_MAX: what hostd may ask for */

#define DENIED_METHODS_MAX 8u /* counted each for itself while nobody hears of them; more share the last count */

/* One link, as PID 1 keeps it. */
struct link {
    struct init_wire wire;
    int fd;          /* a listener or connection made and not yet handed over; a dial under way; -1 */
    bool is_dialing; /* fd is a connect under way */
    bool has_want;   /* the service waits for a wire in want_slot */
    uint32_t want_slot;
    uint64_t retry_at_ms; /* next dial, 0 = none planned */
    uint32_t pause_ms;    /* before the next dial after a failed one */
    struct denied {
        uint32_t method, count;
    } denied[DENIED_METHODS_MAX];
    uint32_t broken, calls; /* not yet told to hostd, like the denied ones */
    uint64_t told_denied, told_broken, told_calls;
};

#define OPERATOR_WAITING_MAX 4u /* connections of `hostd call`; one more is closed at once */
#define LOG_LINES_PER_S 1000u   /* a debug log of a busy service; at most 4 MB a second of full lines */
#define LOG_LINES_BURST 5000u

struct logs {
    int fd[2]; /* the two files; one is written, the other is full or empty */
    unsigned current;
    uint64_t bytes[2];
    uint64_t bytes_max; /* of one file */
    char line[4096];    /* the line being put together */
    size_t used;
    uint64_t refilled_ms; /* lines_left is a bucket: LOG_LINES_PER_S drip in, LOG_LINES_BURST fit */
    uint32_t lines_left, dropped;
    uint64_t told_ms; /* when dropped lines were last told */
};

struct init {
    int stage_fd;               /* to hostd; -1 when hostd is gone */
    int adopt_fd, candidate_fd; /* listener for the next hostd, its connection before it said INIT_ADOPT; -1 */
    uint64_t alone_since_ms;    /* hostd is gone; 0 = it is there */
    int hostd_fd;               /* its pidfd; -1 after the start */
    int status_fd;
    const struct init_setup *setup;
    int fds[INIT_FDS_MAX]; /* as they came with INIT_SETUP */
    size_t fd_count;

    const struct contract *contract; /* the template in the setup */
    struct link links[LINKS_MAX];
    size_t link_count;
    struct link operator;                       /* its counts only */
    uint32_t operator_taken;                    /* bits: slots of its quota that hold a connection */
    uint32_t operator_count;                    /* connections handed over so far */
    int operator_waiting[OPERATOR_WAITING_MAX]; /* connections for which no slot is empty yet, the oldest first */
    uint32_t operator_waiting_count;

    int exe_fd;  /* the binary, in the new root */
    int ring_fd; /* our duplicate of the service's ring */
    struct io_uring_params ring_params;
    struct io_uring sender; /* our own ring: hands wires over */

    int log_fd;       /* read end: stdout and stderr of the service */
    int note_up_fd;   /* read end */
    int note_down_fd; /* write end */
    int signal_fd;
    struct logs logs;

    int hosts_fd;  /* of a process: /etc/hosts, for writing; -1 */
    int notify_fd; /* of a process: what NOTIFY_SOCKET names; -1 */

    pid_t own_pid, service_pid;
    uint64_t kill_at_ms;       /* after INIT_STOP; 0 = not stopping */
    uint64_t started_until_ms; /* of a process that says nothing itself: ready when it lives until then; 0 = not so */
    uint64_t ready_at_ms;
    uint64_t ping_at_ms, pinged_at_ms; /* the next NOTE_PING; the one not answered yet; 0 = none */
    uint64_t alarm_at_ms;              /* NOTE_RING is due; 0 = none */
    bool is_ready;
};

/* ---- wires.c: sockets bound to one wire ---- */
int wire_listen(const struct init_wire *wire, int *ret_fd, struct err *e);
/* Non-blocking: 0 = connected, -EINPROGRESS = *ret_fd becomes writable when it is decided; then wire_dial_result(). */
int wire_dial(const struct init_wire *wire, int *ret_fd, struct err *e);
int wire_dial_result(int fd, struct err *e);
/* The ring wants blocking sockets: a non-blocking one would answer -EAGAIN instead of waiting. */
int wire_make_blocking(int fd, struct err *e);

/* ---- ring.c: the service's ring, and ours ---- */
int ring_make(struct init *init, const int event_fd, const int note_read_fd, const int *ingress_fds, struct err *e);
int ring_enable(int ring_fd, struct err *e);
int sender_make(struct io_uring *sender, struct err *e);
/* Puts fd into a slot of the service's ring; the service gets a completion with user_data. */
int sender_send(struct io_uring *sender, int ring_fd, int fd, uint32_t slot, uint64_t user_data, struct err *e);

/* ---- seal.c ---- */
struct child_fds {
    int stdout_fd, stderr_fd, event_fd, note_write_fd, status_fd;
};
/* In the child, which shares our memory until its exec: does not return.  Reports a failed stage as a struct
 * init_message on status_fd. */
_Noreturn void seal_and_exec(struct init *init, const struct child_fds *fds);
/* No exec from here on, of the calling process and its children, gives a capability. */
int seal_bounding_set(struct err *e);
/* Drops every capability of the calling process, for good; no_new_privs.  The ids are taken first; real_uid: another
 * real user id than uid. */
int seal_drop_all(uint32_t real_uid, uint32_t uid, uint32_t gid, struct err *e);
/* A Landlock rule: what a path, and all below it, may be used for. */
int seal_allow_below(int ruleset_fd, const char *path, uint64_t access, bool is_directory, struct err *e);
int seal_filter(const void *instructions, uint32_t bytes, struct err *e);

/* ---- exec.c: what is different for a command beside a running service ---- */
bool exec_is_on(const struct init *init, uint32_t flag);
/* In place of building the service's root. */
int exec_enter_root(struct init *init, struct err *e);
/* The command ended and was reported: what it left behind is ended from outside, and we with it. */
_Noreturn void exec_wait_for_end(void);

/* ---- logs.c ---- */
void logs_open(struct logs *logs, int fd_a, int fd_b, uint64_t bytes_max);
void logs_write(struct logs *logs, const char *bytes, size_t count);
void logs_flush(struct logs *logs); /* ends an unfinished line */
/* When logs_run() has to say how many lines were dropped; 0 = none were. */
uint64_t logs_next_ms(const struct logs *logs);
void logs_run(struct logs *logs, uint64_t now_ms);
/* Writes a line of our own, which no service can forge. */
void logs_tell(struct logs *logs, const char *text, size_t text_bytes);
bool init_is_plain(const struct init *init);

/* ---- process.c: services that are any program ---- */
bool init_is_process(const struct init *init);
/* What the root of a process has beyond its files; writes /etc/hosts.  rest: filled in, for rootfs_enter(). */
struct rootfs_process;
void process_root(const struct init *init, struct rootfs_process *ret_rest);
int process_check(const struct init *init, struct err *e); /* the arguments of the setup */
int process_rules(const struct init *init, int ruleset_fd, uint64_t handled_fs, uint64_t handled_net, struct err *e);
void process_write_hosts(struct init *init);
void process_renew(struct init *init, uint32_t index, const struct init_wire *wire);
void process_read_notes(struct init *init); /* of NOTIFY_SOCKET */

/* ---- adopt.c ---- */
void adopt_accept(struct init *init); /* the listener is readable */
void adopt_read(struct init *init);   /* the candidate is */

/* ---- watchdog.c ---- */
void watchdog_begin(struct init *init);
void watchdog_answered(struct init *init);
uint64_t watchdog_next_ms(const struct init *init); /* 0 = nothing to do */
void watchdog_run(struct init *init, uint64_t now_ms);

/* The exec has happened, or the program is ending: those two look alike for a moment. */
#define PROCESS_STARTED_MS 50u

/* ---- loop.c ---- */
void note_to_service(struct init *init, const struct note_down *note);
/* Ends the service, and us with it; why: for hostd, now or later. */
_Noreturn void leave_killed(struct init *init, const char *why);
/* The service is ready: tells hostd, and lives without it from here on. */
void loop_ready(struct init *init);
/* Handles one message of hostd; used before the loop as well. */
void loop_message(struct init *init, const struct init_message *message);
_Noreturn void loop_run(struct init *init);
/* Never blocks: what hostd does not take is dropped (it reads our exit status too). */
void tell_hostd(struct init *init, const struct init_message *message);

#endif
