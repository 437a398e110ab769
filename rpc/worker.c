/*
 * worker.c - threads for what blocks.  The only code here that runs outside the loop's thread.
 *
 * rpc_worker_run() queues a job that lives on its fibre's stack; the thread takes up to RPC_WORKER_BATCH_MAX of them,
 * runs begin, jobs, end, puts them on one list of finished jobs and writes the eventfd; the loop reads that through
 * the ring and wakes the fibres.
 *
 * Invariants
 *  I1  A job is on exactly one of: its worker's queue, its worker's batch, the list of finished jobs.
 *  I2  A thread touches nothing of the runtime but that list and the eventfd.
 *  I3  A fibre waits for its job whatever happens to its call: the job's memory is on the fibre's stack.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "rpc/runtime.h"

#define WORKER_STACK_BYTES (1u << 20)

struct job {
    struct job *next;
    struct task *task;
    int (*run)(void *context, void *arg);
    void *arg;
    int result;
};

struct rpc_worker {
    pthread_mutex_t mutex; /* over queue and waiting */
    pthread_cond_t has_job;
    struct job *first, **last;
    size_t waiting, queue_max;
    struct rpc_worker_ops ops;
    void *context;
};

static pthread_mutex_t finished_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct job *finished;

/* ---- in the thread ---- */

static struct job *take_batch(struct rpc_worker *worker)
{
    (void)pthread_mutex_lock(&worker->mutex);
    while (!worker->first)
        (void)pthread_cond_wait(&worker->has_job, &worker->mutex);
    struct job *batch = worker->first, *last = batch;
    size_t count = 1;
    for (; count < RPC_WORKER_BATCH_MAX && last->next; count++)
        last = last->next;
    worker->first = last->next;
    if (!worker->first)
        worker->last = &worker->first;
    last->next = NULL;
    worker->waiting -= count;
    (void)pthread_mutex_unlock(&worker->mutex);
    return batch;
}

static void run_batch(struct rpc_worker *worker, struct job *batch)
{
    int result = worker->ops.begin ? worker->ops.begin(worker->context) : 0;
    if (result == 0) {
        for (struct job *job = batch; job; job = job->next)
            job->result = job->run(worker->context, job->arg);
        result = worker->ops.end ? worker->ops.end(worker->context) : 0;
    }
    if (result < 0)
        for (struct job *job = batch; job; job = job->next)
            job->result = result;
}

static void hand_back(struct job *batch)
{
    struct job *last = batch;
    while (last->next)
        last = last->next;
    (void)pthread_mutex_lock(&finished_mutex);
    bool was_empty = !finished;
    last->next = finished;
    finished = batch;
    (void)pthread_mutex_unlock(&finished_mutex);
    if (was_empty) { /* else the loop was told already and has not looked yet */
        uint64_t one = 1;
        (void)!write(CONTRACT_EVENT_FD, &one, sizeof one); /* cannot fail: the counter never gets near its limit */
    }
}

static void *run_worker(void *arg)
{
    struct rpc_worker *worker = arg;
    for (;;) {
        struct job *batch = take_batch(worker);
        if (worker->ops.begin || worker->ops.end) {
            run_batch(worker, batch);
            hand_back(batch);
            continue;
        }
        while (batch) { /* nothing binds them together: each is answered when it is done */
            struct job *job = batch;
            batch = job->next; /* before it is handed back: then it is its fibre's again */
            job->next = NULL;
            job->result = job->run(worker->context, job->arg);
            hand_back(job);
        }
    }
    return NULL;
}

/* ---- in the loop's thread ---- */

int rpc_worker_start(const struct rpc_worker_ops *ops, void *context, size_t queue_max, struct rpc_worker **ret_worker,
                     struct err *e)
{
    struct rpc_worker *worker = calloc(1, sizeof *worker);
    if (!worker)
        return err_set(e, -ENOMEM, "no memory for a worker");
    (void)pthread_mutex_init(&worker->mutex, NULL); /* neither can fail with default attributes */
    (void)pthread_cond_init(&worker->has_job, NULL);
    worker->last = &worker->first;
    worker->queue_max = queue_max;
    if (ops)
        worker->ops = *ops;
    worker->context = context;
    pthread_attr_t attributes;
    pthread_t thread;
    (void)pthread_attr_init(&attributes);
    (void)pthread_attr_setstacksize(&attributes, WORKER_STACK_BYTES);
    (void)pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED); /* it lives as long as the program */
    int result = pthread_create(&thread, &attributes, run_worker, worker);
    (void)pthread_attr_destroy(&attributes);
    if (result != 0) {
        free(worker);
        return err_sys(e, -result, "start a worker thread");
    }
    *ret_worker = worker;
    return 0;
}

int rpc_worker_run(struct rpc_worker *worker, int (*run)(void *context, void *arg), void *arg)
{
    struct job job = {.task = task_self(), .run = run, .arg = arg};
    (void)pthread_mutex_lock(&worker->mutex);
    bool is_full = worker->waiting >= worker->queue_max;
    if (!is_full) {
        *worker->last = &job;
        worker->last = &job.next;
        worker->waiting++;
        (void)pthread_cond_signal(&worker->has_job);
    }
    (void)pthread_mutex_unlock(&worker->mutex);
    if (is_full)
        return -EAGAIN;
    (void)task_wait(NEVER_MS, false); /* only the finished job ends it */
    return job.result;
}

void workers_woken(void)
{
    (void)pthread_mutex_lock(&finished_mutex);
    struct job *job = finished;
    finished = NULL;
    (void)pthread_mutex_unlock(&finished_mutex);
    while (job) {
        struct job *next = job->next; /* the job is its fibre's again once that is awake */
        task_wake(job->task, 0);
        job = next;
    }
}
