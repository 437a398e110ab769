/*
 * frame.h - what goes over a wire: a fixed header, then a protobuf message or a text.  Pure: bytes in, bytes out.
 *
 * Little endian, FRAME_HEADER_BYTES long:
 *
 *   0 version  1 type  2 status  3 zero  4 method  8 call id  12 deadline, ms from now  16 payload bytes
 *
 * Invariants
 *  I1  frame_decode() takes a frame only when used <= length, where used = FRAME_HEADER_BYTES + payload bytes; it reads
 *      no byte behind length, and with a payload limit of n no frame is larger than FRAME_HEADER_BYTES + n.
 *  I2  Each frame has one form: a field that its type does not use is zero, else the frame is refused.
 *
 * A request is answered by exactly one reply or error, a cancelled one too; the id is free again after that.
 *
 * Used by conn.c (both directions), its test and its fuzzer.
 */
#ifndef RPC_FRAME_H
#define RPC_FRAME_H

#include <stddef.h>
#include <stdint.h>

#define FRAME_HEADER_BYTES 20u
#define FRAME_VERSION 1u
#define FRAME_TEXT_BYTES_MAX 200u /* of an error's text: what rpc_fail() promises */
#define FRAME_STATUS_MAX 16u      /* the last status of rpc.h */

enum frame_type {
    FRAME_REQUEST = 1, /* method, id, deadline, message */
    FRAME_REPLY = 2,   /* id, message */
    FRAME_ERROR = 3,   /* status, id, text */
    FRAME_CANCEL = 4,  /* id: nobody waits for it any more */
};

struct frame {
    uint8_t type, status;
    uint32_t method, id, deadline_ms;
    uint32_t payload_bytes;
    const uint8_t *payload; /* into the decoded bytes */
};

/*
 * Takes one frame from the front of bytes.  Returns the number of bytes it used, 0 when more are needed (ret_need is
 * then how many there must be at least), -EPROTO when no continuation makes it a frame: close the connection.
 */
long frame_decode(const uint8_t *bytes, size_t length, uint32_t payload_bytes_max, struct frame *ret_frame,
                  size_t *ret_need);

/* Writes the header; the payload's bytes follow it and are the caller's to write. */
void frame_encode(uint8_t out[FRAME_HEADER_BYTES], const struct frame *frame);

#endif
