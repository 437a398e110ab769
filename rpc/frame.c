/* frame.c - see frame.h.  Pure. */
#include "rpc/frame.h"

#include <errno.h>
#include <stdbool.h>

#include "rpc/base/weaken.h"

static uint32_t get32(const uint8_t *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static void put32(uint8_t *at, uint32_t value)
{
    at[0] = (uint8_t)value;
    at[1] = (uint8_t)(value >> 8);
    at[2] = (uint8_t)(value >> 16);
    at[3] = (uint8_t)(value >> 24);
}

/* The one form of each type (I2). */
static bool is_well_formed(const struct frame *frame, uint32_t payload_bytes_max)
{
    if (weakened("frame-form"))
        return frame->payload_bytes <= payload_bytes_max;
    switch (frame->type) {
    case FRAME_REQUEST:
        return frame->status == 0 && frame->payload_bytes <= payload_bytes_max;
    case FRAME_REPLY:
        return frame->status == 0 && frame->method == 0 && frame->deadline_ms == 0 &&
               frame->payload_bytes <= payload_bytes_max;
    case FRAME_ERROR:
        return frame->status >= 1 && frame->status <= FRAME_STATUS_MAX && frame->method == 0 &&
               frame->deadline_ms == 0 && frame->payload_bytes <= FRAME_TEXT_BYTES_MAX &&
               frame->payload_bytes <= payload_bytes_max;
    case FRAME_CANCEL:
        return frame->status == 0 && frame->method == 0 && frame->deadline_ms == 0 && frame->payload_bytes == 0;
    default:
        return false;
    }
}

long frame_decode(const uint8_t *bytes, size_t length, uint32_t payload_bytes_max, struct frame *ret_frame,
                  size_t *ret_need)
{
    if (length < FRAME_HEADER_BYTES) {
        /* What is wrong already is refused at once: a peer that speaks something else does not get to wait. */
        if ((length >= 1 && bytes[0] != FRAME_VERSION) ||
            (length >= 2 && (bytes[1] < FRAME_REQUEST || bytes[1] > FRAME_CANCEL)))
            return -EPROTO;
        *ret_need = FRAME_HEADER_BYTES;
        return 0;
    }
    struct frame frame = {
        .type = bytes[1],
        .status = bytes[2],
        .method = get32(bytes + 4),
        .id = get32(bytes + 8),
        .deadline_ms = get32(bytes + 12),
        .payload_bytes = get32(bytes + 16),
        .payload = bytes + FRAME_HEADER_BYTES,
    };
    if (bytes[0] != FRAME_VERSION || bytes[3] != 0 || !is_well_formed(&frame, payload_bytes_max))
        return -EPROTO;
    size_t used = (size_t)FRAME_HEADER_BYTES + frame.payload_bytes; /* no overflow: payload_bytes was checked */
    if (!(used <= length)) {                                        /* I1 */
        *ret_need = used;
        return 0;
    }
    *ret_frame = frame;
    return (long)used;
}

void frame_encode(uint8_t out[FRAME_HEADER_BYTES], const struct frame *frame)
{
    out[0] = FRAME_VERSION;
    out[1] = frame->type;
    out[2] = frame->status;
    out[3] = 0;
    put32(out + 4, frame->method);
    put32(out + 8, frame->id);
    put32(out + 12, frame->deadline_ms);
    put32(out + 16, frame->payload_bytes);
}
