/* test_rpc_spin.c - looking before sleeping: pays where it should, and stops where it does not (rpc/spin.h). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "rpc/spin.h"

/* Looks in `waits` waits, of which every `good`-th comes in time (0: none does). */
static uint32_t looks(struct spin *spin, uint32_t waits, uint32_t good)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < waits; i++) {
        if (!spin_wants(spin))
            continue;
        if (good && count % good == 0)
            spin_won(spin);
        else
            spin_lost(spin);
        count++;
    }
    return count;
}

static void an_idle_service_hardly_looks(void **state)
{
    struct spin spin = {0};
    assert_in_range(looks(&spin, 1, 0), 0, 1);
    spin = (struct spin){0};
    assert_in_range(looks(&spin, 1024, 0), 1, 12);
    assert_in_range(looks(&spin, 1000000, 0), 1, 260);
    assert_int_equal(spin.pause, SPIN_PAUSE_MAX);
}

static void a_peer_that_answers_at_once_is_looked_for_each_time(void **state)
{
    struct spin spin = {0};
    assert_int_equal(looks(&spin, 10000, 1), 10000);
    /* One in vain is forgiven. */
    spin_lost(&spin);
    assert_int_equal(looks(&spin, 10000, 1), 10000);
}

static void what_stopped_paying_is_stopped_soon(void **state)
{
    struct spin spin = {0};
    (void)looks(&spin, 10000, 1);
    assert_in_range(looks(&spin, 1024, 0), 1, 14);
}

static void half_in_vain_does_not_pay(void **state)
{
    struct spin spin = {0};
    (void)looks(&spin, 10000, 1);
    (void)looks(&spin, 10000, 2);
    assert_in_range(looks(&spin, 10000, 2), 0, 5000);
}

static void what_pays_again_is_found_again(void **state)
{
    struct spin spin = {0};
    (void)looks(&spin, 100000, 0);
    (void)looks(&spin, SPIN_PAUSE_MAX + 1, 1);
    assert_int_equal(looks(&spin, 1000, 1), 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_idle_service_hardly_looks),
        cmocka_unit_test(a_peer_that_answers_at_once_is_looked_for_each_time),
        cmocka_unit_test(what_stopped_paying_is_stopped_soon),
        cmocka_unit_test(half_in_vain_does_not_pay),
        cmocka_unit_test(what_pays_again_is_found_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
