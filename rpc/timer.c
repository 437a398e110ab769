/* timer.c - see timer.h.  Pure. */
#include "rpc/timer.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

int timers_init(struct timers *timers, uint32_t max)
{
    timers->heap = calloc(max, sizeof *timers->heap);
    timers->count = 0;
    timers->max = max;
    return timers->heap ? 0 : -ENOMEM;
}

void timers_done(struct timers *timers)
{
    free(timers->heap);
    *timers = (struct timers){0};
}

static void put(struct timers *timers, uint32_t at, struct timer *timer)
{
    timers->heap[at] = timer;
    timer->place = at + 1;
}

static void sift_up(struct timers *timers, uint32_t at, struct timer *timer)
{
    while (at > 0) {
        uint32_t parent = (at - 1) / 2;
        if (timers->heap[parent]->at_ms <= timer->at_ms)
            break;
        put(timers, at, timers->heap[parent]);
        at = parent;
    }
    put(timers, at, timer);
}

static void sift_down(struct timers *timers, uint32_t at, struct timer *timer)
{
    for (;;) {
        uint32_t child = at * 2 + 1;
        if (child >= timers->count)
            break;
        if (child + 1 < timers->count && timers->heap[child + 1]->at_ms < timers->heap[child]->at_ms)
            child++;
        if (timer->at_ms <= timers->heap[child]->at_ms)
            break;
        put(timers, at, timers->heap[child]);
        at = child;
    }
    put(timers, at, timer);
}

void timer_clear(struct timers *timers, struct timer *timer)
{
    if (timer->place == 0)
        return;
    uint32_t at = timer->place - 1;
    timer->place = 0;
    struct timer *last = timers->heap[--timers->count];
    if (last == timer)
        return;
    /* The last one fills the hole and goes whichever way is right for it. */
    if (at > 0 && timers->heap[(at - 1) / 2]->at_ms > last->at_ms)
        sift_up(timers, at, last);
    else
        sift_down(timers, at, last);
}

void timer_set(struct timers *timers, struct timer *timer, uint64_t at_ms)
{
    timer_clear(timers, timer);
    if (at_ms == TIMER_NEVER)
        return;
    assert(timers->count < timers->max);
    timer->at_ms = at_ms;
    sift_up(timers, timers->count++, timer);
}

uint64_t timers_next_ms(const struct timers *timers)
{
    return timers->count ? timers->heap[0]->at_ms : TIMER_NEVER;
}

void timers_fire(struct timers *timers, uint64_t now_ms)
{
    /* As many as were due when we began: one that is set again for "now" must not keep us here. */
    uint32_t turns = timers->count;
    while (turns-- > 0 && timers->count > 0 && timers->heap[0]->at_ms <= now_ms) {
        struct timer *timer = timers->heap[0];
        timer_clear(timers, timer);
        timer->fire(timer);
    }
}
