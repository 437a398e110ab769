/*
 * fuzz_codec.c - codec_unpack() and codec_pack() against protobuf-c's: the same bytes are a message to both or to
 * neither, it is the same message, and both write it the same.
 *
 * The allocator counts: what the straight line takes is bounded by the message (codec.h, I2).
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "rpc/codec.h"
#include "tests/unit/rpc_probe.pb-c.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct counted {
    void *pieces[256];
    size_t count, bytes;
};

static void *counted_alloc(void *data, size_t bytes)
{
    struct counted *counted = data;
    if (counted->count == sizeof counted->pieces / sizeof counted->pieces[0])
        return NULL;
    counted->bytes += bytes;
    return counted->pieces[counted->count++] = malloc(bytes ? bytes : 1);
}

static void counted_free(void *data, void *piece)
{
    /* With all others, at the end, as in an arena. */
}

static void need(bool is_so)
{
    if (!is_so)
        abort();
}

static void compare(const ProbeFlat *ours, const ProbeFlat *theirs)
{
    need(strcmp(ours->text, theirs->text) == 0 && strcmp(ours->last, theirs->last) == 0);
    need(ours->blob.len == theirs->blob.len && (ours->blob.data == NULL) == (theirs->blob.data == NULL));
    if (ours->blob.data && theirs->blob.data)
        need(memcmp(ours->blob.data, theirs->blob.data, ours->blob.len) == 0);
    need(ours->flag == theirs->flag && ours->color == theirs->color && ours->i32 == theirs->i32);
    need(ours->u32 == theirs->u32 && ours->i64 == theirs->i64 && ours->u64 == theirs->u64);
    need(ours->base.n_unknown_fields == theirs->base.n_unknown_fields &&
         ours->base.descriptor == theirs->base.descriptor);
}

static void compare_written(const ProtobufCMessage *message)
{
    size_t size = protobuf_c_message_get_packed_size(message);
    need(codec_size(message, true) == size && codec_size(message, false) == size);
    uint8_t *ours = malloc(size + 1), *theirs = malloc(size + 1);
    need(ours && theirs);
    codec_pack(message, true, ours);
    need(protobuf_c_message_pack(message, theirs) == size);
    need(memcmp(ours, theirs, size) == 0);
    free(ours);
    free(theirs);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct counted counted = {0};
    ProtobufCAllocator allocator = {counted_alloc, counted_free, &counted};
    need(codec_is_flat(&probe_flat__descriptor));
    /* A copy of exactly this size: the sanitizer sees a read behind its end. */
    uint8_t *bytes = malloc(size ? size : 1);
    need(bytes != NULL);
    memcpy(bytes, data, size);
    ProtobufCMessage *ours = codec_unpack(&probe_flat__descriptor, true, &allocator, bytes, size);
    if (ours && counted.count == 1)
        need(counted.bytes <= sizeof(ProbeFlat) + size + CODEC_FIELDS_MAX);
    counted.bytes = 0;
    bool is_full = counted.count == sizeof counted.pieces / sizeof counted.pieces[0];
    size_t count = counted.count;
    ProtobufCMessage *theirs = protobuf_c_message_unpack(&probe_flat__descriptor, &allocator, size, bytes);
    is_full |= count + counted.count > sizeof counted.pieces / sizeof counted.pieces[0] - 8;
    if (!is_full) {
        need((ours != NULL) == (theirs != NULL));
        if (ours && theirs) {
            compare((const ProbeFlat *)ours, (const ProbeFlat *)theirs);
            compare_written(theirs);
        }
    }
    free(bytes);
    for (size_t i = 0; i < counted.count; i++)
        free(counted.pieces[i]);
    return 0;
}
