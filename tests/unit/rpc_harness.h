/*
 * rpc_harness.h - plays PID 1 for one service: makes its wires, ring and contract, starts it, exchanges notes with it.
 *
 * The service runs in a child: in this very program (with its sanitizers), or as a static binary under the system call
 * list of a sealed service.  In both, the ring is the sealed one.  All traffic is on the loopback of a network
 * namespace that harness_enter() makes.
 */
#ifndef TESTS_UNIT_RPC_HARNESS_H
#define TESTS_UNIT_RPC_HARNESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "rpc/base/contract.h"
#include "rpc/frame.h"

#define HARNESS_LINKS_MAX 8
#define HARNESS_CONNECTIONS 4u

struct sim_link {
    const char *peer;
    enum link_direction direction;
    uint32_t generation;
    int fd; /* listener or connection to put in; -1: not wired at start.  Stays the caller's. */
    const char *allow[8];
};

struct sim_spec {
    const char *name;
    struct sim_link links[HARNESS_LINKS_MAX];
    size_t link_count;
    uint32_t operator_connections;
    const char *operator_methods[8];
    int ingress_fd; /* a listener; 0: no ingress */
    uint32_t ingress_connections;
    uint32_t fibres_max, message_bytes_max;
    const char *config[8];             /* key, value, ..., NULL */
    int (*run)(int argc, char **argv); /* in this program, or ... */
    const char *program;               /* ... this one, under seccomp */
    bool has_threads;                  /* the system call list of a service with a worker */
    bool is_plain;                     /* callers are not vouched for */
    bool has_alarm;                    /* the test tells the time when it is asked to */
    bool is_deaf;                      /* the note pipe to PID 1 is full from the beginning */
};

struct sim {
    pid_t pid;
    int ring_fd, note_up_fd, note_down_fd, log_fd;
    struct contract_link links[HARNESS_LINKS_MAX];
    uint32_t operator_slot_first;
    struct note_up kept[64]; /* notes that came while another kind was waited for */
    size_t kept_count;
};

/* Once, before anything else: a network namespace with only a loopback. */
void harness_enter(void);

int sim_start(const struct sim_spec *spec, struct sim *ret_sim);
/* Waits for a note of this kind (the oldest of those not taken yet); false after timeout_ms. */
bool sim_note(struct sim *sim, uint32_t kind, uint32_t timeout_ms, struct note_up *ret_note);
void sim_tell(struct sim *sim, uint32_t kind, uint32_t link, uint32_t generation);
/* Puts fd into the slot, as a wire of that generation.  0 or a negative errno. */
int sim_wire(struct sim *sim, uint32_t link, uint32_t slot, uint32_t generation, int fd);
/* What it wrote to stdout and stderr so far. */
const char *sim_log(struct sim *sim);
long sim_rss_kib(const struct sim *sim);
/* Tells it to stop, returns its wait status; kills it after 5 s. */
int sim_stop(struct sim *sim);
/* kill -9, and everything of it is closed. */
void sim_kill(struct sim *sim);

/* ---- wires ---- */

int wire_listener(uint16_t *ret_port);
int wire_connect(uint16_t port);

/* ---- a caller that speaks frames by hand ---- */

struct raw_reply {
    uint8_t type, status;
    uint32_t id;
    uint32_t payload_bytes;
    uint8_t payload[8192];
};

void raw_send(int fd, const void *bytes, size_t length);
void raw_frame(int fd, struct frame frame);
/* 1: a frame came; 0: the end of the connection; -1: nothing within the time. */
int raw_receive(int fd, uint32_t timeout_ms, struct raw_reply *ret_reply);
/* Raw bytes, up to `length` of them, or fewer when the connection ends or nothing more comes for 3 s. */
size_t raw_take(int fd, char *bytes, size_t length);
/* The connection ends within the time, whatever comes before. */
bool raw_ends(int fd, uint32_t timeout_ms);

#endif
