/*
 * caller.c - the load of the rpc rows: a service that calls echo as fast as its depth allows, and logs what it saw.
 *
 * It is written against librpc and started by hostd like any other, so an isolated and a plain run are the same
 * program. Its configuration:
 *
 *     depth = 64         calls at once, each in a fibre of its own
 *     bytes = 64         of the text that echo gives back
 *     delay_ms = 300     quiet after the start: the runner moves the services to their CPUs meanwhile
 *     warm_ms = 100      calls that are not counted
 *     run_ms = 1000      calls that are
 *
 * One line at the end: "bench {...}" with times in nanoseconds of CLOCK_MONOTONIC, which all services of a machine
 * share: `counts` are calls per slice of SLICE_NS, the first slice beginning at `first_ns`, so that the runner can add
 * up what many callers did in the time that all of them were calling.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apps/echo/echo.rpc.h"
#include "benchmarks/histogram.h"
#include "rpc/base/clock.h"
#include "rpc/base/log.h"
#include "rpc/rpc.h"

#define SLICE_NS 50000000u
#define SLICES_MAX 400u     /* 20 s; they fit into one line of the log */
#define CALLS_PER_FIBRE 64u /* replies stay in a fibre's arena until it ends: then the next one takes over */

static struct {
    struct rpc_peer *peer;
    char *text;
    uint32_t depth, ended;
    uint64_t first_ns, end_ns;
    uint32_t counts[SLICES_MAX];
    struct histogram latency;
    uint64_t calls, calls_all, failed; /* calls_all: with those of the warm-up and the last ones */
    enum rpc_status last_status;
} load;

static void report(void)
{
    uint32_t slices = (uint32_t)((load.end_ns - load.first_ns) / SLICE_NS);
    (void)printf(
        "bench {\"calls\":%llu,\"calls_all\":%llu,\"failed\":%llu,\"status\":\"%s\",\"first_ns\":%llu,\"slice_ns\":%u,"
        "\"p50_ns\":%.0f,\"p90_ns\":%.0f,\"p99_ns\":%.0f,\"counts\":[",
        (unsigned long long)load.calls, (unsigned long long)load.calls_all, (unsigned long long)load.failed,
        rpc_status_name(load.last_status), (unsigned long long)load.first_ns, SLICE_NS,
        histogram_quantile(&load.latency, 0.5), histogram_quantile(&load.latency, 0.9),
        histogram_quantile(&load.latency, 0.99));
    for (uint32_t i = 0; i < slices; i++)
        (void)printf("%s%u", i ? "," : "", load.counts[i]);
    (void)puts("]}");
    (void)fflush(stdout); /* PID 1 drains the pipe; without the line the runner says that it is missing */
}

static void run(void *arg);

static void next_fibre(void)
{
    if (rpc_spawn(run, NULL) != 0) {
        log_line("caller: no fibre");
        exit(1);
    }
}

static void run(void *arg)
{
    EchoSayRequest request = ECHO_SAY_REQUEST__INIT;
    request.text = load.text;
    for (uint32_t i = 0; i < CALLS_PER_FIBRE; i++) {
        EchoSayReply *reply;
        uint64_t begin_ns = clock_ns();
        enum rpc_status status = echo_say(load.peer, &request, &reply);
        uint64_t now_ns = clock_ns();
        load.calls_all++;
        if (status != RPC_OK || strlen(reply->text) != strlen(load.text)) {
            load.failed++;
            load.last_status = status;
        }
        if (now_ns >= load.end_ns) {
            if (++load.ended == load.depth)
                report();
            return;
        }
        if (begin_ns < load.first_ns)
            continue;
        load.calls++;
        load.counts[(now_ns - load.first_ns) / SLICE_NS]++;
        histogram_add(&load.latency, now_ns - begin_ns);
    }
    next_fibre();
}

static void begin(void *arg)
{
    uint64_t slices = (uint64_t)rpc_config_int("run_ms", 1000) * 1000000 / SLICE_NS;
    rpc_sleep_ms((uint32_t)rpc_config_int("delay_ms", 300));
    uint64_t warm_ns = clock_ns() + (uint64_t)rpc_config_int("warm_ms", 100) * 1000000;
    load.first_ns = (warm_ns / SLICE_NS + 1) * SLICE_NS;
    load.end_ns = load.first_ns + (slices < SLICES_MAX ? slices : SLICES_MAX) * SLICE_NS;
    for (uint32_t i = 0; i < load.depth; i++)
        next_fibre();
}

static int start(struct err *e)
{
    size_t bytes = (size_t)rpc_config_int("bytes", 64);
    load.depth = (uint32_t)rpc_config_int("depth", 1);
    load.peer = rpc_peer("echo");
    load.text = malloc(bytes + 1);
    if (!load.peer || !load.text)
        return err_set(e, -1, "caller: no link to echo, or no memory");
    memset(load.text, 'x', bytes);
    load.text[bytes] = '\0';
    int result = rpc_spawn(begin, NULL);
    return result == 0 ? 0 : err_set(e, result, "caller: no fibre");
}

int main(int argc, char **argv)
{
    static const struct rpc_service service = {.start = start};
    return rpc_main(argc, argv, &service);
}
