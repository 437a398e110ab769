/*
 * watchdog.c - is the ring of the service still turning?
 *
 *   begin ──half the limit──▶ NOTE_PING ──NOTE_PONG──▶ half the limit ──▶ NOTE_PING ...
 *                                  └──the limit──▶ the service is ended, and hostd and its status file are told why
 *
 * librpc answers from its loop, between tasks: a handler that never suspends answers nothing, and neither does the
 * service then to anybody.  It is PID 1 that decides, so it works without hostd; who starts it again is hostd.  Only
 * from READY to a stop: before and after that there are other deadlines.
 */
#include <stdio.h>

#include "initsvc/init.h"
#include "rpc/base/clock.h"

void watchdog_begin(struct init *init)
{
    uint32_t limit_ms = init->setup->watchdog_ms;
    if (limit_ms && !exec_is_on(init, INIT_EXEC)) /* a command beside the service is the operator's own affair */
        init->ping_at_ms = clock_ms() + limit_ms / 2;
}

void watchdog_answered(struct init *init)
{
    if (!init->pinged_at_ms)
        return; /* an answer that nobody asked for */
    init->pinged_at_ms = 0;
    init->ping_at_ms = clock_ms() + init->setup->watchdog_ms / 2;
}

uint64_t watchdog_next_ms(const struct init *init)
{
    if (init->kill_at_ms)
        return 0; /* it is stopping, and has a deadline */
    return init->pinged_at_ms ? init->pinged_at_ms + init->setup->watchdog_ms : init->ping_at_ms;
}

void watchdog_run(struct init *init, uint64_t now_ms)
{
    uint64_t at_ms = watchdog_next_ms(init);
    if (!at_ms || at_ms > now_ms)
        return;
    if (!init->pinged_at_ms) {
        init->pinged_at_ms = now_ms;
        note_to_service(init, &(struct note_down){.kind = NOTE_PING});
        return;
    }
    char why[INIT_WHY_BYTES];
    (void)snprintf(why, sizeof why, "its ring did not turn for %llu ms",
                   (unsigned long long)(now_ms - init->pinged_at_ms));
    leave_killed(init, why);
}
