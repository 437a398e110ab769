/*
 * raw.c - the floor under the rpc rows: processes that send and receive 64 bytes, and nothing else.
 *
 *   raw tcp|unix CLIENTS DEPTH CPU_CLIENT CPU_SERVER RUN_MS
 *
 * TCP with TCP_NODELAY on 127.0.0.1, or pairs of unix sockets; one connection per client, blocking send() and recv(),
 * and at the server too where there is one client; with more it waits by epoll.  With a depth, that many messages go
 * out in one send and come back as they come: nobody can gather better.  CPU -1: not pinned.  Prints one line of JSON:
 * calls_per_s, p50_us (of a round), cpu_us_per_call of all processes.
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
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "benchmarks/histogram.h"
#include "rpc/base/clock.h"

#define MESSAGE_BYTES 64u
#define DEPTH_MAX 1024u
#define CLIENTS_MAX 256u
#define WARM_MS 100u

static _Noreturn void die(const char *what)
{
    perror(what);
    exit(1);
}

static void pin(int cpu)
{
    cpu_set_t set;
    if (cpu < 0)
        return;
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

static _Noreturn void serve_one(int fd)
{
    static char bytes[MESSAGE_BYTES * DEPTH_MAX];
    for (;;) {
        ssize_t got = recv(fd, bytes, sizeof bytes, 0);
        if (got <= 0 || send(fd, bytes, (size_t)got, MSG_NOSIGNAL) != got)
            _exit(0); /* the other end is gone */
    }
}

static _Noreturn void serve_many(const int *fds, uint32_t count)
{
    static char bytes[MESSAGE_BYTES * DEPTH_MAX];
    struct epoll_event events[CLIENTS_MAX];
    int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    for (uint32_t i = 0; i < count; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.fd = fds[i]};
        if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fds[i], &event) < 0)
            die("raw: epoll_ctl");
    }
    for (uint32_t ended = 0; ended < count;) {
        int ready = epoll_wait(epoll_fd, events, CLIENTS_MAX, -1);
        for (int i = 0; i < ready; i++) {
            int fd = events[i].data.fd;
            ssize_t got = recv(fd, bytes, sizeof bytes, 0);
            if (got > 0 && send(fd, bytes, (size_t)got, MSG_NOSIGNAL) == got)
                continue;
            (void)close(fd); /* the other end is gone */
            ended++;
        }
    }
    _exit(0);
}

/* What a client has measured, in memory that all share. */
struct result {
    uint64_t rounds;
    struct histogram warm, latency;
};

/* Rounds until end_ns, at least one; returns their number. */
static uint64_t call(int fd, uint32_t depth, uint64_t end_ns, struct histogram *latency)
{
    static char bytes[MESSAGE_BYTES * DEPTH_MAX];
    size_t all = (size_t)MESSAGE_BYTES * depth;
    uint64_t rounds = 0;
    for (uint64_t begin_ns = clock_ns(), now_ns; rounds == 0 || begin_ns < end_ns; begin_ns = now_ns, rounds++) {
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

static void report(const struct result *results, uint32_t clients, uint32_t depth, uint64_t run_ns)
{
    static struct histogram latency;
    uint64_t rounds = 0, warm = 0;
    struct rusage usage;
    for (uint32_t i = 0; i < clients; i++) {
        rounds += results[i].rounds;
        warm += results[i].warm.count;
        histogram_merge(&latency, &results[i].latency);
    }
    if (rounds == 0 || getrusage(RUSAGE_CHILDREN, &usage) < 0)
        die("raw: nothing measured");
    double cpu_us = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e6 +
                    (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
    printf("{\"calls_per_s\":%.0f,\"p50_us\":%.3f,\"cpu_us_per_call\":%.3f}\n",
           (double)(rounds * depth) * 1e9 / (double)run_ns, histogram_quantile(&latency, 0.5) / 1000,
           cpu_us / (double)((rounds + warm) * depth));
}

int main(int argc, char **argv)
{
    if (argc != 7 || (strcmp(argv[1], "tcp") != 0 && strcmp(argv[1], "unix") != 0)) {
        (void)fprintf(stderr, "usage: raw tcp|unix CLIENTS DEPTH CPU_CLIENT CPU_SERVER RUN_MS\n");
        return 2;
    }
    uint32_t clients = (uint32_t)atoi(argv[2]), depth = (uint32_t)atoi(argv[3]);
    uint64_t run_ns = strtoull(argv[6], NULL, 10) * 1000000;
    if (clients == 0 || clients > CLIENTS_MAX || depth == 0 || depth > DEPTH_MAX || run_ns == 0) {
        (void)fprintf(stderr, "raw: 1 to %u clients, a depth of 1 to %u, and some time\n", CLIENTS_MAX, DEPTH_MAX);
        return 2;
    }
    int own[CLIENTS_MAX], theirs[CLIENTS_MAX], status;
    struct result *results =
        mmap(NULL, clients * sizeof *results, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (results == MAP_FAILED)
        die("raw: mmap");
    for (uint32_t i = 0; i < clients; i++) {
        int ends[2];
        make_pair(strcmp(argv[1], "tcp") == 0, ends);
        own[i] = ends[0];
        theirs[i] = ends[1];
    }
    pid_t server = fork();
    if (server == 0) {
        for (uint32_t i = 0; i < clients; i++)
            (void)close(own[i]); /* the clients', who are to end us by closing them */
        pin(atoi(argv[5]));
        if (clients == 1)
            serve_one(theirs[0]);
        serve_many(theirs, clients);
    }
    uint64_t begin_ns = clock_ns() + WARM_MS * 1000000ull;
    for (uint32_t i = 0; i < clients; i++) {
        pid_t client = fork();
        if (client < 0 || server < 0)
            die("raw: fork");
        if (client != 0)
            continue;
        pin(atoi(argv[4]));
        (void)call(own[i], depth, begin_ns, &results[i].warm);
        results[i].rounds = call(own[i], depth, begin_ns + run_ns, &results[i].latency);
        _exit(0);
    }
    for (uint32_t i = 0; i < clients; i++) {
        (void)close(own[i]); /* the clients have theirs */
        (void)close(theirs[i]);
    }
    for (pid_t child; (child = waitpid(-1, &status, 0)) > 0;)
        if (status != 0)
            die("raw: a client or the server");
    report(results, clients, depth, run_ns);
    return 0;
}
