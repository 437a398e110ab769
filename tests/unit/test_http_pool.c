/* test_http_pool.c - the memory of connections is bounded, and all of it comes back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "apps/zoobar/dispatcher/pool.h"

static struct connection *taken[POOL_CONNECTIONS_MAX];

/* Twice: what was given back is as good as new. */
static void test_all(void **state)
{
    for (int turn = 0; turn < 2; turn++) {
        for (size_t i = 0; i < POOL_CONNECTIONS_MAX; i++) {
            assert_true(pool_is_crowded() == (i > POOL_CROWDED_AT));
            taken[i] = pool_take();
            assert_non_null(taken[i]);
            assert_int_equal(taken[i]->count, 0);
            taken[i]->count = 7;
        }
        assert_null(pool_take());
        for (size_t i = 0; i < POOL_CONNECTIONS_MAX; i++)
            pool_give_back(taken[i]);
        assert_false(pool_is_crowded());
    }
}

static void test_large(void **state)
{
    for (int turn = 0; turn < 2; turn++) {
        for (size_t i = 0; i <= POOL_LARGE_MAX; i++) {
            taken[i] = pool_take();
            memcpy(taken[i]->buffer, "kept", 4);
            taken[i]->count = 4;
            assert_true(pool_grow(taken[i]) == (i < POOL_LARGE_MAX));
            assert_memory_equal(taken[i]->buffer, "kept", 4);
            assert_int_equal(taken[i]->size, i < POOL_LARGE_MAX ? HTTP_REQUEST_BUFFER_BYTES : POOL_SMALL_BYTES);
        }
        assert_false(pool_grow(taken[0])); /* not twice */
        pool_shrink(taken[0]);
        assert_memory_equal(taken[0]->buffer, "kept", 4);
        assert_false(taken[0]->is_large);
        assert_true(pool_grow(taken[POOL_LARGE_MAX])); /* the one that was freed */
        taken[1]->count = POOL_SMALL_BYTES + 1;
        pool_shrink(taken[1]); /* does not fit: stays */
        assert_true(taken[1]->is_large);
        for (size_t i = 0; i <= POOL_LARGE_MAX; i++)
            pool_give_back(taken[i]);
    }
}

static void test_held(void **state)
{
    struct connection *one = pool_take();
    pool_hold(one, CONNECTION_HELD_MAX - 1);
    assert_true(pool_may_keep(one));
    pool_hold(one, 1);
    assert_false(pool_may_keep(one));
    pool_give_back(one);

    size_t each = CONNECTION_HELD_MAX / 2, count = POOL_HELD_HARD / each;
    for (size_t i = 0; i < count; i++) {
        taken[i] = pool_take();
        pool_hold(taken[i], each);
        assert_true(pool_may_keep(taken[i]) == ((i + 1) * each < POOL_HELD_SOFT));
        assert_true(pool_is_crowded() == ((i + 1) * each >= POOL_HELD_SOFT));
        assert_true(pool_is_full() == (i == count - 1));
    }
    for (size_t i = 0; i < count; i++)
        pool_give_back(taken[i]);
    assert_false(pool_is_full());
    one = pool_take();
    assert_true(pool_may_keep(one)); /* all was given back */
    pool_give_back(one);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_all), cmocka_unit_test(test_large),
                                       cmocka_unit_test(test_held)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
