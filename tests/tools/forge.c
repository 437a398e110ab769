/*
 * forge.c - makes one call over a connection of its own, the way somebody would who wants to be taken for another.
 *
 *     forge [--dev INTERFACE] [--from ADDRESS] [--transparent] [--timeout MS] ADDRESS PORT METHOD FIELD=VALUE ...
 *
 * Opens a TCP connection to ADDRESS as told (bound to an interface, from an address that need not be its own), sends
 * METHOD as a frame and prints one line: the status with its text or the reply's fields; or "connect: ERRNO",
 * "connect: timeout", "closed" when no answer came.  Exit code 0 whenever the line says what happened.
 *
 * Run with nsenter in a service's user and network namespaces (every capability over the first), or in the network
 * namespace alone as root of the host (every capability over both).  tests/bats/caller.bats says what must come of it.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "rpc/base/hash.h"
#include "rpc/frame.h"
#include "tests/tools/message.h"

#define MESSAGE_BYTES_MAX 65536u

static int say(const char *what, int error)
{
    printf("%s: %s\n", what, error == ETIMEDOUT || error == EAGAIN ? "timeout" : strerrorname_np(error));
    return 0;
}

static const char *status_name(unsigned status)
{
    static const char *const names[] = {
        "OK",        "CANCELLED",      "UNKNOWN",           "INVALID_ARGUMENT",   "DEADLINE_EXCEEDED",
        "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION",
        "ABORTED",   "OUT_OF_RANGE",   "UNIMPLEMENTED",     "INTERNAL",           "UNAVAILABLE",
        "DATA_LOSS", "UNAUTHENTICATED"};
    _Static_assert(sizeof names / sizeof *names == FRAME_STATUS_MAX + 1, "one name per status");
    return status <= FRAME_STATUS_MAX ? names[status] : "?";
}

/* Connects within timeout_ms.  0 or an errno. */
static int dial(int fd, const struct sockaddr_in *to, int timeout_ms)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLOUT};
    int error = 0;
    socklen_t bytes = sizeof error;
    if (connect(fd, (const struct sockaddr *)to, sizeof *to) == 0)
        return 0;
    if (errno != EINPROGRESS)
        return errno;
    if (poll(&poll_fd, 1, timeout_ms) == 0)
        return ETIMEDOUT;
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &bytes) == 0 ? error : errno;
}

/* Sends the request and prints what comes back. */
static int call(int fd, const struct message_method *method, const ProtobufCMessage *request, int timeout_ms)
{
    static uint8_t bytes[FRAME_HEADER_BYTES + MESSAGE_BYTES_MAX];
    struct frame frame = {.type = FRAME_REQUEST,
                          .method = method_id(method->name),
                          .id = 1,
                          .deadline_ms = (uint32_t)timeout_ms,
                          .payload_bytes = (uint32_t)protobuf_c_message_get_packed_size(request)};
    size_t have = 0, need;
    char text[1024];

    if (frame.payload_bytes > MESSAGE_BYTES_MAX)
        return say("request", EMSGSIZE);
    frame_encode(bytes, &frame);
    protobuf_c_message_pack(request, bytes + FRAME_HEADER_BYTES);
    if (send(fd, bytes, FRAME_HEADER_BYTES + frame.payload_bytes, MSG_NOSIGNAL) < 0)
        return say("send", errno);
    for (;;) {
        struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
        if (poll(&poll_fd, 1, timeout_ms) == 0)
            return say("receive", ETIMEDOUT);
        long got = recv(fd, bytes + have, sizeof bytes - have, 0);
        if (got < 0 && errno == EAGAIN)
            continue;
        if (got < 0)
            return say("receive", errno);
        if (got == 0) {
            puts("closed");
            return 0;
        }
        have += (size_t)got;
        long used = frame_decode(bytes, have, MESSAGE_BYTES_MAX, &frame, &need);
        if (used < 0)
            return say("frame", EPROTO);
        if (used > 0)
            break;
    }
    if (frame.type == FRAME_ERROR) {
        printf("%s %.*s\n", status_name(frame.status), (int)frame.payload_bytes, (const char *)frame.payload);
        return 0;
    }
    ProtobufCMessage *reply = protobuf_c_message_unpack(method->output, NULL, frame.payload_bytes, frame.payload);
    if (reply == NULL)
        return say("reply", EPROTO);
    message_text(reply, text, sizeof text);
    printf("OK%s\n", text);
    protobuf_c_message_free_unpacked(reply, NULL);
    return 0;
}

static int usage(void)
{
    fputs(
        "usage: forge [--dev IF] [--from ADDRESS] [--transparent] [--timeout MS] ADDRESS PORT METHOD FIELD=VALUE ...\n",
        stderr);
    return 2;
}

int main(int argc, char **argv)
{
    const char *dev = NULL, *from = NULL;
    int timeout_ms = 1500, is_transparent = 0, one = 1, i = 1;
    struct message_method method;

    for (; i < argc && argv[i][0] == '-'; i++) {
        if (strcmp(argv[i], "--transparent") == 0)
            is_transparent = 1;
        else if (i + 1 < argc && strcmp(argv[i], "--dev") == 0)
            dev = argv[++i];
        else if (i + 1 < argc && strcmp(argv[i], "--from") == 0)
            from = argv[++i];
        else if (i + 1 < argc && strcmp(argv[i], "--timeout") == 0)
            timeout_ms = atoi(argv[++i]);
        else
            return usage();
    }
    struct sockaddr_in to = {.sin_family = AF_INET}, source = {.sin_family = AF_INET};
    if (argc - i < 3 || inet_pton(AF_INET, argv[i], &to.sin_addr) != 1 || message_method(argv[i + 2], &method) != 0)
        return usage();
    to.sin_port = htons((uint16_t)atoi(argv[i + 1]));
    ProtobufCMessage *request = message_make(method.input, argv + i + 3, (size_t)(argc - i - 3));
    if (request == NULL)
        return 2;

    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return say("socket", errno);
    if (dev != NULL && setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, dev, (socklen_t)strlen(dev)) != 0)
        return say("SO_BINDTODEVICE", errno);
    if (is_transparent && setsockopt(fd, IPPROTO_IP, IP_TRANSPARENT, &one, sizeof one) != 0)
        return say("IP_TRANSPARENT", errno);
    if (from != NULL) {
        if (inet_pton(AF_INET, from, &source.sin_addr) != 1)
            return usage();
        if (setsockopt(fd, IPPROTO_IP, IP_FREEBIND, &one, sizeof one) != 0)
            return say("IP_FREEBIND", errno);
        if (bind(fd, (struct sockaddr *)&source, sizeof source) != 0)
            return say("bind", errno);
    }
    int error = dial(fd, &to, timeout_ms);
    if (error != 0)
        return say("connect", error);
    return call(fd, &method, request, timeout_ms);
}
