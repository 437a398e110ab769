/*
 * contract.h - all that hostd knows of initsvc, our PID 1, and the reverse.
 *
 * Order of use: hostd clones, the child execs initsvc with the stage socket (SOCK_SEQPACKET) as descriptor
 * INIT_STAGE_FD; hostd sends one INIT_SETUP message with descriptors; initsvc answers with INIT_STAGE messages, one
 * INIT_LISTENING, and waits for INIT_CONNECT; then INIT_READY when the service says so.  The socket stays for the life
 * of the service (INIT_RENEW, INIT_STOP; INIT_COUNTS, INIT_EXITED).  When hostd has died, its successor connects to the
 * listener of INIT_HAS_ADOPT and says INIT_ADOPT: that connection is the stage socket from then on.  Before exec the
 * child takes its ids (setresuid), else exec would cost it its capabilities: hostd says with one byte that they are
 * mapped, and its first sign of life may already be an INIT_STAGE of stage "ids" or "exec".
 *
 * Invariants
 *  I1  Every message is one fixed-size struct init_message, but for INIT_ADOPTED (struct init_adopted and its links);
 *      descriptors travel with INIT_SETUP and INIT_ADOPTED, and one with INIT_OPERATOR.
 *  I2  hostd's death (end of file on the socket) is no error after READY: PID 1 goes on.
 */
#ifndef INITSVC_CONTRACT_H
#define INITSVC_CONTRACT_H

#include <stdint.h>

#include "rpc/base/contract.h"
#include "rpc/base/err.h"

#define INIT_STAGE_FD 3
#define INIT_MAGIC 0x68737470u
#define INIT_IFNAME_BYTES 16 /* IFNAMSIZ */
#define INIT_PATH_BYTES 128  /* of a path inside a service's root */
#define INIT_WHY_BYTES 96    /* of the text why PID 1 ended its service */
#define INIT_FDS_MAX 232     /* descriptors of one setup; SCM_MAX_FD is 253 */

/* The stages of a start, in order.  What a failure names. */
enum init_stage {
    STAGE_NONE = 0,
    STAGE_NETNS,    /* hostd: network namespace and its sysctls */
    STAGE_LINKS,    /* hostd: veth pairs, addresses, neighbours, filters, read back, up */
    STAGE_CGROUP,   /* hostd: control group and its limits */
    STAGE_CLONE,    /* hostd: the other namespaces */
    STAGE_IDMAP,    /* hostd: user and group maps */
    STAGE_MOUNTS,   /* hostd: detached mounts of binary, files, data */
    STAGE_SETUP,    /* initsvc: takes the setup message */
    STAGE_IDS,      /* initsvc: takes its ids */
    STAGE_PARENT,   /* initsvc: death signal, and hostd still lives */
    STAGE_ROOT,     /* initsvc: builds and enters the root */
    STAGE_LISTEN,   /* initsvc: listeners per link */
    STAGE_CONNECT,  /* initsvc: connections per link */
    STAGE_RING,     /* initsvc's child: makes, fills, restricts, enables the service's ring */
    STAGE_CONTRACT, /* initsvc's child: writes and seals the contract */
    STAGE_LIMITS,   /* initsvc's child: resource limits */
    STAGE_CAPS,     /* initsvc's child: drops capabilities and bounding set, no_new_privs */
    STAGE_LANDLOCK, /* initsvc's child */
    STAGE_SECCOMP,  /* initsvc's child: the service's filter */
    STAGE_EXEC,     /* initsvc's child: the program */
    STAGE_CONFINE,  /* initsvc: drops its own capabilities, takes its own filter */
    STAGE_READY,    /* the service: its ring serves */
    STAGE_COUNT
};

/* "netns", "links", ...; never NULL. */
const char *init_stage_name(enum init_stage stage);

/* A wire end as PID 1 sees it. */
struct init_wire {
    char ifname[INIT_IFNAME_BYTES];
    uint32_t own_address, peer_address; /* IPv4, host byte order */
    uint32_t generation;                /* of the peer */
    uint16_t port;                      /* the callee's TCP port */
    uint8_t is_up;                      /* the peer exists: listen or connect at start */
    uint8_t reserved;
};

struct init_mount {
    char to[INIT_PATH_BYTES]; /* absolute, inside the root */
    uint32_t fd_index;        /* in the setup's descriptors: a detached mount */
    uint8_t is_directory;
    uint8_t is_writable;   /* a data directory */
    uint8_t is_executable; /* programs below it may be started; the service's own is mounts[0], without this */
    uint8_t is_device;     /* of a process: may be written to */
};

/* Order of the descriptors that come with INIT_SETUP; setup (a memfd with struct init_setup) is the first. */
enum init_fd {
    INIT_FD_SETUP = 0,
    INIT_FD_HOSTD, /* pidfd of hostd */
    INIT_FD_LOG_A, /* two bounded log files, O_APPEND */
    INIT_FD_LOG_B,
    INIT_FD_STATUS, /* file that takes "WAIT-STATUS WHY" before PID 1 ends, for a hostd that is not its parent */
    INIT_FD_FIRST   /* then the mounts (the binary is mounts[0]), then the ingress listeners, then INIT_HAS_ADOPT's */
};

/* With INIT_EXEC some mean something else: HOSTD is the process that waits for the command, the two log files are its
 * stdout and stderr, FIRST is the program (in place of mounts[0]), and there are no ingress listeners. */
#define INIT_EXEC_ARGS_MAX 256u

enum init_flag {
    INIT_ACCEPT_NO_LANDLOCK = 1u << 0, /* accept_missing = ["landlock"] */
    INIT_UNSHARE_CGROUP = 1u << 1,     /* cgroup v1: the namespace is made after the process was placed */
    INIT_PLAIN = 1u << 2,   /* no namespaces, nothing sealed: we are an ordinary parent; mounts are plain descriptors */
    INIT_PROCESS = 1u << 3, /* any program: no ring, no contract; argument 0 is its path; /etc/hosts, /tmp */
    INIT_PROCESS_PROC = 1u << 4,   /* ... with a /proc of its own */
    INIT_PROCESS_NOTIFY = 1u << 5, /* ... ready when it says so on NOTIFY_SOCKET */
    INIT_HAS_ADOPT = 1u << 6,      /* the last descriptor is a listener (SOCK_SEQPACKET) for the next hostd */

    /* A command beside a running service (`hostd exec`, initsvc/exec.c). */
    INIT_EXEC = 1u << 8,         /* no PID 1: the namespaces were entered, they and the root stay as they are */
    INIT_EXEC_TOOLS = 1u << 9,   /* but for the root: one of its own, of the mounts behind the first */
    INIT_EXEC_ROOT = 1u << 10,   /* the command keeps uid 0 and every capability: no limits, Landlock, filter */
    INIT_EXEC_NO_RING = 1u << 11 /* descriptors 0 (/dev/null), 1 and 2 only: no contract, ring, notes */
};

/* A variable block: header, arrays and bytes at the offsets it names. */
struct init_setup {
    uint32_t magic, total_bytes, flags;
    uint32_t uid, gid; /* of the service, inside */
    char hostname[NAME_BYTES];
    uint32_t files_max;      /* RLIMIT_NOFILE of the service */
    uint32_t processes_max;  /* RLIMIT_NPROC of the service */
    uint64_t file_bytes_max; /* RLIMIT_FSIZE of the service */
    uint32_t log_bytes_max;  /* of each of the two log files */
    uint32_t ring_entries;
    uint32_t watchdog_ms;                             /* the service's ring must answer within; 0 = it is not asked */
    uint32_t wires_at, wire_count;                    /* struct init_wire, one per link of the contract, same order */
    uint32_t mounts_at, mount_count;                  /* struct init_mount */
    uint32_t ingress_count;                           /* listeners among the descriptors, after the mounts */
    uint32_t service_filter_at, service_filter_bytes; /* struct sock_filter[] of the service */
    uint32_t init_filter_at, init_filter_bytes;       /* struct sock_filter[] of PID 1 after its loop starts */
    uint32_t contract_at, contract_bytes;             /* struct contract to hand over */
    uint32_t args_at, args_bytes;               /* NUL-terminated arguments; none: the name of the service alone */
    uint32_t environment_at, environment_bytes; /* likewise "NAME=value"; none: empty */
    char interpreter[INIT_PATH_BYTES];          /* of a process: what the kernel executes with it; "" = none */
};

enum init_message_kind {
    INIT_SETUP = 1, /* hostd → init, with descriptors */
    INIT_CONNECT,   /* hostd → init: everybody listens, go on */
    INIT_RENEW,     /* hostd → init: link, wire: the peer restarted, this is its new wire: listen on it, or (the peer
                       listens) connect */
    INIT_OPERATOR,  /* hostd → init, with one descriptor: a connection of `hostd call` for the service */
    INIT_STOP,      /* hostd → init: tell the service to finish, kill it after value ms */
    INIT_STAGE,     /* init → hostd: stage, error (code 0: passed) */
    INIT_STARTED,   /* init → hostd: value = pid of the service as init sees it */
    INIT_LISTENING, /* init → hostd: link: its listener stands; link = UINT32_MAX: all of the start */
    INIT_IS_READY,  /* init → hostd */
    INIT_COUNTS,    /* init → hostd: link (or OPERATOR_LINK), note: a note_up of the service that counts */
    INIT_EXITED,    /* init → hostd: value = wait status of the service; error.text: why PID 1 ended it, or "" */
    INIT_ADOPT,     /* the next hostd → init, over a connection of its own: this is your stage socket now */
    INIT_ADOPTED,   /* init → hostd: a struct init_adopted, and a duplicate of each ingress listener */
    INIT_KIND_COUNT
};

struct init_message {
    uint32_t kind, link, value, stage;
    struct init_wire wire;
    struct note_up note;
    struct err error;
};

enum init_adopted_flag {
    INIT_ADOPTED_READY = 1u << 0,
    INIT_ADOPTED_STOPPING = 1u << 1, /* told to stop by the hostd that died */
};

/* Told to hostds so far, since this start of the service. */
struct init_counts {
    uint64_t calls, denied, broken;
};

struct init_adopted_link {
    struct init_wire wire; /* the newest that it was told */
    struct init_counts counts;
};

/* Behind it: link_count struct init_adopted_link, in the order of the contract. */
struct init_adopted {
    uint32_t kind, flags;
    uint32_t generation; /* of the service */
    uint32_t link_count, ingress_count;
    uint32_t reserved;
    struct init_counts operator_counts; /* of `hostd call` */
    uint64_t ready_ms;                  /* since it is ready */
    uint64_t alone_ms;                  /* since hostd's death was seen; 0 = not yet */
};

/* What both sides of an adoption must agree on: they may come from different builds. */
#define INIT_PROTOCOL                                                                                                  \
    ((uint32_t)(sizeof(struct init_message) << 16 | sizeof(struct init_adopted_link) << 8 | INIT_KIND_COUNT))

#endif
