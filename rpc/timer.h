/*
 * timer.h - deadlines in a binary heap.  Pure: it knows times only as numbers.
 *
 * A timer is embedded in what it is for.  Setting one that is set moves it; clearing one that is not does nothing.
 * Invariant I1: heap[i] is never later than its children, and heap[i]->place == i + 1.
 */
#ifndef RPC_TIMER_H
#define RPC_TIMER_H

#include <stddef.h>
#include <stdint.h>

#define TIMER_NEVER UINT64_MAX

struct timer {
    uint64_t at_ms;
    uint32_t place; /* in the heap, from 1; 0 = not set */
    void (*fire)(struct timer *timer);
};

struct timers {
    struct timer **heap;
    uint32_t count, max;
};

/* max: timers that may be set at once; there are never more than timers exist.  0 or -ENOMEM. */
int timers_init(struct timers *timers, uint32_t max);
void timers_done(struct timers *timers);

void timer_set(struct timers *timers, struct timer *timer, uint64_t at_ms);
void timer_clear(struct timers *timers, struct timer *timer);

/* TIMER_NEVER when none is set. */
uint64_t timers_next_ms(const struct timers *timers);

/* Clears and fires each timer whose time has come, earliest first.  A timer set anew by another's fire() waits for the
 * next turn. */
void timers_fire(struct timers *timers, uint64_t now_ms);

#endif
