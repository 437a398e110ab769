/*
 * raw.c - the floor under the rpc rows: two processes that send and receive 64 bytes, and nothing else.
 *
 *   raw tcp|unix DEPTH CPU_CLIENT CPU_SERVER RUN_MS
 *
 * Blocking send() and recv() over one connection: TCP with TCP_NODELAY on 127.0.0.1, or a pair of unix sockets.  With a
 * depth, that many messages go out in one send and come back as they come: nobody can gather better.  Prints one line
 * of JSON: calls_per_s, p50_us (of a round), cpu_us_per_call of both processes.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "benchmarks/histogram.h"
#include "rpc/base/clock.h"

#define MESSAGE_BYTES 64u
#define DEPTH_MAX 1024u
#define WARM_MS 100u

static _Noreturn void die(const char *what)
{
    perror(what);
    exit(1);
}

static void pin(int cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((size_t)cpu, &set);
    if (sched_setaffinity(0, sizeof set, &set) < 0)
        die("raw: sched_setaffinity");
}

static void make_pair(bool is_tcp, int ends[2])
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    socklen_t bytes = sizeof address;
    int one = 1;
    if (!is_tcp) {
        if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) < 0)
            die("raw: socketpair");
        return;
    }
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    ends[0] = socket(AF_INET, SOCK_STREAM, 0);
    if (listener < 0 || ends[0] < 0 || bind(listener, (struct sockaddr *)&address, bytes) < 0 ||
        listen(listener, 1) < 0 || getsockname(listener, (struct sockaddr *)&address, &bytes) < 0 ||
        connect(ends[0], (struct sockaddr *)&address, bytes) < 0 || (ends[1] = accept(listener, NULL, NULL)) < 0)
        die("raw: connect on 127.0.0.1");
    for (int i = 0; i < 2; i++)
        if (setsockopt(ends[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) < 0)
            die("raw: TCP_NODELAY");
    (void)close(listener); /* nothing was written to it */
}

static _Noreturn void serve(int fd)
{
    static char bytes[MESSAGE_BYTES * DEPTH_MAX];
    for (;;) {
        ssize_t got = recv(fd, bytes, sizeof bytes, 0);
        if (got <= 0 || send(fd, bytes, (size_t)got, MSG_NOSIGNAL) != got)
            _exit(0); /* the other end is gone */
    }
}

/* Rounds until end_ns; returns their number. */
static uint64_t call(int fd, uint32_t depth, uint64_t end_ns, struct histogram *latency)
{
    static char bytes[MESSAGE_BYTES * DEPTH_MAX];
    size_t all = (size_t)MESSAGE_BYTES * depth;
    uint64_t rounds = 0;
    for (uint64_t begin_ns = clock_ns(), now_ns; begin_ns < end_ns; begin_ns = now_ns, rounds++) {
        if (send(fd, bytes, all, MSG_NOSIGNAL) != (ssize_t)all)
            die("raw: send");
        for (size_t got = 0; got < all;) {
            ssize_t part = recv(fd, bytes + got, all - got, 0);
            if (part <= 0)
                die("raw: recv");
            got += (size_t)part;
        }
        now_ns = clock_ns();
        histogram_add(latency, now_ns - begin_ns);
    }
    return rounds;
}

static double cpu_us(int who)
{
    struct rusage usage;
    if (getrusage(who, &usage) < 0)
        die("raw: getrusage");
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e6 +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

int main(int argc, char **argv)
{
    static struct histogram warm, latency;
    int ends[2], status;
    if (argc != 6 || (strcmp(argv[1], "tcp") != 0 && strcmp(argv[1], "unix") != 0)) {
        (void)fprintf(stderr, "usage: raw tcp|unix DEPTH CPU_CLIENT CPU_SERVER RUN_MS\n");
        return 2;
    }
    uint32_t depth = (uint32_t)atoi(argv[2]);
    uint64_t run_ns = strtoull(argv[5], NULL, 10) * 1000000;
    if (depth == 0 || depth > DEPTH_MAX || run_ns == 0) {
        (void)fprintf(stderr, "raw: a depth of 1 to %u, and some time\n", DEPTH_MAX);
        return 2;
    }
    make_pair(strcmp(argv[1], "tcp") == 0, ends);
    pid_t server = fork();
    if (server < 0)
        die("raw: fork");
    if (server == 0) {
        (void)close(ends[0]); /* the client's, which is to end us by closing it */
        pin(atoi(argv[4]));
        serve(ends[1]);
    }
    (void)close(ends[1]); /* the server's */
    pin(atoi(argv[3]));
    (void)call(ends[0], depth, clock_ns() + WARM_MS * 1000000ull, &warm);
    uint64_t begin_ns = clock_ns();
    double cpu_begin_us = cpu_us(RUSAGE_SELF);
    uint64_t calls = call(ends[0], depth, begin_ns + run_ns, &latency) * depth;
    uint64_t end_ns = clock_ns();
    double own_us = cpu_us(RUSAGE_SELF) - cpu_begin_us;
    (void)close(ends[0]); /* the server sees the end */
    if (waitpid(server, &status, 0) != server || status != 0)
        die("raw: the server");
    /* The server's time is that of its whole life; its part in these calls is theirs among all. */
    double server_us = cpu_us(RUSAGE_CHILDREN) * (double)latency.count / (double)(latency.count + warm.count);
    printf("{\"calls_per_s\":%.0f,\"p50_us\":%.3f,\"cpu_us_per_call\":%.3f}\n",
           (double)calls * 1e9 / (double)(end_ns - begin_ns), histogram_quantile(&latency, 0.5) / 1000,
           (own_us + server_us) / (double)calls);
    return 0;
}
