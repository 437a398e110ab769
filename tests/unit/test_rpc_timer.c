/* test_rpc_timer.c - timer.h against a plain search. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>

#include <cmocka.h>

#include "rpc/timer.h"

#define COUNT 200

struct item {
    struct timer timer; /* first */
    bool is_set;
    uint64_t at_ms;
};

static struct item items[COUNT];
static uint64_t fired_last_ms;
static unsigned fired_count;

static void fired(struct timer *timer)
{
    struct item *item = (struct item *)timer;
    assert_true(item->is_set);
    assert_true(item->at_ms >= fired_last_ms); /* earliest first */
    fired_last_ms = item->at_ms;
    item->is_set = false;
    fired_count++;
}

static uint64_t earliest(void)
{
    uint64_t at_ms = TIMER_NEVER;
    for (size_t i = 0; i < COUNT; i++)
        if (items[i].is_set && items[i].at_ms < at_ms)
            at_ms = items[i].at_ms;
    return at_ms;
}

static void timers_fire_in_order_whatever_was_moved(void **state)
{
    struct timers timers;
    assert_int_equal(timers_init(&timers, COUNT), 0);
    for (size_t i = 0; i < COUNT; i++)
        items[i].timer.fire = fired;
    uint64_t now_ms = 0;
    srand(1);
    for (int step = 0; step < 100000; step++) {
        struct item *item = &items[rand() % COUNT];
        switch (rand() % 8) {
        case 0:
            timer_clear(&timers, &item->timer);
            item->is_set = false;
            break;
        case 1:
            now_ms += (uint64_t)(rand() % 50);
            fired_last_ms = 0;
            timers_fire(&timers, now_ms);
            assert_true(earliest() > now_ms);
            break;
        default:
            item->at_ms = now_ms + 1 + (uint64_t)(rand() % 1000);
            item->is_set = true;
            timer_set(&timers, &item->timer, item->at_ms);
        }
        assert_int_equal(timers_next_ms(&timers), earliest());
    }
    assert_true(fired_count > 1000);
    timers_done(&timers);
}

static unsigned again_count;
static struct timers again_timers;

static void again(struct timer *timer)
{
    again_count++;
    timer_set(&again_timers, timer, 5);
}

static void a_timer_set_anew_for_now_does_not_keep_the_loop(void **state)
{
    struct timer timer = {.fire = again};
    assert_int_equal(timers_init(&again_timers, 1), 0);
    timer_set(&again_timers, &timer, 5);
    timers_fire(&again_timers, 10);
    assert_int_equal(again_count, 1);
    timer_set(&again_timers, &timer, TIMER_NEVER);
    assert_int_equal(timers_next_ms(&again_timers), TIMER_NEVER);
    timers_done(&again_timers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(timers_fire_in_order_whatever_was_moved),
        cmocka_unit_test(a_timer_set_anew_for_now_does_not_keep_the_loop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
