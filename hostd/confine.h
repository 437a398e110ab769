/*
 * confine.h - a process of ours gives up everything before it looks at what others wrote.
 *
 * Callers: the child that parses the TOML (manifest_load.c), `hostd call` before it speaks with a service.
 */
#ifndef HOSTD_CONFINE_H
#define HOSTD_CONFINE_H

#include <stdbool.h>
#include <stdint.h>

#include "hostd/filter.h"

#define CONFINE_UID 65534u /* nobody */

struct confine_limits {
    uint32_t cpu_seconds;
    uint64_t memory_bytes; /* address space; not with a sanitizer, whose shadow is larger than any limit */
    uint32_t files;        /* descriptors: what is open stays open */
    bool is_writing_no_file;
};

/*
 * Limits, then ids (where it is root), capabilities with them, no_new_privs, the filter: for good.  0 or a negative
 * errno; after a failure the process must not go on.
 */
int confine_self(const struct filter *filter, const struct confine_limits *limits);

#endif
