/*
 * process.h - which process is which: what /proc says of one, and whether it still is the one that was meant.
 *
 * A pid is a number that the kernel hands out again.  A mark is enough to tell: start time and namespaces, compared
 * after a pidfd was opened, so that what was compared is what the pidfd means.  Doing; reads only.
 */
#ifndef HOSTD_PROCESS_H
#define HOSTD_PROCESS_H

#include <stdint.h>
#include <sys/types.h>

#define BOOT_ID_BYTES 40 /* a UUID with its NUL, and room */

struct process_mark {
    pid_t pid;              /* 0 = none */
    uint64_t started_ticks; /* since the boot, of /proc/PID/stat */
    uint64_t netns, userns, pidns;
};

/* -ESRCH: no such process, or its /proc cannot be read. */
int process_mark(pid_t pid, struct process_mark *ret_mark);

/* A pidfd of the marked process, which runs a file called `program`.  -ESRCH: it has ended (a zombie has), or the pid
 * is another's by now. */
int process_open(const struct process_mark *mark, const char *program, int *ret_pidfd);

/* Has it ended?  A zombie has, whoever has to reap it. */
int process_has_ended(int pidfd);
/* Waits for its end: 0; -ETIMEDOUT. */
int process_wait(int pidfd, int timeout_ms);

/* The first child of a process, 0 = none: of a PID 1 the service, by the host's number. */
pid_t process_first_child(pid_t pid);

/* The boot that this is; "" where the kernel does not say. */
void process_boot_id(char ret_id[BOOT_ID_BYTES]);

#endif
