/*
 * ps_view.h - what runs, as the client commands show it: hostd's answer, with what each service uses.
 *
 * hostd tells states, links and counts; memory, processes and cpu time are read here, from control groups and /proc, so
 * that looking costs the one who looks.
 *
 * Callers: `hostd ps`, `hostd top`.
 */
#ifndef HOSTD_PS_VIEW_H
#define HOSTD_PS_VIEW_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

/*
 * Appends an object per service of app_name, or of every application (NULL).  Beside what hostd says it has: cpu_s (of
 * the processes that run, since they were started, and of their children that have ended), cpu_percent (cpu_s over the
 * time since the start of its PID 1), memory_bytes, memory_limit_bytes, pids, pids_limit (null where unknown or
 * unlimited), calls, denied_calls, denied_packets (sums over its links, and of the operator).
 * Prints errors as `hostd COMMAND: ...`; returns the exit code.
 */
int ps_collect(const char *app_name, const char *command, json_t *services);

/* cpu_percent becomes that of the `seconds` since `before` was collected, for services that go on in it. */
void ps_since(json_t *services, const json_t *before, double seconds);

void ps_print_table(const json_t *services, bool with_links, FILE *out);

#endif
