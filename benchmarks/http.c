/*
 * http.c - the load of the zoobar rows: one request at a time on each of some connections, for a while.
 *
 *   http ADDRESS PORT WARM_MS RUN_MS EXPECTED_STATUS FILE...
 *
 * Each FILE holds one whole request and makes one connection, which sends it again as soon as the answer is there (a
 * Content-Length is expected).  A connection that the server ends between two requests is opened again.  Prints one
 * line of JSON: requests_per_s, p50_us, p99_us, requests, and `failed`, the answers with another status.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "benchmarks/histogram.h"
#include "rpc/base/clock.h"

#define CONNECTIONS_MAX 256
#define ANSWER_BYTES_MAX (1u << 20)
#define STUCK_MS 10000

struct connection {
    int fd;
    char *request, *answer;
    size_t request_bytes, answer_bytes;
    uint64_t begin_ns;
};

static struct sockaddr_in server;
static struct connection connections[CONNECTIONS_MAX];
static struct pollfd polls[CONNECTIONS_MAX];

static _Noreturn void die(const char *what)
{
    perror(what);
    exit(1);
}

static void load_request(struct connection *c, const char *path)
{
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &status) < 0)
        die(path);
    c->request_bytes = (size_t)status.st_size;
    c->request = malloc(c->request_bytes + 1);
    c->answer = malloc(ANSWER_BYTES_MAX + 1);
    if (!c->request || !c->answer || read(fd, c->request, c->request_bytes) != (ssize_t)c->request_bytes)
        die(path);
    (void)close(fd); /* was only read */
    c->fd = -1;
}

static void open_connection(struct connection *c)
{
    int one = 1;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&server, sizeof server) < 0 ||
        setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) < 0)
        die("http: connect");
}

static void send_request(struct connection *c)
{
    c->answer_bytes = 0;
    c->begin_ns = clock_ns();
    if (send(c->fd, c->request, c->request_bytes, MSG_NOSIGNAL) != (ssize_t)c->request_bytes)
        die("http: send");
}

/* The status of a whole answer, or 0: more is to come. */
static int whole_answer(const struct connection *c)
{
    c->answer[c->answer_bytes] = '\0';
    const char *end = strstr(c->answer, "\r\n\r\n");
    const char *length = end ? strcasestr(c->answer, "\r\nContent-Length:") : NULL;
    if (!end || strncmp(c->answer, "HTTP/1.1 ", 9) != 0)
        return 0;
    size_t body = length && length < end ? strtoul(length + strlen("\r\nContent-Length:"), NULL, 10) : 0;
    return c->answer_bytes >= (size_t)(end + 4 - c->answer) + body ? atoi(c->answer + 9) : 0;
}

/* Reads what came; the status of an answer that is whole now, else 0. */
static int receive(struct connection *c)
{
    ssize_t got = recv(c->fd, c->answer + c->answer_bytes, ANSWER_BYTES_MAX - c->answer_bytes, 0);
    if (got < 0)
        die("http: recv");
    if (got == 0) {
        (void)fprintf(stderr, "http: the server closed instead of answering\n");
        exit(1);
    }
    c->answer_bytes += (size_t)got;
    return whole_answer(c);
}

int main(int argc, char **argv)
{
    static struct histogram latency;
    if (argc < 7 || argc - 6 > CONNECTIONS_MAX) {
        (void)fprintf(stderr, "usage: http ADDRESS PORT WARM_MS RUN_MS EXPECTED_STATUS FILE...\n");
        return 2;
    }
    server = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[2]))};
    if (inet_pton(AF_INET, argv[1], &server.sin_addr) != 1) {
        (void)fprintf(stderr, "http: %s is no address\n", argv[1]);
        return 2;
    }
    int expected = atoi(argv[5]);
    nfds_t count = (nfds_t)(argc - 6);
    for (nfds_t i = 0; i < count; i++) {
        load_request(&connections[i], argv[6 + i]);
        open_connection(&connections[i]);
        polls[i] = (struct pollfd){.fd = connections[i].fd, .events = POLLIN};
    }
    uint64_t first_ns = clock_ns() + strtoull(argv[3], NULL, 10) * 1000000;
    uint64_t end_ns = first_ns + strtoull(argv[4], NULL, 10) * 1000000, now_ns;
    uint64_t failed = 0;
    for (nfds_t i = 0; i < count; i++)
        send_request(&connections[i]);
    do {
        if (poll(polls, count, STUCK_MS) <= 0) {
            (void)fprintf(stderr, "http: no answer for %d ms\n", STUCK_MS);
            return 1;
        }
        now_ns = clock_ns();
        for (nfds_t i = 0; i < count; i++) {
            struct connection *c = &connections[i];
            int status = polls[i].revents ? receive(c) : 0;
            polls[i].fd = c->fd;
            if (!status)
                continue;
            now_ns = clock_ns();
            if (now_ns >= first_ns && now_ns < end_ns) {
                histogram_add(&latency, now_ns - c->begin_ns);
                failed += status != expected;
            }
            if (strstr(c->answer, "\r\nConnection: close\r\n")) { /* it has served its thousand */
                (void)close(c->fd);                               /* all that was to come has come */
                open_connection(c);
                polls[i].fd = c->fd;
            }
            send_request(c);
        }
    } while (now_ns < end_ns);
    printf("{\"requests\":%llu,\"failed\":%llu,\"requests_per_s\":%.1f,\"p50_us\":%.1f,\"p99_us\":%.1f}\n",
           (unsigned long long)latency.count, (unsigned long long)failed,
           (double)latency.count * 1e9 / (double)(end_ns - first_ns), histogram_quantile(&latency, 0.5) / 1000,
           histogram_quantile(&latency, 0.99) / 1000);
    return 0;
}
