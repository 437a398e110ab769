/*
 * fuzz_frame.c - frame_decode() on arbitrary bytes: it stays inside them, and what it takes is what frame_encode()
 * writes.
 *
 * The first two bytes choose the payload limit, so that small limits are reached as well.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "rpc/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    uint32_t payload_bytes_max = (uint32_t)data[0] << 8 | data[1];
    data += 2;
    size -= 2;
    while (size > 0) {
        /* A copy of exactly this size: the sanitizer sees a read behind its end. */
        uint8_t *bytes = malloc(size);
        if (!bytes)
            return 0;
        memcpy(bytes, data, size);
        struct frame frame;
        size_t need = 0;
        long used = frame_decode(bytes, size, payload_bytes_max, &frame, &need);
        if (used > 0) {
            uint8_t again[FRAME_HEADER_BYTES];
            frame_encode(again, &frame);
            if ((size_t)used > size || frame.payload_bytes > payload_bytes_max ||
                memcmp(again, bytes, sizeof again) != 0 || frame.payload + frame.payload_bytes != bytes + used)
                abort();
        } else if (used == 0 && (need <= size || need > FRAME_HEADER_BYTES + (size_t)payload_bytes_max)) {
            abort();
        }
        free(bytes);
        if (used <= 0)
            return 0;
        data += used;
        size -= (size_t)used;
    }
    return 0;
}
