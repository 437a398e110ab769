/*
 * cgroup.h - a control group per service: memory, processes, cpu.
 *
 * Version 2 where its controllers are to be had, else the version 1 trees, else a refusal that names what is missing.
 * Groups are <tree>/hostd/<app>/<service>; whatever directory becomes empty is removed again.
 */
#ifndef HOSTD_CGROUP_H
#define HOSTD_CGROUP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "rpc/base/err.h"

enum cgroup_controller { CGROUP_MEMORY, CGROUP_PIDS, CGROUP_CPU, CGROUP_CONTROLLER_COUNT };

/* What this machine offers. */
struct cgroup_trees {
    bool has_swap;                        /* there is some, counted or not */
    bool is_v2;                           /* version 2 is used; else the version 1 trees */
    bool v2[CGROUP_CONTROLLER_COUNT];     /* which of them version 2 has here */
    char unified[64];                     /* mount point of version 2, when is_v2 */
    char v1[CGROUP_CONTROLLER_COUNT][64]; /* mount points of version 1; "" = not there */
};

struct cgroup_limits {
    uint64_t memory_bytes;
    uint32_t pids;
    uint32_t cpu_percent;    /* 0 = none */
    uint32_t accept_missing; /* enum manifest_missing: controllers that may be absent */
};

/* Looks at this machine.  Never fails: what is not there is found when it is asked for. */
void cgroup_detect(struct cgroup_trees *ret_trees);

/* Makes the groups of a service with their limits.  Existing empty ones (of a crash) are taken over. */
int cgroup_make(const struct cgroup_trees *trees, const char *app, const char *service,
                const struct cgroup_limits *limits, struct err *e);

/* Version 2: a descriptor for CLONE_INTO_CGROUP (close it).  Version 1: *ret_fd = -1; use cgroup_open_tasks(). */
int cgroup_open(const struct cgroup_trees *trees, const char *app, const char *service, int *ret_fd, struct err *e);
/*
 * Version 1: what a new process enters the groups by, -1 where there is none (version 2: all); close them.  A process
 * that moves itself, and has one thread, is moved at once; moving another one waits for all CPUs to pass through the
 * scheduler, 10 to 20 ms (kernel/cgroup: cgroup_threadgroup_rwsem).
 * Without needs_cpu there may be no cpu group: that of a service without a limit of cpu is never made, and one that a
 * process is in cannot go.
 */
int cgroup_open_tasks(const struct cgroup_trees *trees, const char *app, const char *service, bool needs_cpu,
                      int ret_fds[CGROUP_CONTROLLER_COUNT], struct err *e);
/* In the new process: enters by them.  It needs no right of its own: that of who opened them counts. */
int cgroup_enter(const int fds[CGROUP_CONTROLLER_COUNT], struct err *e);

#define CGROUP_UNKNOWN UINT64_MAX /* no such controller, or no limit */
struct cgroup_usage {
    uint64_t memory_bytes, memory_limit_bytes;
    uint64_t pids, pids_limit; /* processes and threads */
};
void cgroup_usage(const struct cgroup_trees *trees, const char *app, const char *service,
                  struct cgroup_usage *ret_usage);

/* The beginning of a file of a group, ended with a NUL.  A negative errno: there is none. */
int cgroup_read(const struct cgroup_trees *trees, enum cgroup_controller controller, const char *app,
                const char *service, const char *file, char *text, size_t room);

/* How often the kernel killed a process of the service because its memory was used up; 0 where it does not say. */
uint64_t cgroup_oom_kills(const struct cgroup_trees *trees, const char *app, const char *service);

/* Removes the groups of a service (NULL: of the application), and those of app and hostd when empty.  -EBUSY while a
 * process is left in one. */
int cgroup_remove(const struct cgroup_trees *trees, const char *app, const char *service);

/* Removes all empty groups of an application, whatever their names: what a crash has left. */
void cgroup_sweep(const struct cgroup_trees *trees, const char *app);

#endif
