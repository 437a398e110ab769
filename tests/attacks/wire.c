/* wire.c - see wire.h. */
#include "tests/attacks/wire.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "rpc/base/hash.h"
#include "rpc/base/own.h"

struct wire wire_open(const char *callee)
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

bool is_open(const struct wire *wire)
{
    return wire->slot >= 0 || wire->fd >= 0;
}

long wire_send(const struct wire *wire, const void *bytes, size_t count)
{
    if (wire->fd >= 0)
        return call_result(send(wire->fd, bytes, count, MSG_NOSIGNAL));
    struct io_uring_sqe *sqe = ring_prepare(IORING_OP_SEND, wire->slot, bytes, (unsigned)count, 0, IOSQE_FIXED_FILE);
    sqe->msg_flags = MSG_NOSIGNAL;
    return ring_run(sqe);
}

long wire_receive(const struct wire *wire, void *bytes, size_t count)
{
    if (wire->fd >= 0)
        return call_result(recv(wire->fd, bytes, count, 0));
    return ring_run(ring_prepare(IORING_OP_RECV, wire->slot, bytes, (unsigned)count, 0, IOSQE_FIXED_FILE));
}

size_t put_frame(uint8_t *at, uint8_t type, const char *method, uint32_t id, const void *payload, size_t bytes)
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

size_t put_note(uint8_t *at, const char *text)
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

long await_frame(const struct wire *wire, struct answer *answer)
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

long call(const struct wire *wire, const char *method, const char *text, struct answer *answer)
{
    uint8_t payload[PAYLOAD_BYTES_MAX], bytes[FRAME_HEADER_BYTES + PAYLOAD_BYTES_MAX];
    size_t count = put_frame(bytes, FRAME_REQUEST, method, 1, payload, put_note(payload, text));
    long result = is_open(wire) ? wire_send(wire, bytes, count) : -ENOTCONN;
    return result < 0 ? result : await_frame(wire, answer);
}

void try_method(struct attempt *a, const char *method)
{
    struct wire wire = wire_open("witness");
    struct answer answer;
    long result = call(&wire, method, "", &answer);
    if (result < 0)
        tried(a, "call", result);
    else if (answer.type == FRAME_REPLY)
        won(a, "the handler answered");
    else
        refused(a, "%s", answer.text);
}
