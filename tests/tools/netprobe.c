/*
 * netprobe.c - tries addresses and says what each try got.  Run with nsenter inside a service's namespaces.
 *
 * Reads probes from standard input, one per line, and tries all of them at once:
 *
 *     tcp ADDRESS PORT [dev=INTERFACE] [from=ADDRESS]
 *     udp ADDRESS PORT [dev=INTERFACE] [from=ADDRESS]
 *     icmp ADDRESS 0 [dev=INTERFACE]
 *
 * Writes each line again with one word behind it: open (connected, or answered), timeout, or the name of the errno
 * that refused it.  from= binds to an address that need not be ours (IP_FREEBIND).  The one argument is the time that
 * a probe may take, in ms.
 *
 * Called by tests/bats/reach.bats and caller.bats.  Static: what it finds depends on no file of the root it runs in.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PROBES_MAX 900 /* below the usual limit of 1,024 descriptors */
#define LINE_BYTES 160

struct probe {
    char line[LINE_BYTES];
    const char *result; /* NULL while it runs */
    char protocol;      /* 't', 'u', 'i' */
};

static struct probe probes[PROBES_MAX];
static struct pollfd polls[PROBES_MAX];
static size_t probe_count;

static void probe_end(size_t i, const char *result)
{
    probes[i].result = result;
    if (polls[i].fd >= 0)
        (void)close(polls[i].fd); /* a socket; nothing to lose */
    polls[i].fd = -1;
}

static uint16_t icmp_checksum(const void *data, size_t bytes)
{
    uint32_t sum = 0;
    const uint16_t *words = data;
    for (size_t i = 0; i < bytes / 2; i++)
        sum += words[i];
    sum = (sum >> 16) + (sum & 0xFFFF);
    return (uint16_t) ~(sum + (sum >> 16));
}

/* Returns 0 when the probe is under way, or the errno. */
static int probe_start(size_t i)
{
    char protocol[8], address[64], option[2][64] = {"", ""};
    unsigned port;
    int one = 1;

    if (sscanf(probes[i].line, "%7s %63s %u %63s %63s", protocol, address, &port, option[0], option[1]) < 3)
        return EINVAL;
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    if (inet_pton(AF_INET, address, &to.sin_addr) != 1)
        return EINVAL;
    probes[i].protocol = protocol[0];
    int type = protocol[0] == 't' ? SOCK_STREAM : protocol[0] == 'u' ? SOCK_DGRAM : SOCK_RAW;
    int fd = socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, type == SOCK_RAW ? IPPROTO_ICMP : 0);
    if (fd < 0)
        return errno;
    polls[i].fd = fd;
    polls[i].events = type == SOCK_STREAM ? POLLOUT : POLLIN;
    for (int k = 0; k < 2; k++) {
        if (strncmp(option[k], "dev=", 4) == 0) {
            if (setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, option[k] + 4, (socklen_t)strlen(option[k] + 4)) != 0)
                return errno;
        } else if (strncmp(option[k], "from=", 5) == 0) {
            struct sockaddr_in from = {.sin_family = AF_INET};
            if (inet_pton(AF_INET, option[k] + 5, &from.sin_addr) != 1)
                return EINVAL;
            if (setsockopt(fd, IPPROTO_IP, IP_FREEBIND, &one, sizeof one) != 0 ||
                bind(fd, (struct sockaddr *)&from, sizeof from) != 0)
                return errno;
        }
    }
    if (connect(fd, (struct sockaddr *)&to, sizeof to) != 0 && errno != EINPROGRESS)
        return errno;
    if (type == SOCK_STREAM)
        return 0;
    struct icmphdr echo = {.type = ICMP_ECHO, .un.echo.id = htons((uint16_t)getpid())};
    echo.checksum = icmp_checksum(&echo, sizeof echo);
    if (send(fd, &echo, sizeof echo, 0) < 0)
        return errno;
    return 0;
}

/* Something happened on the probe's socket. */
static void probe_look(size_t i)
{
    int error = 0;
    socklen_t bytes = sizeof error;
    unsigned char answer[256];

    (void)getsockopt(polls[i].fd, SOL_SOCKET, SO_ERROR, &error, &bytes); /* cannot fail on our own socket */
    if (error != 0) {
        probe_end(i, strerrorname_np(error));
        return;
    }
    if (probes[i].protocol == 't') {
        probe_end(i, "open");
        return;
    }
    long got = recv(polls[i].fd, answer, sizeof answer, 0);
    if (got < 0) {
        if (errno != EAGAIN)
            probe_end(i, strerrorname_np(errno));
        return;
    }
    /* A raw socket sees its own request too when it comes back over a loop; only an answer counts. */
    if (probes[i].protocol == 'i' && (got < 28 || answer[(answer[0] & 15) * 4] != ICMP_ECHOREPLY))
        return;
    probe_end(i, "open");
}

static long now_ms(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t); /* cannot fail */
    return t.tv_sec * 1000L + t.tv_nsec / 1000000L;
}

int main(int argc, char **argv)
{
    if (argc != 2 || atoi(argv[1]) <= 0) {
        fputs("usage: netprobe TIMEOUT_MS <probes\n", stderr);
        return 2;
    }
    while (probe_count < PROBES_MAX && fgets(probes[probe_count].line, LINE_BYTES, stdin)) {
        probes[probe_count].line[strcspn(probes[probe_count].line, "\n")] = 0;
        polls[probe_count++].fd = -1;
    }
    if (!feof(stdin) && fgetc(stdin) != EOF) {
        fprintf(stderr, "netprobe: more than %d probes\n", PROBES_MAX);
        return 2;
    }
    for (size_t i = 0; i < probe_count; i++) {
        int error = probe_start(i);
        if (error != 0)
            probe_end(i, strerrorname_np(error));
    }
    for (long end_ms = now_ms() + atoi(argv[1]), left_ms = atoi(argv[1]); left_ms > 0; left_ms = end_ms - now_ms()) {
        bool is_waiting = false;
        for (size_t i = 0; i < probe_count; i++)
            is_waiting |= probes[i].result == NULL;
        if (!is_waiting)
            break;
        if (poll(polls, probe_count, (int)left_ms) < 0)
            return 1;
        for (size_t i = 0; i < probe_count; i++)
            if (polls[i].fd >= 0 && polls[i].revents != 0)
                probe_look(i);
    }
    for (size_t i = 0; i < probe_count; i++)
        printf("%s %s\n", probes[i].line, probes[i].result ? probes[i].result : "timeout");
    return 0;
}
