/*
 * ledger.h - what hostd writes down about a running application, for a hostd that comes after its death.
 *
 * Pure: text and back.  One line each, one space between words, nothing else:
 *
 *     hostd 1                      format
 *     boot UUID                    pids and inodes mean nothing after another boot
 *     list HASH                    of the service list and the options that shape a start
 *     protocol N                   of the messages between hostd and PID 1
 *     mode isolated                or plain
 *     next_wire N                  no number below was left free
 *     service NAME STATE PID TICKS NETNS USERNS PIDNS GENERATION QUICK_ENDS PAUSE_MS OOM_KILLS LAST END
 *     end                          what does not end so was cut
 *
 * What it says is where to look.  Nothing of it is believed that /proc and the service's PID 1 do not confirm
 * (adopt.c).  Written by rename, so a crash leaves the old one or the new one.
 */
#ifndef HOSTD_LEDGER_H
#define HOSTD_LEDGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "hostd/process.h"
#include "hostd/states.h"
#include "rpc/base/contract.h"
#include "rpc/base/err.h"

#define LEDGER_BYTES_MAX (2u << 20) /* 4,096 services with the longest lines */
#define LEDGER_END_BYTES 192u       /* of the text how a service ended, with its NUL */

struct ledger_service {
    char name[NAME_BYTES];
    enum instance_state state;
    struct process_mark mark; /* of its PID 1 */
    uint32_t generation, quick_ends, restart_pause_ms;
    uint64_t oom_kills;
    char last_end[LEDGER_END_BYTES];
};

struct ledger {
    char boot_id[BOOT_ID_BYTES];
    uint64_t list_hash;
    uint32_t protocol;
    bool is_plain;
    uint32_t next_wire;
    size_t service_count;
    struct ledger_service services[];
};

/* free() *ret_ledger.  -EPROTO: not a ledger of ours, or one that was cut. */
int ledger_parse(const char *text, size_t bytes, struct ledger **ret_ledger, struct err *e);
void ledger_print(const struct ledger *ledger, FILE *out);

/* NULL: it names no such service. */
const struct ledger_service *ledger_find(const struct ledger *ledger, const char *name);

/* Its hostd died neither in its first start nor in a stop: an end of a service was no part of those. */
bool ledger_was_up(const struct ledger *ledger);

/* FNV-1a, 64 bits, begun with LEDGER_HASH_SEED. */
#define LEDGER_HASH_SEED 14695981039346656037ull
uint64_t ledger_hash(uint64_t hash, const void *bytes, size_t count);

#endif
