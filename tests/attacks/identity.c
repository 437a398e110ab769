/*
 * identity.c - rows I01 to I11: to be taken for somebody else, and frames that no honest caller sends.
 *
 * Over the service's own link to a witness (tests/attacks/witness.c), which says whom it sees: through the sealed ring
 * as a service, by a socket of our own (argument peer) as root of its namespaces.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "rpc/base/hash.h"
#include "rpc/base/own.h"
#include "rpc/frame.h"
#include "tests/attacks/attack.h"

#define PAYLOAD_BYTES_MAX 1024u
#define ANSWER_MS_MAX 3000

/* One end of a link: a slot of the sealed ring, or a socket. */
struct wire {
    int slot, fd;
};

struct answer {
    uint8_t type, status;
    uint32_t id;
    char text[PAYLOAD_BYTES_MAX]; /* of an error */
    char caller[NAME_BYTES];
    uint32_t generation, stale;
};

/* ---- bytes over a wire ---- */

static struct wire wire_open(const char *callee)
{
    struct wire wire = {.slot = -1, .fd = -1};
    const struct contract_link *link = ring_link(LINK_OUT, callee);
    struct sockaddr_in peer = address_of("peer", PORT_OF_LINKS);
    struct timeval patience = {.tv_sec = ANSWER_MS_MAX / 1000};
    if (has_ring()) {
        wire.slot = link ? (int)link->slot_first : -1;
        return wire;
    }
    wire.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    (void)setsockopt(wire.fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience); /* a wait more, at worst */
    if (wire.fd >= 0 && connect(wire.fd, (struct sockaddr *)&peer, sizeof peer) < 0)
        fd_close(&wire.fd);
    return wire;
}

static bool is_open(const struct wire *wire)
{
    return wire->slot >= 0 || wire->fd >= 0;
}

static long wire_send(const struct wire *wire, const void *bytes, size_t count)
{
    if (wire->fd >= 0)
        return call_result(send(wire->fd, bytes, count, MSG_NOSIGNAL));
    struct io_uring_sqe *sqe = ring_prepare(IORING_OP_SEND, wire->slot, bytes, (unsigned)count, 0, IOSQE_FIXED_FILE);
    sqe->msg_flags = MSG_NOSIGNAL;
    return ring_run(sqe);
}

static long wire_receive(const struct wire *wire, void *bytes, size_t count)
{
    if (wire->fd >= 0)
        return call_result(recv(wire->fd, bytes, count, 0));
    return ring_run(ring_prepare(IORING_OP_RECV, wire->slot, bytes, (unsigned)count, 0, IOSQE_FIXED_FILE));
}

/* ---- frames, by hand: what librpc would refuse to send ---- */

static size_t put_frame(uint8_t *at, uint8_t type, const char *method, uint32_t id, const void *payload, size_t bytes)
{
    struct frame frame = {.type = type,
                          .method = method ? method_id(method) : 0,
                          .id = id,
                          .deadline_ms = method ? ANSWER_MS_MAX : 0,
                          .payload_bytes = (uint32_t)bytes};
    frame_encode(at, &frame);
    if (payload)
        memcpy(at + FRAME_HEADER_BYTES, payload, bytes);
    return FRAME_HEADER_BYTES + bytes;
}

/* WitnessNote { text } */
static size_t put_note(uint8_t *at, const char *text)
{
    size_t bytes = strlen(text);
    at[0] = 1 << 3 | 2;
    at[1] = (uint8_t)bytes; /* texts here are shorter than 128 */
    memcpy(at + 2, text, bytes);
    return bytes + 2;
}

static uint32_t get_varint(const uint8_t **at, const uint8_t *end)
{
    uint32_t value = 0;
    for (int shift = 0; *at < end && shift < 35; shift += 7) {
        uint8_t byte = *(*at)++;
        value |= (uint32_t)(byte & 127) << shift;
        if (byte < 128)
            break;
    }
    return value;
}

/* WitnessSeen */
static void get_seen(const uint8_t *at, size_t bytes, struct answer *answer)
{
    for (const uint8_t *end = at + bytes; at < end;) {
        uint32_t tag = get_varint(&at, end), value = get_varint(&at, end);
        if (tag == (1 << 3 | 2) && value <= (size_t)(end - at)) {
            (void)snprintf(answer->caller, sizeof answer->caller, "%.*s", (int)value, (const char *)at);
            at += value;
        } else if (tag == 2 << 3) {
            answer->generation = value;
        } else if (tag == 3 << 3) {
            answer->stale = value;
        }
    }
}

/* The next frame; 0, -EPIPE when the other side closed, or another errno. */
static long await_frame(const struct wire *wire, struct answer *answer)
{
    static uint8_t bytes[FRAME_HEADER_BYTES + PAYLOAD_BYTES_MAX];
    static size_t have;
    struct frame frame;
    size_t need = 0;
    long used;
    *answer = (struct answer){0};
    while ((used = frame_decode(bytes, have, PAYLOAD_BYTES_MAX, &frame, &need)) == 0) {
        long got = wire_receive(wire, bytes + have, sizeof bytes - have);
        if (got <= 0) {
            have = 0;
            return got == 0 ? -EPIPE : got;
        }
        have += (size_t)got;
    }
    if (used < 0)
        return used;
    answer->type = frame.type;
    answer->status = frame.status;
    answer->id = frame.id;
    if (frame.type == FRAME_REPLY)
        get_seen(frame.payload, frame.payload_bytes, answer);
    else
        (void)snprintf(answer->text, sizeof answer->text, "%.*s", (int)frame.payload_bytes,
                       (const char *)frame.payload);
    memmove(bytes, bytes + used, have - (size_t)used);
    have -= (size_t)used;
    return 0;
}

static long call(const struct wire *wire, const char *method, const char *text, struct answer *answer)
{
    uint8_t payload[PAYLOAD_BYTES_MAX], bytes[FRAME_HEADER_BYTES + PAYLOAD_BYTES_MAX];
    size_t count = put_frame(bytes, FRAME_REQUEST, method, 1, payload, put_note(payload, text));
    long result = is_open(wire) ? wire_send(wire, bytes, count) : -ENOTCONN;
    return result < 0 ? result : await_frame(wire, answer);
}

/* ---- I01, I06, I11: claims ---- */

static void claim(struct attempt *a, const char *callee, const char *method)
{
    struct wire wire = wire_open(callee);
    struct answer answer;
    long result = call(&wire, method, "caller=profile", &answer);
    if (result < 0)
        tried(a, "call", result);
    else if (answer.type == FRAME_ERROR)
        refused(a, "error: %s", answer.text);
    else if (strcmp(answer.caller, "profile") == 0)
        won(a, "the callee sees 'profile'");
    else
        refused(a, "the callee sees '%s'", answer.caller);
}

static void claim_a_name(struct attempt *a)
{
    claim(a, "witness", "Witness.Note");
}

static void claim_through_a_middle(struct attempt *a)
{
    claim(a, "middle", "Witness.Relay");
}

static void undeclared_method(struct attempt *a)
{
    struct wire wire = wire_open("witness");
    struct answer answer;
    long result = call(&wire, "Witness.Hidden", "", &answer);
    if (result < 0)
        tried(a, "call", result);
    else if (answer.type == FRAME_REPLY)
        won(a, "the handler answered");
    else
        refused(a, "%s", answer.text);
}

/* ---- I02: an identity that outlives its process ---- */

/* In a new process with the pid of one that ended; it goes on with that one's connection. */
static long with_pid(pid_t pid, void (*run)(struct attempt *a, int fd), struct attempt *a, int fd)
{
    struct clone_args args = {.exit_signal = SIGCHLD, .set_tid = (uint64_t)(uintptr_t)&pid, .set_tid_size = 1};
    int status = 0;
    long child = CALL(clone3, &args, sizeof args);
    if (child != 0)
        return child < 0 ? child : CALL(wait4, child, &status, 0, NULL) < 0 ? -errno : status;
    run(a, fd);
    _exit(0);
}

static void go_on_with_wire(struct attempt *a, int fd)
{
    struct wire wire = {.slot = -1, .fd = fd};
    struct answer answer;
    long result = call(&wire, "Witness.Note", "", &answer);
    if (result < 0)
        tried(a, "call", result);
    else
        refused(a, "the callee sees '%s'", answer.caller);
}

static void reuse_a_pid(struct attempt *a)
{
    struct wire wire = wire_open("witness");
    pid_t pid = fork();
    if (pid == 0)
        _exit(0); /* it had the connection, and ends */
    (void)waitpid(pid, NULL, 0);
    struct attempt *shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        return;
    long result = with_pid(pid, go_on_with_wire, shared, wire.fd);
    if (result < 0)
        tried(a, "clone3 with a pid", result);
    else
        *a = *shared;
}

/* The same against a callee that takes its caller's name from the pid of the connection (SO_PEERCRED). */
static void reuse_a_pid_against_pids(struct attempt *a)
{
    int ends[2];
    struct ucred peer;
    socklen_t bytes = sizeof peer;
    char path[64], name[64] = "";
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "\0attack-I02b"};
    int listener = socket(AF_UNIX, SOCK_STREAM, 0), connection = socket(AF_UNIX, SOCK_STREAM, 0);
    if (pipe(ends) < 0 || bind(listener, (struct sockaddr *)&address, sizeof address) < 0 || listen(listener, 1) < 0)
        return;
    pid_t pid = fork(); /* the honest caller: connects, hands its connection on (it is inherited), ends */
    if (pid == 0)
        _exit(connect(connection, (struct sockaddr *)&address, sizeof address) < 0);
    (void)waitpid(pid, NULL, 0);
    int accepted = accept(listener, NULL, NULL);
    /* Somebody trusted is started and gets the pid; the attacker still holds the connection. */
    struct clone_args args = {.exit_signal = SIGCHLD, .set_tid = (uint64_t)(uintptr_t)&pid, .set_tid_size = 1};
    long child = CALL(clone3, &args, sizeof args);
    if (child == 0) {
        int fd = open("/proc/self/comm", O_WRONLY);
        (void)!write(fd, "bank", 4);
        (void)!write(ends[1], "!", 1);
        (void)pause();
        _exit(0);
    }
    (void)!read(ends[0], name, 1);
    (void)getsockopt(accepted, SOL_SOCKET, SO_PEERCRED, &peer, &bytes);
    (void)snprintf(path, sizeof path, "/proc/%d/comm", (int)peer.pid);
    FD_AUTO int fd = open(path, O_RDONLY);
    ssize_t got = fd < 0 ? -1 : read(fd, name, sizeof name - 1);
    if (child > 0)
        (void)kill((pid_t)child, SIGKILL);
    if (child > 0 && got > 0 && strncmp(name, "bank", 4) == 0)
        won(a, "a callee that trusts pids sees 'bank'");
    else
        tried(a, "clone3 with a pid", child < 0 ? child : -EIO);
}

/* ---- I03: an identified connection as a thing to give away ---- */

static void slot_to_descriptor(struct attempt *a)
{
    const struct contract_link *in = ring_link(LINK_IN, NULL);
    int slot = in ? (int)in->slot_first : -1;
    /* Somebody waits in the backlog; without a slot named, ACCEPT makes an ordinary descriptor. */
    tried(a, "ACCEPT", ring_run(ring_prepare(IORING_OP_ACCEPT, slot, NULL, 0, 0, IOSQE_FIXED_FILE)));
}

static void install_a_slot(struct attempt *a)
{
    const struct contract_link *out = ring_link(LINK_OUT, NULL);
    int slot = out ? (int)out->slot_first : -1;
    tried(a, "FIXED_FD_INSTALL", ring_run(ring_prepare(OP_FIXED_FD_INSTALL, slot, NULL, 0, 0, IOSQE_FIXED_FILE)));
}

/* A service that opens files has room for a descriptor: what can it do with one? */
static void give_a_descriptor_away(struct attempt *a)
{
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = {.bytes = ""};
    char byte = 0;
    struct iovec data = {&byte, 1};
    struct msghdr message = {
        .msg_iov = &data, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control.bytes};
    struct sockaddr_in any = {.sin_family = AF_INET};
    const struct contract_link *in = ring_link(LINK_IN, NULL);
    long fd = ring_run(ring_prepare(IORING_OP_ACCEPT, in ? (int)in->slot_first : -1, NULL, 0, 0, IOSQE_FIXED_FILE));
    int ends[2] = {-1, -1};
    if (fd < 0) {
        tried(a, "ACCEPT", fd);
        return;
    }
    struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
    *rights = (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int))};
    memcpy(CMSG_DATA(rights), &(int){(int)fd}, sizeof(int));
    tried(a, "socketpair", CALL(socketpair, AF_UNIX, SOCK_STREAM, 0, ends));
    tried(a, "SCM_RIGHTS", CALL(sendmsg, ends[0] < 0 ? (int)fd : ends[0], &message, MSG_NOSIGNAL));
    tried(a, "dup", CALL(dup, (int)fd));
    tried(a, "connect", CALL(connect, (int)fd, &any, sizeof any));
    tried(a, "shutdown", CALL(shutdown, (int)fd, SHUT_RD));
}

/* ---- I10: frames ---- */

/* What the callee does with a connection: closed, or still there. */
static void closed_or(struct attempt *a, long result, const char *success)
{
    if (result == -EPIPE || result == -ECONNRESET)
        refused(a, "closed");
    else if (result == -EAGAIN)
        refused(a, "no answer");
    else
        tried(a, success, result);
}

static void oversized_frame(struct attempt *a)
{
    static const uint32_t lengths[] = {16u << 20, 0x7fffffffu, 0xffffffffu};
    static uint8_t piece[1 << 16];
    for (size_t i = 0; i < ARRAY_COUNT(lengths); i++) {
        struct wire wire = wire_open("witness");
        uint8_t header[FRAME_HEADER_BYTES];
        struct answer answer;
        struct frame frame = {.type = FRAME_REQUEST,
                              .method = method_id("Witness.Note"),
                              .id = 1,
                              .deadline_ms = ANSWER_MS_MAX,
                              .payload_bytes = lengths[i]};
        frame_encode(header, &frame);
        long result = wire_send(&wire, header, sizeof header);
        size_t sent = 0;
        while (result >= 0 && sent < 16u << 20) {
            result = wire_send(&wire, piece, sizeof piece);
            sent += sizeof piece;
        }
        if (result >= 0)
            result = await_frame(&wire, &answer);
        closed_or(a, result == -EAGAIN ? 0 : result, "16 MiB of one frame were taken");
        fd_close(&wire.fd);
    }
}

/* Cut in the middle, of length 0, unknown type, status in a request, rubbish. */
static void broken_frames(struct attempt *a)
{
    static const uint8_t frames[][FRAME_HEADER_BYTES] = {
        {0},
        {FRAME_VERSION, 9},
        {FRAME_VERSION, FRAME_REQUEST, 3},
        {FRAME_VERSION, FRAME_REPLY},
        {'G', 'E', 'T', ' '},
        {FRAME_VERSION, FRAME_CANCEL, 0, 1},
    };
    for (size_t i = 0; i < ARRAY_COUNT(frames); i++) {
        struct wire wire = wire_open("witness");
        struct answer answer;
        long result = wire_send(&wire, frames[i], FRAME_HEADER_BYTES);
        closed_or(a, result < 0 ? result : await_frame(&wire, &answer), "answered");
        fd_close(&wire.fd);
    }
    struct wire wire = wire_open("witness"); /* truncated: half a header, then the end; nothing to answer */
    (void)wire_send(&wire, (const uint8_t[]){FRAME_VERSION, FRAME_REQUEST}, 2);
    fd_close(&wire.fd);
}

static size_t put_hold(uint8_t *at, uint32_t id, uint8_t ms)
{
    const uint8_t payload[] = {1 << 3, ms};
    return put_frame(at, FRAME_REQUEST, "Witness.Hold", id, payload, sizeof payload);
}

static void duplicate_id(struct attempt *a)
{
    struct wire wire = wire_open("witness");
    uint8_t bytes[256];
    struct answer answer;
    size_t used = put_hold(bytes, 7, 100);
    used += put_hold(bytes + used, 7, 100);
    long result = wire_send(&wire, bytes, used);
    for (int i = 0; i < 2 && result >= 0; i++)
        result = await_frame(&wire, &answer);
    closed_or(a, result, "two calls with one id were answered");
}

static void cancel_anothers_call(struct attempt *a)
{
    struct wire victim = wire_open("witness"), attacker = wire_open("witness");
    uint8_t bytes[256];
    struct answer answer;
    (void)wire_send(&victim, bytes, put_hold(bytes, 9, 127));
    (void)poll(NULL, 0, 30);
    (void)wire_send(&attacker, bytes, put_frame(bytes, FRAME_CANCEL, NULL, 9, NULL, 0));
    long result = await_frame(&victim, &answer);
    if (result < 0)
        tried(a, "call", result);
    else if (answer.type == FRAME_ERROR)
        won(a, "a call of another connection was cancelled");
    else
        refused(a, "the call was answered");
}

/* WitnessNest { inner { inner { ... } } }, from the innermost outwards; what it costs is four bytes a level. */
#define LEVELS 12000u

static void deep_nesting(struct attempt *a)
{
    static uint8_t bytes[4 * LEVELS + FRAME_HEADER_BYTES];
    struct wire wire = wire_open("witness");
    struct answer answer;
    uint8_t *end = bytes + sizeof bytes, *at = end;
    for (unsigned i = 0; i < LEVELS; i++) {
        uint32_t inner_bytes = (uint32_t)(end - at); /* below 2^16: three digits of seven bits */
        *--at = (uint8_t)(inner_bytes >> 14);
        *--at = (uint8_t)(inner_bytes >> 7 | 128);
        *--at = (uint8_t)(inner_bytes | 128);
        *--at = 2 << 3 | 2;
    }
    uint8_t *frame = at - FRAME_HEADER_BYTES;
    size_t count = put_frame(frame, FRAME_REQUEST, "Witness.Nest", 1, NULL, (size_t)(end - at));
    long result = wire_send(&wire, frame, count);
    if (result >= 0)
        result = await_frame(&wire, &answer);
    if (result == -EPIPE || result == -ECONNRESET)
        won(a, "the callee ended");
    else if (result < 0)
        tried(a, "call", result);
    else
        refused(a, "%s", answer.type == FRAME_REPLY ? "answered" : answer.text);
}

/* Not refused, and not to be: it is slow for its sender alone. */
static void one_byte_writes(struct attempt *a)
{
    struct wire wire = wire_open("witness");
    uint8_t payload[PAYLOAD_BYTES_MAX], bytes[FRAME_HEADER_BYTES + PAYLOAD_BYTES_MAX];
    size_t count = put_frame(bytes, FRAME_REQUEST, "Witness.Note", 1, payload, put_note(payload, "slow"));
    struct answer answer;
    long writes = atoi(argument("writes")), result = 0, done = 0, one = 1;
    (void)setsockopt(wire.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(int)); /* each byte is a segment */
    for (; done < (writes ? writes : 20000) && result >= 0; done += (long)count) {
        for (size_t i = 0; i < count && result >= 0; i++)
            result = wire_send(&wire, bytes + i, 1);
        if (result >= 0)
            result = await_frame(&wire, &answer);
    }
    if (result < 0)
        tried(a, "call", result);
    else
        refused(a, "served, byte by byte");
}

/* ---- I07: after one's own end ---- */

/* Sends requests that nobody reads (the test has stopped the callee) until no more fit, says so, and waits for its end.
 */
static void leave_requests_behind(struct attempt *a)
{
    struct wire wire = wire_open("witness");
    uint8_t payload[128], bytes[256];
    struct answer answer;
    char text[100] = "";
    memset(text, 'x', 64);
    size_t count = put_frame(bytes, FRAME_REQUEST, "Witness.Note", 1, payload, put_note(payload, text));
    long sent = 0;
    if (call(&wire, "Witness.Note", "", &answer) < 0)
        return;
    (void)dprintf(STDOUT_FILENO, "I07 connected\n");
    (void)!read(STDIN_FILENO, text, 1);
    /* In one piece: small segments would fill the callee's buffer with their own overhead. */
    static uint8_t block[1 << 19];
    size_t used = 0;
    for (uint32_t id = 2; used + count <= sizeof block; id++, used += count) {
        memcpy(block + used, bytes, count);
        for (int i = 0; i < 3; i++)
            block[used + 8 + (size_t)i] = (uint8_t)(id >> 8 * i); /* another call id */
    }
    while (sent < (long)used) {
        ssize_t put = send(wire.fd, block + sent, used - (size_t)sent, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (put <= 0)
            break;
        sent += put;
    }
    sent /= (long)count;
    (void)dprintf(STDOUT_FILENO, "I07 sent %ld\n", sent);
    (void)pause();
}

/* How many of them the callee took; what one read had brought already may be among them. */
#define STALE_MAX 100u
static void count_stale(struct attempt *a)
{
    struct wire wire = wire_open("witness");
    struct answer answer;
    long result = call(&wire, "Witness.Note", "", &answer);
    if (result < 0)
        tried(a, "call", result);
    else if (answer.stale > STALE_MAX)
        won(a, "%u requests of a dead generation were served", answer.stale);
    else
        refused(a, "at most one read of them was served");
}

/* An honest call: others are unharmed. */
static void honest_call(struct attempt *a)
{
    struct wire wire = wire_open("witness");
    struct answer answer;
    long result = call(&wire, "Witness.Note", "", &answer);
    if (result < 0)
        tried(a, "call", result);
    else
        won(a, "answered, as '%s'", answer.caller);
}

const struct row rows_identity[] = {
    {"I01", claim_a_name, true},
    {"I02", reuse_a_pid},
    {"I02b", reuse_a_pid_against_pids},
    {"I03", slot_to_descriptor, true},
    {"I03b", install_a_slot, true},
    {"I03c", give_a_descriptor_away, true},
    {"I06", undeclared_method, true},
    {"I07", leave_requests_behind},
    {"I07b", count_stale},
    {"I10", oversized_frame},
    {"I10b", broken_frames},
    {"I10c", duplicate_id},
    {"I10d", cancel_anothers_call},
    {"I10e", one_byte_writes},
    {"I10f", deep_nesting},
    {"I11", claim_through_a_middle, true},
    {"honest", honest_call},
    {NULL, NULL},
};
