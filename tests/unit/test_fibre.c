/* test_fibre.c - fibre.h: the switch keeps what it must, stacks have guards, arenas have limits. */
#include <fenv.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "rpc/fibre.h"

struct object {
    struct fibre fibre;
    int steps;
    double sum;
};

static struct fibre_pool pool;

static int set_up(void **state)
{
    fibre_pool_init(&pool, 64, sizeof(struct object), 1u << 20);
    return 0;
}

static void count_steps(struct fibre *fibre)
{
    struct object *object = (struct object *)fibre;
    double x = 0.5; /* lives in registers across the switches */
    for (int i = 0; i < 100; i++) {
        x = x * 1.5 + i;
        object->steps++;
        assert_ptr_equal(fibre_self(), fibre);
        fibre_suspend();
    }
    object->sum = x;
}

static void fibres_keep_their_registers_and_stacks(void **state)
{
    struct object *objects[64];
    for (int i = 0; i < 64; i++) {
        objects[i] = (struct object *)fibre_take(&pool, count_steps);
        assert_non_null(objects[i]);
        objects[i]->steps = 0;
    }
    assert_null(fibre_take(&pool, count_steps)); /* max are running */
    double y = 0.25;
    for (int turn = 0; turn < 101; turn++)
        for (int i = 0; i < 64; i++) {
            y = y * 0.5 + 1;
            assert_true(fibre_resume(&objects[i]->fibre) == (turn == 100));
            assert_null(fibre_self());
        }
    assert_true(y > 1.99 && y < 2.01);
    double expected = 0.5;
    for (int i = 0; i < 100; i++)
        expected = expected * 1.5 + i;
    for (int i = 0; i < 64; i++) {
        assert_int_equal(objects[i]->steps, 100);
        assert_true(objects[i]->sum == expected);
        fibre_give_back(&pool, &objects[i]->fibre);
    }
    assert_int_equal(pool.running, 0);
    assert_int_equal(pool.made, 64);
}

static void round_up(struct fibre *fibre)
{
    assert_int_equal(fegetround(), FE_TONEAREST); /* a new fibre starts as a process does */
    (void)fesetround(FE_UPWARD);
    fibre_suspend();
    assert_int_equal(fegetround(), FE_UPWARD);
}

static void the_rounding_mode_is_a_fibre_s_own(void **state)
{
    struct fibre *fibre = fibre_take(&pool, round_up);
    assert_non_null(fibre);
    assert_false(fibre_resume(fibre));
    assert_int_equal(fegetround(), FE_TONEAREST);
    assert_true(fibre_resume(fibre));
    assert_int_equal(fegetround(), FE_TONEAREST);
    fibre_give_back(&pool, fibre);
}

static void allocate(struct fibre *fibre)
{
    size_t total = 0, count = 0;
    for (size_t bytes = 1;; bytes = bytes * 3 / 2 + 1) {
        if (bytes > 20000)
            bytes = 1;
        unsigned char *piece = fibre_alloc(&pool, fibre, bytes);
        if (!piece)
            break;
        assert_int_equal((uintptr_t)piece % 16, 0);
        memset(piece, 0xAB, bytes);
        total += bytes;
        count++;
    }
    assert_true(fibre->is_arena_full);
    assert_true(fibre->arena_bytes <= pool.arena_bytes_max);
    assert_true(total > pool.arena_bytes_max / 2 && total <= pool.arena_bytes_max);
    assert_true(count > 100);
    assert_null(fibre_alloc(&pool, fibre, SIZE_MAX));
    assert_null(fibre_alloc(&pool, fibre, SIZE_MAX - 8));
}

static void an_arena_has_a_limit_and_is_empty_again_afterwards(void **state)
{
    for (int i = 0; i < 10; i++) {
        struct fibre *fibre = fibre_take(&pool, allocate);
        assert_non_null(fibre);
        assert_false(fibre->is_arena_full);
        assert_true(fibre_resume(fibre));
        fibre_give_back(&pool, fibre);
        assert_null(fibre->chunks);
    }
}

/* Not optimised away: each level touches its part of the stack. */
static int __attribute__((noinline)) dive(int depth)
{
    volatile char page[1024];
    page[0] = (char)depth;
    return depth == 0 ? page[0] : dive(depth - 1) + page[0];
}

static void dive_too_deep(struct fibre *fibre)
{
    (void)dive(100000);
}

static void dive_well(struct fibre *fibre)
{
    (void)dive(100);
}

static void a_stack_that_overflows_meets_its_guard(void **state)
{
    struct fibre *fine = fibre_take(&pool, dive_well);
    assert_non_null(fine);
    assert_true(fibre_resume(fine));
    fibre_give_back(&pool, fine);
    (void)fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        (void)signal(SIGSEGV, SIG_DFL); /* not the sanitizer's */
        struct fibre *fibre = fibre_take(&pool, dive_too_deep);
        if (fibre)
            (void)fibre_resume(fibre);
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(fibres_keep_their_registers_and_stacks, set_up),
        cmocka_unit_test_setup(the_rounding_mode_is_a_fibre_s_own, set_up),
        cmocka_unit_test_setup(an_arena_has_a_limit_and_is_empty_again_afterwards, set_up),
        cmocka_unit_test_setup(a_stack_that_overflows_meets_its_guard, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
