/*
 * cmd_exec.h - what the files of `hostd exec` share: a running service as the command meets it, and how it is run.
 *
 * Private to cmd_exec*.c.  Order: exec_target_find() (who, and what confinement it has), exec_target_program() and its
 * like (what is different for the command), exec_run().
 */
#ifndef HOSTD_CMD_EXEC_H
#define HOSTD_CMD_EXEC_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "hostd/cgroup.h"
#include "initsvc/contract.h"

struct exec_options {
    const char *app, *service;
    bool with_tools, as_root, with_wires;
    char **words; /* the command and its arguments, NULL at the end */
};

struct exec_target {
    char app[NAME_BYTES], service[NAME_BYTES];
    pid_t init_pid;           /* as this process sees it */
    int pidfd;                /* of PID 1: the one that hostd named, and alive when it was opened */
    int initsvc_fd;           /* the same program that PID 1 is */
    struct init_setup *setup; /* a copy of what PID 1 was told, changed for the command; malloc'ed */
    size_t setup_room;        /* allocated */
    int fds[INIT_FDS_MAX];    /* from INIT_FD_FIRST on: the program, then the mounts of its root */
    size_t fd_count;
};

/* Asks the running hostd, and reads from the kernel what the service's PID 1 was set up with. */
int exec_target_find(const struct exec_options *options, struct exec_target *ret_target, struct err *e);
/* -ENOEXEC and its like are the user's mistake.  Opens the command; checks that it can run there. */
int exec_target_program(struct exec_target *target, const struct exec_options *options, struct err *e);
/* A root with the host's /usr for it (cmd_exec_tools.c).  After the program. */
int exec_tools_root(struct exec_target *target, struct err *e);
/* Puts bytes behind the setup, where they keep their alignment; *ret_at is their offset. */
int exec_target_append(struct exec_target *target, const void *bytes, size_t count, uint32_t *ret_at, struct err *e);
void exec_target_done(struct exec_target *target);

/* Runs the command to its end, copies its output to ours; *ret_wait_status is its own. */
int exec_run(struct exec_target *target, int *ret_wait_status, struct err *e);

#endif
