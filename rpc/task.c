/*
 * task.c - tasks: fibres with a deadline, a share, and one thing at most that they wait for.
 *
 *   task_new() ─▶ RUNNING ─task_wait()─▶ WAITING ─task_wake()─▶ READY ─tasks_run()─▶ RUNNING ─▶ ended
 *                                           └────── task_resume_now() ──────────────────▲
 *
 * Shares: an origin (a caller's link, an ingress) with a guarantee of n always finds a fibre for its first n tasks,
 * because others are refused the last ones that would break that promise.
 */
#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "rpc/base/clock.h"
#include "rpc/runtime.h"

static void on_timer(struct timer *timer)
{
    task_wake(OWNER_OF(timer, struct task, timer), -ETIMEDOUT);
}

struct task *task_self(void)
{
    return (struct task *)fibre_self();
}

static void run(struct fibre *fibre)
{
    struct task *task = (struct task *)fibre;
    task->run(task->arg);
}

struct task *task_new(struct share *share, void (*run_task)(void *arg), void *arg)
{
    bool is_guaranteed = share->running < share->guaranteed;
    uint32_t free = rt.pool.max - rt.pool.running;
    if (!is_guaranteed && free <= rt.guaranteed_unused)
        return NULL;
    struct task *task = (struct task *)fibre_take(&rt.pool, run);
    if (!task)
        return NULL;
    share->running++;
    if (is_guaranteed)
        rt.guaranteed_unused--;
    /* Field by field: clearing them all at once takes a fiftieth of a call's time. */
    list_init(&task->node);
    task->timer.place = 0;
    task->timer.fire = on_timer;
    task->share = share;
    task->run = run_task;
    task->arg = arg;
    task->state = TASK_RUNNING;
    task->is_interruptible = task->is_cancelled = task->is_served = false;
    task->wake_result = 0;
    task->end_ms = NEVER_MS;
    task->deadline_ms = 0;
    task->reply = NULL;
    task->error_text[0] = '\0';
    return task;
}

static void ended(struct task *task)
{
    struct share *share = task->share;
    share->running--;
    if (share->running < share->guaranteed)
        rt.guaranteed_unused++;
    if (task->is_served)
        rt.served_running--;
    fibre_give_back(&rt.pool, &task->fibre);
    streams_serve_pending();
}

void task_go(struct task *task)
{
    task->state = TASK_RUNNING;
    if (fibre_resume(&task->fibre))
        ended(task);
}

void task_ready(struct task *task)
{
    list_remove(&task->node);
    task->state = TASK_READY;
    list_append(&rt.ready, &task->node);
}

int task_wait(uint64_t until_ms, bool is_interruptible)
{
    struct task *task = task_self();
    assert(task); /* "blocks the fibre": there must be one */
    if (is_interruptible) {
        if (task->is_cancelled) {
            list_remove(&task->node); /* the caller has put it on a list of waiters */
            return -ECANCELED;
        }
        if (task->end_ms < until_ms)
            until_ms = task->end_ms;
    }
    timer_set(&rt.timers, &task->timer, until_ms);
    task->state = TASK_WAITING;
    task->is_interruptible = is_interruptible;
    fibre_suspend();
    return task->wake_result;
}

static void stop_waiting(struct task *task, int result)
{
    timer_clear(&rt.timers, &task->timer);
    list_remove(&task->node);
    task->wake_result = result;
}

void task_wake(struct task *task, int result)
{
    if (task->state != TASK_WAITING)
        return;
    stop_waiting(task, result);
    task_ready(task);
}

void task_resume_now(struct task *task, int result)
{
    if (task->state != TASK_WAITING)
        return;
    stop_waiting(task, result);
    task_go(task);
}

void tasks_wake_all(struct list *waiters, int result)
{
    while (!list_is_empty(waiters))
        task_wake(OWNER_OF(waiters->next, struct task, node), result);
}

void task_cancel(struct task *task)
{
    task->is_cancelled = true;
    if (task->state == TASK_WAITING && task->is_interruptible)
        task_wake(task, -ECANCELED);
}

void tasks_run(void)
{
    struct list *node;
    while ((node = list_take(&rt.ready)))
        task_go(OWNER_OF(node, struct task, node));
}

/* ---- what services see of it ---- */

void rpc_sleep_ms(uint32_t ms)
{
    (void)task_wait(clock_ms() + ms, true); /* why it ended does not matter: it has no result */
}

int rpc_spawn(void (*run_spawned)(void *arg), void *arg)
{
    struct task *task = task_new(&rt.own_share, run_spawned, arg);
    if (!task)
        return -EAGAIN;
    task_ready(task);
    return 0;
}

void rpc_set_deadline_ms(uint32_t ms)
{
    struct task *task = task_self();
    assert(task);
    task->deadline_ms = clock_ms() + ms;
    if (task->deadline_ms > task->end_ms)
        task->deadline_ms = task->end_ms;
}

const char *rpc_error_text(void)
{
    struct task *task = task_self();
    return task ? task->error_text : "";
}

/* ---- memory ---- */

static void *allocate(size_t bytes)
{
    struct task *task = task_self();
    assert(task);
    return fibre_alloc(&rt.pool, &task->fibre, bytes);
}

void *rpc_alloc(size_t bytes)
{
    void *piece = allocate(bytes);
    if (piece)
        memset(piece, 0, bytes);
    return piece;
}

char *rpc_strndup(const char *text, size_t bytes)
{
    size_t length = strnlen(text, bytes);
    char *copy = allocate(length + 1);
    if (copy) {
        memcpy(copy, text, length);
        copy[length] = '\0';
    }
    return copy;
}

char *rpc_strdup(const char *text)
{
    return rpc_strndup(text, SIZE_MAX - 1);
}

char *rpc_printf(const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, format, args);
    char *text = length < 0 ? NULL : allocate((size_t)length + 1);
    if (text)
        (void)vsnprintf(text, (size_t)length + 1, format, again); /* it fits: measured above */
    va_end(again);
    va_end(args);
    return text;
}

static void *allocator_alloc(void *data, size_t bytes)
{
    return allocate(bytes);
}

static void allocator_free(void *data, void *piece)
{
    /* Goes with the fibre. */
}

ProtobufCAllocator *rpc_allocator(void)
{
    static ProtobufCAllocator allocator = {allocator_alloc, allocator_free, NULL};
    return &allocator;
}
