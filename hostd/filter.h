/*
 * filter.h - the system call filters, compiled to the bytes that seccomp(2) takes.
 *
 * A filter is a table of names (filter.c) run through libseccomp; nothing is installed here.  hostd compiles them once
 * and hands the bytes to PID 1 with the setup message.
 *
 * Invariants
 *  I1  What no table names fails with EPERM; clone3 fails with ENOSYS, so that libc falls back to clone, whose flags a
 *      filter can see; another architecture (i386, x32) kills the process.
 *  I2  Where a rule looks at an argument, all 64 bits of it count: high bits that the kernel would ignore are refused.
 *  I3  No filter allows a way to make a socket (but PID 1's IPv4 stream sockets), a ring, a namespace, an executable
 *      mapping, or another program than execveat of a descriptor.  The filter of process services allows sockets of two
 *      families, and mappings that are executable but not writable.
 *
 * Callers: spawn (service, init), manifest (parser), `hostd call` (client), `hostd exec` (tools), `hostd plan` (names).
 */
#ifndef HOSTD_FILTER_H
#define HOSTD_FILTER_H

#include <linux/filter.h>
#include <stddef.h>
#include <stdint.h>

#include "hostd/plan.h"
#include "rpc/base/err.h"

#define FILTER_MAX 1024u /* instructions; the largest table, of process services, makes about 400 */

struct filter {
    struct sock_filter instructions[FILTER_MAX];
    uint32_t count;
};

/* The filter of a service's program, from before its exec on. */
int filter_service(enum plan_profile profile, struct filter *ret_filter, struct err *e);

/* The filter of tools beside a service (`hostd exec --tools`): that of process services, and execve. */
int filter_tools(struct filter *ret_filter, struct err *e);

/* The filter of PID 1, by the kind of its service, once its loop runs. */
int filter_init(enum manifest_kind kind, struct filter *ret_filter, struct err *e);

/* The filter of the child that parses the TOML: memory, and messages on the socket it has. */
int filter_parser(struct filter *ret_filter, struct err *e);

/* The filter of `hostd call` while it speaks with a service. */
int filter_client(struct filter *ret_filter, struct err *e);

/* Names of the allowed calls of a profile: name number `index`, NULL behind the last. */
const char *filter_service_name(enum plan_profile profile, size_t index);
const char *filter_init_name(enum manifest_kind kind, size_t index);

#endif
