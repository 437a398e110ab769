/*
 * test_states.c - the life of a service, pair by pair.
 *
 * The expectations are written a second time, in another form than the table: a change of the table is a change here.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "hostd/states.h"

static const char *const actions[] = {
    [ACTION_UNSET] = "unset",     [ACTION_REFUSE] = "refuse",   [ACTION_NONE] = "none", [ACTION_SPAWN] = "spawn",
    [ACTION_PROCEED] = "proceed", [ACTION_CONNECT] = "connect", [ACTION_ASK] = "ask",   [ACTION_ANNOUNCE] = "announce",
    [ACTION_KILL] = "kill",       [ACTION_BURY] = "bury",       [ACTION_PLAN] = "plan", [ACTION_REPORT] = "report",
};
_Static_assert(sizeof actions / sizeof actions[0] == INSTANCE_ACTION_COUNT, "a name for every action");

/* Everything that is allowed.  What does not stand here is refused. */
static const char *const allowed[] = {
    "down, start -> down, spawn",
    "down, spawned -> starting, none",
    "down, adopted -> ready, none",
    "down, stop -> down, none",
    "down, retry -> down, plan",
    "down, leave ended -> ended, none",
    "down, leave failed -> failed, report",
    "starting, listening -> listening, proceed",
    "starting, overdue -> starting, kill",
    "starting, stop -> stopping, kill",
    "starting, died -> down, bury",
    "listening, released -> connecting, connect",
    "listening, overdue -> listening, kill",
    "listening, stop -> stopping, kill",
    "listening, died -> down, bury",
    "connecting, serves -> ready, announce",
    "connecting, overdue -> connecting, kill",
    "connecting, stop -> stopping, kill",
    "connecting, died -> down, bury",
    "ready, stop -> stopping, ask",
    "ready, died -> down, bury",
    "stopping, listening -> stopping, none",
    "stopping, serves -> stopping, none",
    "stopping, overdue -> stopping, kill",
    "stopping, stop -> stopping, none",
    "stopping, died -> down, bury",
    "ended, start -> down, spawn",
    "ended, stop -> down, none",
    "failed, start -> down, spawn",
    "failed, stop -> down, none",
};
#define ALLOWED_COUNT (sizeof allowed / sizeof allowed[0])

static bool is_allowed(const char *line)
{
    for (size_t i = 0; i < ALLOWED_COUNT; i++)
        if (strcmp(allowed[i], line) == 0)
            return true;
    return false;
}

static void test_every_pair(void **state)
{
    size_t found = 0;
    for (int s = 0; s < INSTANCE_STATE_COUNT; s++)
        for (int event = 0; event < INSTANCE_EVENT_COUNT; event++) {
            struct transition t = states_next((enum instance_state)s, (enum instance_event)event);
            char line[128];
            (void)snprintf(line, sizeof line, "%s, %s -> %s, %s", instance_state_name((enum instance_state)s),
                           instance_event_name((enum instance_event)event), instance_state_name(t.next),
                           actions[t.action]);
            if (t.action == ACTION_REFUSE) {
                if ((int)t.next != s)
                    fail_msg("a refused pair keeps its state: %s", line);
                continue;
            }
            found++;
            if (!is_allowed(line))
                fail_msg("not in the list: %s", line);
        }
    assert_int_equal(found, ALLOWED_COUNT);
}

/* Whatever state: a process that has ended is buried, and where none is nothing can die. */
static void test_an_end_is_always_seen(void **state)
{
    for (int s = 0; s < INSTANCE_STATE_COUNT; s++) {
        struct transition t = states_next((enum instance_state)s, EVENT_DIED);
        assert_int_equal(t.action, instance_state_lives((enum instance_state)s) ? ACTION_BURY : ACTION_REFUSE);
    }
}

/* A stop is legal everywhere, and leads to nothing left. */
static void test_a_stop_reaches_down(void **state)
{
    for (int s = 0; s < INSTANCE_STATE_COUNT; s++) {
        struct transition t = states_next((enum instance_state)s, EVENT_STOP);
        assert_int_not_equal(t.action, ACTION_REFUSE);
        if (t.next == INSTANCE_STOPPING)
            t = states_next(t.next, EVENT_DIED);
        assert_int_equal(t.next, INSTANCE_DOWN);
    }
}

/* No state is a dead end: each can be reached from DOWN, and each can come to READY again. */
static void test_no_dead_end(void **state)
{
    bool reaches[INSTANCE_STATE_COUNT][INSTANCE_STATE_COUNT] = {{false}};
    for (int s = 0; s < INSTANCE_STATE_COUNT; s++) {
        reaches[s][s] = true;
        for (int event = 0; event < INSTANCE_EVENT_COUNT; event++)
            reaches[s][states_next((enum instance_state)s, (enum instance_event)event).next] = true;
    }
    for (int k = 0; k < INSTANCE_STATE_COUNT; k++)
        for (int i = 0; i < INSTANCE_STATE_COUNT; i++)
            for (int j = 0; j < INSTANCE_STATE_COUNT; j++)
                reaches[i][j] = reaches[i][j] || (reaches[i][k] && reaches[k][j]);
    for (int s = 0; s < INSTANCE_STATE_COUNT; s++) {
        assert_true(reaches[INSTANCE_DOWN][s]);
        assert_true(reaches[s][INSTANCE_READY]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_pair),
        cmocka_unit_test(test_an_end_is_always_seen),
        cmocka_unit_test(test_a_stop_reaches_down),
        cmocka_unit_test(test_no_dead_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
