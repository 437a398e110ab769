/*
 * app.h - one running application, as hostd holds it: the plan, and what became of it.
 *
 * Private to this folder.  spawn.c fills an instance, supervise.c drives them all, control.c and rundir.c show them.
 *
 * Invariants
 *  I1  hostd is one thread; only supervise.c changes the state of an instance.
 *  I2  An instance owns its descriptors; instance_done() ends all of them, whatever stage it was in.
 *  I3  A wire has a number of its own for each time it is made: names and addresses never come back in a run.
 */
#ifndef HOSTD_APP_H
#define HOSTD_APP_H

#include <stdbool.h>
#include <sys/types.h>

#include "hostd/cgroup.h"
#include "hostd/events.h"
#include "hostd/filter.h"
#include "hostd/lastlog.h"
#include "hostd/ledger.h"
#include "hostd/logtail.h"
#include "hostd/plan.h"
#include "hostd/states.h"
#include "initsvc/contract.h"
#include "netconf/netconf.h"

#define APP_PATH_BYTES 256
#define APP_STOP_WAITERS_MAX 16u

struct instance {
    enum instance_state state;
    uint32_t generation;       /* of the last start; 0 = never started */
    pid_t init_pid;            /* 0 = none */
    struct process_mark mark;  /* of init_pid, once it was noted */
    bool is_spawning;          /* for the ledger: its start has begun */
    uint32_t noted_generation; /* the last of the hostd that died */
    bool is_adopted;           /* this start was an earlier hostd's: its PID 1 is no child of ours */
    pid_t service_pid;         /* as the host sees it; 0 = not known yet */
    int pidfd, stage_fd, netns_fd;
    int log_fd[2], status_fd;
    uint64_t started_at_ms, ready_at_ms;
    uint64_t restart_at_ms; /* when DOWN; 0 = not planned */
    uint64_t kill_at_ms;    /* when STOPPING */
    uint32_t restart_pause_ms;
    uint32_t quick_ends;                                       /* in a row: ended before it was ready for STABLE_MS */
    uint64_t operator_calls, operator_denied, operator_broken; /* of `hostd call` to it */
    uint64_t oom_kills;                                        /* of its control group, when this start began */
    char last_end[LEDGER_END_BYTES];                           /* how it ended last, for people; "" = never */
    struct lastlog *last_log;                                  /* of a failed one, until it is ready again; NULL */
    uint32_t awaited;                                          /* callees' listeners still to come */
    bool is_listening;
    bool is_held;      /* somebody stopped it: it stays so */
    bool is_restarted; /* somebody restarted it: its end is followed by its start */
    int wait_status;   /* of the service, when has_status */
    bool has_status;
    char end_why[INIT_WHY_BYTES]; /* why its PID 1 ended it, when has_status; "" = it ended by itself */
    struct err error;             /* the failed stage of this start */
    enum init_stage failed_stage;
};

struct wire {
    uint32_t number; /* names and addresses: plan_ifname(), plan_address() */
    bool is_made;
    int port_fd;     /* plain mode: a bound socket that keeps the wire's port of 127.0.0.1 ours; -1 */
    uint16_t port;   /* plain mode */
    bool is_untold;  /* adopted: its caller was not told of it yet */
    bool is_awaited; /* the callee was asked for its listener, the caller waits */
    uint64_t calls, denied_calls, broken;
    uint64_t packets_seen[2]; /* denied at each end (enum link_direction) when they were last looked at */
};

/* A client of `hostd stop SERVICE` or `hostd restart SERVICE`, which hears when it is done. */
struct service_waiter {
    int fd; /* -1 = none */
    uint32_t service;
    uint32_t generation; /* restart: ready in a later one than this */
    bool wants_ready;
};

struct app {
    const char *name; /* plan name or --name */
    struct plan *plan;
    struct instance *instances; /* plan->service_count */
    struct wire *wires;         /* plan->link_count */
    uint32_t next_wire;
    struct cgroup_trees cgroups;
    struct filter service_filters[PROFILE_COUNT];
    struct filter init_filters[KIND_COUNT];

    char run_dir[APP_PATH_BYTES];
    char state_dir[APP_PATH_BYTES];
    int run_fd, state_fd; /* O_PATH directories */
    int initsvc_fd;       /* the binary, O_PATH */
    int hostd_pidfd;
    int *ingress_fds; /* listeners of manifest ingresses, by index */

    int epoll_fd, signal_fd, control_fd, lock_fd;
    struct service_waiter service_waiters[APP_STOP_WAITERS_MAX];
    int stop_waiters[APP_STOP_WAITERS_MAX]; /* clients of `hostd stop`: answered when all is over */
    size_t stop_waiter_count;
    struct logtail *tail;
    char *list; /* path of the list, for FILE:LINE; malloc'ed */
    struct events *events;
    struct ledger *ledger; /* of a hostd that died, until it is dealt with; NULL */
    uint64_t list_hash;    /* adopt_list_hash() */
    uint64_t alone_ms;     /* how long the adopted ones were without hostd */
    size_t ended_leftovers;
    uint64_t begun_ms; /* when this hostd began */
    bool is_kept;      /* what runs, and the run directory, outlive this process: not ours yet, or not any more */
    bool is_plain;     /* --plain: same binaries, no isolation */
    bool is_stopping;
    bool has_started; /* every service was ready once */
    bool is_behind;   /* lines of the services wait for an output that does not take them */
    bool is_quiet;    /* no logs on stdout (--detach after the start) */
    int exit_code;
};

/* ---- spawn.c ---- */
void instance_init(struct instance *instance);
/* Makes the network namespace of a service (stage netns). */
int spawn_namespace(struct app *app, uint32_t service, struct err *e);
/* Makes the wires of all links between services that have a namespace and no wire (stage links).  On failure
 * *ret_service is the caller of the link that failed, where there is one. */
int spawn_wires(struct app *app, uint32_t *ret_service, struct err *e);
/* A PID 1 in the namespace, waiting for its setup; and that setup, when its wires are made.  On failure *ret_stage says
 * where, and nothing of the service is left. */
int spawn_process(struct app *app, uint32_t service, enum init_stage *ret_stage, struct err *e);
int spawn_setup(struct app *app, uint32_t service, enum init_stage *ret_stage, struct err *e);
/* Opens the listeners of every ingress in hostd's own network namespace. */
int spawn_ingresses(struct app *app, struct err *e);
/* The wire of link as one end sees it.  Plain mode: interface lo, 127.0.0.1, a port of its own. */
void spawn_wire(const struct app *app, uint32_t link, uint32_t direction, struct init_wire *ret_wire);
/* Kills what runs, waits for its end, and gives back everything. */
void instance_done(struct app *app, uint32_t service);

/* ---- ahead.c ---- */
/* A child that makes the network namespaces of the first start, all in the order of the plan. */
struct ahead {
    pid_t pid; /* 0 = none: there is nothing for it to make */
    int fd;
};
int ahead_begin(struct app *app, struct ahead *ret_ahead, struct err *e);
/* The next one, as spawn_namespace(). */
int ahead_next(struct app *app, const struct ahead *ahead, uint32_t service, struct err *e);
/* Ends it, wherever it is. */
void ahead_end(struct ahead *ahead);

/* ---- supervise.c ---- */
/* Starts everything; returns when all are ready, or with the failure after everything was taken down again. */
int supervise_start(struct app *app, struct err *e);
/* Runs until stopped.  Returns the exit code. */
int supervise_run(struct app *app);
void supervise_stop(struct app *app); /* begins an orderly stop */
/* Begins to stop one service, or to stop and start it again (one that is down: to start it). */
void supervise_stop_one(struct app *app, uint32_t service);
void supervise_restart_one(struct app *app, uint32_t service);
void supervise_kill_all(struct app *app);
#define SERVICE_NAME(app, i) ((app)->plan->services[i].manifest->name)

/* ---- rundir.c: /run/hostd/<app> and the data below the state directory ---- */
/* place.c: /run/hostd and /var/lib/hostd; of a user who is not root (plain mode only) directories of his own. */
const char *run_root(void);
const char *state_root(void);
/* Both are the same, or one lies below the other, by whatever names they were opened; also where the kernel does not
 * say. */
bool place_overlaps(int fd, int other_fd);
/* Makes the run directory and takes its lock; -EBUSY when the application runs.  Reads the ledger of a hostd that died,
 * if there is one. */
int rundir_lock(struct app *app, struct err *e);
/* The rest of it. */
int rundir_open(struct app *app, struct err *e);
/* The state directory, made where it is missing; -EBUSY when it is another application's. */
int rundir_open_state(struct app *app, struct err *e);
/* The host ids of this application: none that another one uses.  After rundir_open(). */
int rundir_claim_ids(const char *app_name, uint32_t *ret_uid_base, struct err *e);
int rundir_open_logs(struct app *app, uint32_t service, struct err *e);
/* What PID 1 wrote last about an end that no hostd saw.  -ENOENT: nothing. */
int rundir_read_status(const struct app *app, uint32_t service, int *ret_wait_status, char ret_why[INIT_WHY_BYTES]);
/* Writes down who runs, for a hostd that comes after the death of this one. */
int rundir_note(struct app *app);
void rundir_close(struct app *app);

/* ---- packets.c ---- */
/* Reads the counters of one end of a wire; dropped packets that were not told yet become an event. */
void packets_look(struct app *app, uint32_t link, uint32_t direction, struct net_counters *ret_counters);
/* All wires of a service, before they go with it. */
void packets_look_last(struct app *app, uint32_t service);

/* ---- operator.c ---- */
/* A connection to a service, for `hostd call`: *ret_client_fd is the client's end. */
int operator_connect(struct app *app, const char *service, uint32_t *ret_service, int *ret_client_fd, struct err *e);

/* ---- control.c ---- */
int control_open(struct app *app, struct err *e);
void control_accept(struct app *app);
/* Answers clients that wait for a service, and can be answered by now. */
void control_answer_waiters(struct app *app);
/* Answers those of `hostd stop`, when nothing is left; without an answer they are told that hostd has died. */
void control_answer_stop(struct app *app);
/* Where an application is asked (client.c). */
struct sockaddr_un;
int control_address(const char *app_name, struct sockaddr_un *ret_address, struct err *e);
/* Names of the applications that have a run directory; count or negative errno. */
int control_list(char names[][NAME_BYTES], size_t max);

#endif
