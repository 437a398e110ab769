/*
 * plan.h - everything a start needs, as plain numbers.  Pure: made from a manifest, touches no kernel, can be printed.
 *
 * Left of the plan nothing touches the kernel; right of it (spawn, supervise) nothing parses or decides.
 * Order of use: plan_make(), then plan_contract() per service and start, plan_free().
 *
 * Invariants
 *  I1  plan_make() of the same manifest and options gives the same plan.
 *  I2  Links of a service in service_links order are the links of its contract, in that order; slots do not overlap.
 *  I3  Every slot and link number fits the 12 bits that wire_user_data() has for them.
 *
 * Callers: spawn, supervise, `hostd plan`, `hostd check`.
 */
#ifndef HOSTD_PLAN_H
#define HOSTD_PLAN_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "hostd/manifest.h"

#define PLAN_LINK_PORT 7000u     /* TCP port of every sealed callee, on its end of the link */
#define PLAN_NETWORK 0x0A000000u /* 10.0.0.0/8, in the services' namespaces only: /31 number n is PLAN_NETWORK + 2n */
#define PLAN_NETWORK_PAIRS_MAX (1u << 23)
#define PLAN_IDS_PER_SERVICE 65536u
#define PLAN_SERVICE_UID 1000u      /* inside; PID 1 is 0 inside */
#define PLAN_LINK_IN_LISTENERS 2u   /* the second is used while the first drains */
#define PLAN_LINK_IN_CONNECTIONS 4u /* accepted connections a caller may hold on one link */
#define PLAN_LINK_OUT_CONNECTIONS 2u
#define PLAN_INGRESS_CONNECTIONS 512u
#define PLAN_OPERATOR_CONNECTIONS 2u /* of `hostd call`, at once, to one service */
#define PLAN_SLOTS_MAX 4096u         /* of a ring's table: 12 bits in wire_user_data() */
#define PLAN_MEMORY_BYTES_DEFAULT (256u << 20)
#define PLAN_FILE_BYTES_DEFAULT (1u << 30) /* of one that can write files */
#define PLAN_PIDS_DEFAULT 32u
#define PLAN_READY_MS_DEFAULT 10000u /* from the spawn to READY */
#define PLAN_STOP_MS_DEFAULT 3000u   /* to finish what runs */
/* A ring that has not turned for so long is dead to all callers, while all else of its service looks well.  Handlers
 * wait in fibres and long work is done in a thread, so no good service comes near it, on a slow machine either. */
#define PLAN_WATCHDOG_MS_DEFAULT 30000u
#define PLAN_FIBRES_MAX 1024u /* calls and streams at once: the stacks are reserved, touched only when used */
#define PLAN_MESSAGE_BYTES_MAX (1u << 20) /* of one frame's payload: a page with its pictures is well below */
#define PLAN_FILES_OPEN_MAX 64u /* RLIMIT_NOFILE of a service that opens files; SQLite uses five per database */
#define PLAN_FILES_OPEN_PROCESS_MAX 4096u /* of a process service: its connections are descriptors */
#define PLAN_RING_ENTRIES 256u            /* submissions of one wake-up; a full queue is submitted early, never lost */
#define PLAN_RING_ENTRIES_INGRESS 1024u   /* the same, for a service with an ingress: one operation per connection */
#define PLAN_IFNAME_BYTES 16u             /* IFNAMSIZ */

/*
 * Where the program stands in its service's root: /bin/NAME, or next to it.  Names of data directories and targets of
 * files are checked against it, so nothing of the TOML can hide the program.
 */
#define PLAN_BINARY_DIR "/bin"

/* What a service's program needs beyond its ring.  Decides its system call filter. */
enum plan_profile {
    PROFILE_BARE,    /* neither files nor threads */
    PROFILE_FILES,   /* reads files of its root */
    PROFILE_DATA,    /* a data directory of its own, and a worker thread */
    PROFILE_PROCESS, /* any program: files, processes, sockets on its wires */
    PROFILE_COUNT
};

struct plan_service {
    const struct manifest_service *manifest;
    uint32_t index;
    uint32_t uid_base; /* host id of the service's id 0 */
    enum plan_profile profile;
    uint32_t files_max; /* RLIMIT_NOFILE */
    uint64_t memory_bytes;
    uint64_t file_bytes;  /* RLIMIT_FSIZE */
    uint32_t pids;        /* processes and threads of the control group, PID 1 included */
    uint32_t cpu_percent; /* 0 = no limit */
    uint32_t ready_ms, stop_ms;
    uint32_t watchdog_ms; /* 0 = none */
    uint32_t slot_count, ring_entries;
    uint32_t fibres_max, message_bytes_max;
    uint32_t link_first, link_count; /* in plan.service_links */
    uint32_t ingress_slot_first;     /* slots of ingress k: ingress_slot_first + k * ingress_slots */
    uint32_t ingress_slots;
    uint32_t operator_slot_first; /* the last PLAN_OPERATOR_CONNECTIONS of the table */
};

/* One link as one of its two services sees it. */
struct plan_end {
    uint32_t link;      /* index in plan.links */
    uint32_t direction; /* enum link_direction */
    uint32_t slot_first, slot_count;
};

struct plan_link {
    const struct manifest_link *manifest;
    uint32_t from, to;         /* indices of services */
    uint16_t port;             /* TCP, of the callee */
    uint32_t from_end, to_end; /* position among the links of each service: the link number of its contract */
};

/* Behind a word that is counted: "1 service", "2 services". */
static inline const char *plural(size_t count)
{
    return count == 1 ? "" : "s";
}

struct plan {
    const struct manifest *manifest; /* borrowed: outlives the plan */
    struct plan_service *services;
    size_t service_count;
    struct plan_link *links;
    size_t link_count;
    struct plan_end *service_links;
    size_t end_count;
};

/*
 * uid_base: first host id that this application may use.  manifest must have passed manifest_verify().
 * -EOVERFLOW: a service needs more slots or links than a ring's table can number, or ids run out.
 */
int plan_make(const struct manifest *manifest, uint32_t uid_base, struct plan **ret_plan, struct err *e);
void plan_free(struct plan *plan); /* NULL is fine */

/*
 * The contract of a service (struct contract and its arrays), in one malloc'ed block of total_bytes.  The ring's
 * parameters are left zero; peer generations are 1 and every link is wired: whoever spawns writes what is true.
 * CONTRACT_SEALED is set; plain mode clears it.
 */
int plan_contract(const struct plan *plan, uint32_t service, uint32_t generation, struct contract **ret_contract,
                  struct err *e);

/* Interface name of wire number `wire` (a running number of the application): "to12" at the caller, "from12" at the
 * callee. */
void plan_ifname(char ret_name[PLAN_IFNAME_BYTES], uint32_t direction, uint32_t wire);
/* The /31 of wire number `wire`, modulo PLAN_NETWORK_PAIRS_MAX: the caller's (LINK_OUT) address is even, the callee's
 * odd. */
uint32_t plan_address(uint32_t direction, uint32_t wire);

/* "bare", "files", "data", "process" */
const char *plan_profile_name(enum plan_profile profile);

/* Prints the plan (plan_print.c).  -ENOMEM, -EIO. */
int plan_print_text(const struct plan *plan, FILE *out);
int plan_print_json(const struct plan *plan, FILE *out);
int plan_print_dot(const struct plan *plan, FILE *out);

#endif
