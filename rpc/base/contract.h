/*
 * contract.h - what a sealed service finds when it starts, and the notes that it exchanges with its PID 1.
 *
 * The contract is one sealed memfd, descriptor CONTRACT_FD, mapped read-only: a `struct contract` and, behind it at the
 * offsets it names, arrays of plain records and a block of strings.  hostd writes it, PID 1's child adds the parameters
 * of the ring and seals it; librpc reads it and trusts it (who could change it is the service's own kernel-side maker).
 *
 * Invariants
 *  I1  Descriptors of a sealed service are exactly those of enum contract_fd; wires live only in the ring's table.
 *  I2  Each link and each ingress owns the slots [slot_first, slot_first + slot_count) of that table and no others.
 *      Link in: slots 0 and 1 of the quota are listeners (the second is used while the first drains), the rest are
 *      connections.  Link out: slots 0 and 1 are connections, used in turn.  Ingress: slot 0 is the listener, the rest
 *      are connections.
 *  I3  Notes are of one size and go through pipes: a write of one note is atomic.
 *  I4  The operator's slots are empty when the program starts.  PID 1 sends a connection only into an empty one; a
 *      NOTE_WANT of OPERATOR_LINK says that one is empty again.
 */
#ifndef RPC_BASE_CONTRACT_H
#define RPC_BASE_CONTRACT_H

#include <linux/io_uring.h>
#include <stdint.h>

#define CONTRACT_MAGIC 0x68737463u /* "hstc" */
#define CONTRACT_VERSION 2u
#define NAME_BYTES 32            /* service, application, ingress names with their NUL: [a-z][a-z0-9_-]* */
#define METHOD_NAME_BYTES 64     /* "Interface.Method" with its NUL */
#define OPERATOR_NAME "operator" /* the caller behind `hostd call`; no service may have that name */
#define OPERATOR_LINK 0xFFFu     /* its link number in notes and wires */
#define OPERATOR_SLOTS_MAX 32u

enum contract_fd {
    CONTRACT_FD = 0,        /* this memfd, sealed */
    CONTRACT_STDOUT_FD = 1, /* pipe to PID 1, which writes the log */
    CONTRACT_STDERR_FD = 2, /* the same */
    CONTRACT_RING_FD = 3,   /* the sealed ring */
    CONTRACT_EVENT_FD = 4,  /* eventfd: threads of the service wake the ring; read through slot CONTRACT_EVENT_SLOT */
    CONTRACT_NOTE_FD = 5,   /* write end of the pipe to PID 1 (struct note_up) */
    CONTRACT_FD_COUNT
};

enum contract_slot {
    CONTRACT_EVENT_SLOT = 0, /* the eventfd */
    CONTRACT_NOTE_SLOT = 1,  /* read end of the pipe from PID 1 (struct note_down) */
    CONTRACT_SLOT_FIRST = 2  /* the first slot of a link */
};

enum contract_flag {
    CONTRACT_SEALED = 1u << 0, /* callers are vouched for by the kernel; unset in plain mode */
    CONTRACT_ALARM = 1u << 1,  /* PID 1 answers NOTE_ALARM */
};

enum link_direction {
    LINK_IN = 0,  /* the peer calls this service */
    LINK_OUT = 1, /* this service calls the peer */
};

struct contract_link {
    char peer[NAME_BYTES];
    uint32_t direction;       /* enum link_direction */
    uint32_t peer_generation; /* of the wire that is in the table at start; later ones come in notes */
    uint32_t slot_first, slot_count;
    uint32_t method_first, method_count; /* the link's allow list, in the method array, sorted by id */
    uint32_t toml_line;                  /* of the [[link]] */
    uint32_t is_wired;                   /* the first slot holds a listener or a connection when the program starts */
};

struct contract_method {
    uint32_t id; /* method_id(name) */
    uint32_t reserved;
    char name[METHOD_NAME_BYTES];
};

struct contract_ingress {
    char name[NAME_BYTES];
    uint32_t slot_first, slot_count;
};

enum config_type { CONFIG_STRING = 0, CONFIG_INT = 1, CONFIG_BOOL = 2, CONFIG_FLOAT = 3 };

/* One leaf of [service.NAME.config].  Keys of nested tables and arrays are joined with dots: "routes.0.pattern". */
struct contract_config {
    uint32_t key_at;   /* offset of a NUL-terminated string in the string block */
    uint32_t value_at; /* likewise; the value as text: decimal, "true"/"false", or the string itself */
    uint32_t type;     /* enum config_type */
    uint32_t reserved;
};

/* Plain mode only: where a path of the service's root really lies, as there is no such root.  See rpc_path(). */
#define CONTRACT_PATH_BYTES 256
struct contract_path {
    char to[CONTRACT_PATH_BYTES];   /* absolute: "/bank" */
    char from[CONTRACT_PATH_BYTES]; /* absolute, without symbolic links: "/var/lib/hostd/zoobar/bank" */
};

struct contract {
    uint32_t magic, version;
    uint32_t total_bytes; /* of header, arrays and strings */
    uint32_t flags;       /* enum contract_flag */
    char app[NAME_BYTES];
    char service[NAME_BYTES];
    uint32_t generation;
    uint32_t slot_count;                     /* of the ring's file table */
    uint32_t fibres_max;                     /* calls and streams served at once */
    uint32_t message_bytes_max;              /* of one frame's payload */
    uint32_t links_at, link_count;           /* offset in bytes from the start; number of struct contract_link */
    uint32_t methods_at, method_count;       /* struct contract_method */
    uint32_t ingresses_at, ingress_count;    /* struct contract_ingress */
    uint32_t config_at, config_count;        /* struct contract_config */
    uint32_t operator_first, operator_count; /* methods that `hostd call` may ask, in the method array */
    uint32_t operator_slot_first, operator_slot_count;
    uint32_t operator_line; /* of the service in the TOML */
    uint32_t reserved;
    uint32_t strings_at, strings_bytes;
    uint32_t paths_at, path_count; /* struct contract_path; none but in plain mode */
    uint32_t ring_entries;         /* size of the submission queue */
    struct io_uring_params ring;   /* as io_uring_setup returned them: for mapping the inherited ring */
};

/* What the service tells PID 1. */
enum note_up_kind {
    NOTE_READY = 1,  /* the ring serves */
    NOTE_WANT = 2,   /* link, slot: that slot is free, put the link's current wire there (the operator's: may be put) */
    NOTE_DENIED = 3, /* link, count, method: calls refused by the allow list since the last such note */
    NOTE_BROKEN = 4, /* link, count: connections closed because the peer broke the protocol */
    NOTE_CALLS = 5,  /* link, count: calls served (in) or made (out) since the last such note */
    NOTE_PONG = 6,   /* the answer to NOTE_PING, from the loop: the ring turns */
    NOTE_ALARM = 7,  /* count: say NOTE_RING in so many ms; in place of the one asked for before */
};

struct note_up {
    uint32_t kind, link, slot, count;
    uint32_t method; /* id, with NOTE_DENIED; 0 = unknown method */
    uint32_t reserved;
};

/* What PID 1 tells the service. */
enum note_down_kind {
    NOTE_RENEWED = 1, /* link, generation: the peer restarted; drop what the link's slots hold, then send NOTE_WANT */
    NOTE_STOP = 2,    /* finish what runs within value ms, then exit 0 */
    NOTE_PING = 3,    /* say NOTE_PONG */
    NOTE_RING = 4,    /* the time of NOTE_ALARM has come */
};

struct note_down {
    uint32_t kind, link, generation, value;
};

/*
 * A wire that PID 1 sends into a slot (IORING_MSG_SEND_FD) arrives as a completion with this user_data; res >= 0.
 * The top byte tells it from the service's own operations.
 */
#define WIRE_TAG 0xA7u
static inline uint64_t wire_user_data(uint32_t link, uint32_t slot, uint32_t generation)
{
    return (uint64_t)WIRE_TAG << 56 | (uint64_t)(link & 0xFFFu) << 44 | (uint64_t)(slot & 0xFFFu) << 32 | generation;
}
static inline uint32_t wire_link(uint64_t user_data)
{
    return (uint32_t)(user_data >> 44) & 0xFFFu;
}
static inline uint32_t wire_slot(uint64_t user_data)
{
    return (uint32_t)(user_data >> 32) & 0xFFFu;
}
static inline uint32_t wire_generation(uint64_t user_data)
{
    return (uint32_t)user_data;
}

_Static_assert(sizeof(struct note_up) == 24, "notes have one size");
_Static_assert(sizeof(struct note_down) == 16, "notes have one size");

#endif
