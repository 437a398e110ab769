/*
 * calls.c - rows I10: frames that no honest caller sends, to a witness (tests/attacks/witness.c).
 */
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "rpc/base/hash.h"
#include "rpc/base/own.h"
#include "tests/attacks/wire.h"

#define BROKEN_ID 41u

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

/* Until the callee closes; errors that it answers before it does are its right. */
static long await_end(const struct wire *wire)
{
    struct answer answer;
    long result;
    do
        result = await_frame(wire, &answer);
    while (result == 0 && answer.type == FRAME_ERROR && answer.id == BROKEN_ID);
    return result;
}

/* Sends it, and sees the connection closed; after the end of what we send, where is_cut. */
static void try_broken(struct attempt *a, const void *bytes, size_t count, bool is_cut)
{
    struct wire wire = wire_open("witness");
    long result = wire_send(&wire, bytes, count);
    if (result >= 0 && is_cut)
        (void)shutdown(wire.fd, SHUT_WR);
    closed_or(a, result < 0 ? result : await_end(&wire), "answered");
    fd_close(&wire.fd);
}

/* Unknown version, unknown type, status in a request, a reply, rubbish, a field that must be zero; then what is cut in
 * its header and in its payload; then two requests of which the first one's payload comes behind the other's header. */
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
    uint8_t payload[PAYLOAD_BYTES_MAX], bytes[2 * FRAME_HEADER_BYTES + 2 * PAYLOAD_BYTES_MAX], *at = bytes;
    for (size_t i = 0; i < ARRAY_COUNT(frames); i++)
        try_broken(a, frames[i], FRAME_HEADER_BYTES, false);
    size_t note_bytes = put_note(payload, "in the middle");
    size_t count = put_frame(bytes, FRAME_REQUEST, "Witness.Note", 1, payload, note_bytes);
    try_broken(a, bytes, 2, true);
    try_broken(a, bytes, count - 3, true);
    for (uint32_t id = BROKEN_ID; id < BROKEN_ID + 2; id++)
        at += put_frame(at, FRAME_REQUEST, "Witness.Note", id, NULL, note_bytes) - note_bytes;
    for (int i = 0; i < 2; i++, at += note_bytes)
        memcpy(at, payload, note_bytes);
    try_broken(a, bytes, (size_t)(at - bytes), false);
}

/* Known to be well formed, and still of no use: a number that is no method's. */
static void unknown_method(struct attempt *a)
{
    try_method(a, "Witness.Nowhere");
}

/* Two connections whose requests arrive byte by byte in turns, one of them of length 0: each keeps its own bytes. */
static void in_turns(struct attempt *a)
{
    struct wire wires[] = {wire_open("witness"), wire_open("witness")};
    uint8_t payload[PAYLOAD_BYTES_MAX], bytes[2][FRAME_HEADER_BYTES + PAYLOAD_BYTES_MAX];
    size_t counts[] = {
        put_frame(bytes[0], FRAME_REQUEST, "Witness.Note", 21, NULL, 0),
        put_frame(bytes[1], FRAME_REQUEST, "Witness.Note", 22, payload, put_note(payload, "in turns")),
    };
    long result = 0;
    for (size_t at = 0; at < counts[1] && result >= 0; at++)
        for (size_t i = 0; i < 2 && result >= 0; i++)
            if (at < counts[i])
                result = wire_send(&wires[i], bytes[i] + at, 1);
    for (uint32_t i = 0; i < 2 && result >= 0; i++) {
        struct answer answer;
        result = await_frame(&wires[i], &answer);
        if (result >= 0 && (answer.type != FRAME_REPLY || answer.id != 21 + i))
            won(a, "a request became another's");
    }
    if (result < 0)
        tried(a, "call", result);
    else
        refused(a, "answered, each by itself");
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

/* Not refused, and not to be: it is slow for its sender alone.  As many requests as may wait go out before their
 * answers are read. */
#define REQUESTS_AT_ONCE 32
#define WRITES 1000000

static void one_byte_writes(struct attempt *a)
{
    struct wire wire = wire_open("witness");
    uint8_t payload[PAYLOAD_BYTES_MAX], bytes[FRAME_HEADER_BYTES + PAYLOAD_BYTES_MAX];
    const size_t note_bytes = put_note(payload, "slow");
    struct answer answer;
    long result = 0, done = 0;
    int one = 1;
    (void)setsockopt(wire.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one); /* each byte is a segment */
    while (done < WRITES && result >= 0) {
        for (uint32_t id = 0; id < REQUESTS_AT_ONCE; id++) {
            size_t count = put_frame(bytes, FRAME_REQUEST, "Witness.Note", id, payload, note_bytes);
            for (size_t i = 0; i < count && result >= 0; i++)
                result = wire_send(&wire, bytes + i, 1);
            done += (long)count;
        }
        for (int i = 0; i < REQUESTS_AT_ONCE && result >= 0; i++) {
            result = await_frame(&wire, &answer);
            if (result >= 0 && answer.type != FRAME_REPLY)
                result = -EBADMSG;
        }
    }
    if (result < 0)
        tried(a, "call", result);
    else
        refused(a, "served, byte by byte");
}

const struct row rows_calls[] = {
    {"I10", oversized_frame},       {"I10b", broken_frames},   {"I10c", duplicate_id},
    {"I10d", cancel_anothers_call}, {"I10e", one_byte_writes}, {"I10f", deep_nesting},
    {"I10g", unknown_method},       {"I10h", in_turns},        {NULL, NULL},
};
