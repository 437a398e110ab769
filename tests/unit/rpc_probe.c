/*
 * rpc_probe.c - a service that does what a test asks: sleeps, forwards, works, answers with much, echoes streams.
 *
 * Its configuration: "worker" = "true" starts a worker thread; "start" = "fail" makes its start fail; "spawn" = a
 * number of ms after which a fibre of its own calls "back".
 */
#include "tests/unit/rpc_probe.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "rpc/base/clock.h"
#include "rpc/base/log.h"
#include "tests/unit/rpc_probe.rpc.h"

RPC_PROBE_SCHEMA_NOTE;

static uint32_t sleeps_cut, secrets;
static struct rpc_worker *worker;

struct batch_state {
    uint32_t batch;
    bool is_failing;
};
static struct batch_state state;

static enum rpc_status say(struct rpc_call *call, const ProbeRequest *request, ProbeReply *reply)
{
    const struct rpc_caller *caller = rpc_caller(call);
    reply->text = request->text;
    reply->caller = rpc_strdup(caller->name);
    reply->generation = caller->generation;
    reply->number = caller->is_verified;
    return RPC_OK;
}

static enum rpc_status sleep_(struct rpc_call *call, const ProbeRequest *request, ProbeReply *reply)
{
    uint64_t begin_ms = clock_ms();
    rpc_sleep_ms(request->ms);
    if (clock_ms() - begin_ms < request->ms) {
        reply->number = ++sleeps_cut;
        return rpc_fail(call, RPC_ABORTED, "cut short");
    }
    reply->number = sleeps_cut;
    return RPC_OK;
}

static enum rpc_status count(struct rpc_call *call, const ProbeRequest *request, ProbeReply *reply)
{
    reply->number = sleeps_cut;
    reply->generation = secrets;
    return RPC_OK;
}

static enum rpc_status forward(struct rpc_call *call, const ProbeRequest *request, ProbeReply *reply)
{
    ProbeReply *answer = NULL;
    if (request->count)
        rpc_set_deadline_ms(request->count);
    struct rpc_peer *peer = rpc_peer("back");
    enum rpc_status status =
        request->ms ? rpc_probe_sleep(peer, request, &answer) : rpc_probe_say(peer, request, &answer);
    if (status != RPC_OK)
        return rpc_fail(call, status, "back: %s", rpc_error_text());
    reply->text = answer->text;
    reply->caller = answer->caller;
    reply->generation = answer->generation;
    return RPC_OK;
}

static int begin(void *context)
{
    struct batch_state *s = context;
    s->batch++;
    s->is_failing = false;
    return 0;
}

static int end(void *context)
{
    struct batch_state *s = context;
    /* As slow as a commit: meanwhile the others wait for the next batch. */
    struct timespec pause = {.tv_nsec = 2000000};
    (void)nanosleep(&pause, NULL);
    return s->is_failing ? -EIO : 0;
}

static int job(void *context, void *arg)
{
    struct batch_state *s = context;
    s->is_failing |= strcmp(arg, "fail") == 0;
    return (int)s->batch;
}

static enum rpc_status work(struct rpc_call *call, const ProbeRequest *request, ProbeReply *reply)
{
    if (!worker)
        return rpc_fail(call, RPC_FAILED_PRECONDITION, "no worker");
    int result = rpc_worker_run(worker, job, request->text);
    if (result < 0)
        return rpc_fail(call, RPC_ABORTED, "%s", strerror(-result));
    reply->number = (uint32_t)result;
    return RPC_OK;
}

static enum rpc_status big(struct rpc_call *call, const ProbeRequest *request, ProbeReply *reply)
{
    reply->blob.data = rpc_alloc(request->count);
    if (!reply->blob.data)
        return rpc_fail(call, RPC_RESOURCE_EXHAUSTED, "%u bytes are too many", request->count);
    for (uint32_t i = 0; i < request->count; i++)
        reply->blob.data[i] = (uint8_t)(i * 31 >> 3);
    reply->blob.len = request->count;
    return RPC_OK;
}

static enum rpc_status secret(struct rpc_call *call, const ProbeRequest *request, ProbeReply *reply)
{
    secrets++;
    return RPC_OK;
}

static void spawned(void *arg)
{
    ProbeRequest request = PROBE_REQUEST__INIT;
    ProbeReply *reply = NULL;
    request.text = rpc_printf("spawned %d", 1);
    enum rpc_status status = rpc_probe_say(rpc_peer("back"), &request, &reply);
    log_line("spawned: %s %s", rpc_status_name(status), status == RPC_OK ? reply->text : rpc_error_text());
}

static int start(struct err *e)
{
    static const struct rpc_worker_ops ops = {.begin = begin, .end = end};
    if (strcmp(rpc_config_string("start", ""), "fail") == 0)
        return err_set(e, -EINVAL, "told to fail");
    if (rpc_config_bool("worker", false))
        return rpc_worker_start(&ops, &state, (size_t)rpc_config_int("queue", 1000), &worker, e);
    if (rpc_config_count("spawn") > 0)
        return rpc_spawn(spawned, NULL);
    return 0;
}

/* Echoes bytes until the end; "big" is answered with a megabyte; the first silence of 500 ms with "late", the second
 * ends it. */
static void stream(const char *ingress, struct rpc_stream *s)
{
    char buffer[4096];
    bool was_late = false;
    for (;;) {
        long got = rpc_stream_read(s, buffer, sizeof buffer, 500);
        if (got == -ETIMEDOUT && !was_late && rpc_stream_write(s, "late", 4, 100) == 0) {
            was_late = true;
            continue;
        }
        if (got <= 0)
            return;
        if (got >= 4 && memcmp(buffer, "big\n", 4) == 0) {
            char *bytes = rpc_alloc(1u << 20);
            if (!bytes || rpc_stream_write(s, bytes, 1u << 20, 500) < 0)
                return;
        } else if (rpc_stream_write(s, buffer, (size_t)got, 500) < 0) {
            return;
        }
    }
}

int probe_main(int argc, char **argv)
{
    static const struct rpc_probe_handlers handlers = {
        .say = say, .sleep = sleep_, .count = count, .forward = forward, .work = work, .big = big, .secret = secret};
    const struct rpc_interface interfaces[] = {rpc_probe_interface(&handlers)};
    const struct rpc_service service = {
        .interfaces = interfaces, .interface_count = 1, .start = start, .stream = stream};
    return rpc_main(argc, argv, &service);
}
