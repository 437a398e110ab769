/*
 * identity.c - rows I01 to I07 and I11: to be taken for somebody else.
 *
 * Over the service's own link to a witness (tests/attacks/witness.c), which says whom it sees.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/sched.h>
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
#include "tests/attacks/wire.h"

/* ---- I01, I06, I11: claims ---- */

/* Who the callee says it was; the same name twice is said once. */
static void note_caller(struct attempt *a, long result, const struct answer *answer)
{
    char seen[NAME_BYTES + 32];
    (void)snprintf(seen, sizeof seen, "the callee sees '%s'", answer->caller);
    if (result < 0)
        tried(a, "call", result);
    else if (answer->type == FRAME_ERROR)
        refused(a, "error: %s", answer->text);
    else if (strcmp(answer->caller, "profile") == 0)
        won(a, "%s", seen);
    else if (strcmp(a->refused, seen) != 0)
        refused(a, "%s", seen);
}

static void claim(struct attempt *a, const char *callee, const char *method)
{
    struct wire wire = wire_open(callee);
    struct answer answer = {0};
    long result = call(&wire, method, "caller=profile", &answer);
    note_caller(a, result, &answer);
}

/* A request whose header holds a name where there is room for one: eight bytes of call id and deadline. */
static void claim_in_the_header(struct attempt *a)
{
    struct wire wire = wire_open("witness");
    struct answer answer = {0};
    uint8_t bytes[FRAME_HEADER_BYTES];
    size_t count = put_frame(bytes, FRAME_REQUEST, "Witness.Note", 1, NULL, 0);
    memcpy(bytes + 8, "profile", 8);
    long result = is_open(&wire) ? wire_send(&wire, bytes, count) : -ENOTCONN;
    if (result >= 0)
        result = await_frame(&wire, &answer);
    note_caller(a, result, &answer);
}

static void claim_a_name(struct attempt *a)
{
    claim(a, "witness", "Witness.Note");
    claim_in_the_header(a);
}

/* A name before the first request, as a handshake would take it, or in fields that have to be zero. */
static void claim_beforehand(struct attempt *a)
{
    static const char proxy[] = "PROXY TCP4 10.0.0.1 10.0.0.2 7000 7000\r\n";
    uint8_t note[FRAME_HEADER_BYTES], form[FRAME_HEADER_BYTES], error[FRAME_HEADER_BYTES + 16];
    const size_t note_bytes = put_frame(note, FRAME_REQUEST, "Witness.Note", 1, NULL, 0);
    const struct {
        const void *bytes;
        size_t count;
    } greetings[] = {{proxy, sizeof proxy - 1},
                     {error, put_frame(error, FRAME_ERROR, NULL, 1, "caller=profile", 14)},
                     {form, 0}}; /* the request itself, with a status */
    memcpy(form, note, sizeof form);
    form[2] = 'p';
    error[2] = 1;
    for (size_t i = 0; i < ARRAY_COUNT(greetings); i++) {
        struct wire wire = wire_open("witness");
        struct answer answer = {0};
        long result = is_open(&wire) ? 0 : -ENOTCONN;
        if (result >= 0 && greetings[i].count > 0)
            result = wire_send(&wire, greetings[i].bytes, greetings[i].count);
        if (result >= 0)
            result = wire_send(&wire, greetings[i].count > 0 ? note : form, note_bytes);
        if (result >= 0)
            result = await_frame(&wire, &answer);
        if (result == -EPIPE || result == -ECONNRESET)
            refused(a, "closed");
        else if (result < 0)
            tried(a, "call", result);
        else
            won(a, "a claim was taken, of a caller that is seen as '%s'", answer.caller);
        fd_close(&wire.fd);
    }
}

static void claim_through_a_middle(struct attempt *a)
{
    claim(a, "middle", "Witness.Relay");
}

static void undeclared_method(struct attempt *a)
{
    try_method(a, "Witness.Hidden");
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
    struct wire wire = {.slot = -1, .fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    struct sockaddr_in peer = address_of("peer", PORT_OF_LINKS);
    int status = 0;
    pid_t pid = fork();
    if (pid == 0) /* who connects, and ends; what it connected is ours too */
        _exit(connect(wire.fd, (struct sockaddr *)&peer, sizeof peer) < 0 ? errno : 0);
    (void)waitpid(pid, &status, 0);
    struct attempt *shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        return;
    if (status != 0) {
        tried(a, "connect", -WEXITSTATUS(status));
        return;
    }
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
    refused(a, "there is one; then");
    struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
    *rights = (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int))};
    memcpy(CMSG_DATA(rights), &(int){(int)fd}, sizeof(int));
    tried(a, "socketpair", CALL(socketpair, AF_UNIX, SOCK_STREAM, 0, ends));
    tried(a, "SCM_RIGHTS", CALL(sendmsg, ends[0] < 0 ? (int)fd : ends[0], &message, MSG_NOSIGNAL));
    tried(a, "dup", CALL(dup, (int)fd));
    tried(a, "connect", CALL(connect, (int)fd, &any, sizeof any));
    tried(a, "shutdown", CALL(shutdown, (int)fd, SHUT_RD));
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

/* How many of them the callee took: with the first call those of one read at most, which had brought them already when
 * the connection's end became known.  An idle connection reads 4096 bytes (RECEIVE_BYTES_IDLE of rpc/runtime.h). */
#define STALE_REQUEST_BYTES (FRAME_HEADER_BYTES + 2 + 64)
#define STALE_MAX (1 + 4096 / STALE_REQUEST_BYTES)
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

/* A connection that outlives its callee: called once, then again when the test says that a new callee is there. */
static void keep_a_connection(struct attempt *a)
{
    struct wire wire = wire_open("witness");
    struct answer answer;
    char byte;
    long result = call(&wire, "Witness.Note", "", &answer);
    if (result < 0) {
        tried(a, "the first call", result);
        return;
    }
    (void)dprintf(STDOUT_FILENO, "I07c connected\n");
    (void)!read(STDIN_FILENO, &byte, 1);
    result = call(&wire, "Witness.Note", "", &answer);
    if (result == -EPIPE || result == -ECONNRESET)
        refused(a, "closed");
    else if (result == -EAGAIN)
        refused(a, "no answer");
    else
        tried(a, "the next callee answered", result);
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
    {"I01b", claim_beforehand},
    {"I02", reuse_a_pid},
    {"I02b", reuse_a_pid_against_pids},
    {"I03", slot_to_descriptor, true},
    {"I03b", install_a_slot, true},
    {"I03c", give_a_descriptor_away, true},
    {"I06", undeclared_method, true},
    {"I07", leave_requests_behind},
    {"I07b", count_stale},
    {"I07c", keep_a_connection},
    {"I11", claim_through_a_middle, true},
    {"honest", honest_call},
    {NULL, NULL},
};
