/*
 * codec.h - messages to bytes and back: the usual ones in a straight line, all others by protobuf-c.  Pure.
 *
 * A flat message has at most CODEC_FIELDS_MAX fields, none repeated, optional, of a oneof or nested, all of them
 * strings, bytes, booleans, enums or plain varints, with numbers that fit into one byte of tag.  The generator marks
 * the messages of a method that are (struct rpc_method), so nobody asks that again for each call.
 *
 * Invariants
 *  I1  What is written, and what is read, is what protobuf-c writes and reads: bytes that are in any way unusual (a
 *      field twice, an unknown one, another wire type, an overlong number, a length that is too large) are read by
 *      protobuf-c itself, before anything was allocated.
 *  I2  Nothing is read behind length; what is allocated is one piece, not larger than the message's struct, the bytes
 *      of its strings, and a NUL for each.
 *
 * Used by client.c and server.c; is_flat also by the generator.  tests/fuzz/fuzz_codec.c compares both ways.
 */
#ifndef RPC_CODEC_H
#define RPC_CODEC_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CODEC_FIELDS_MAX 15u /* what one byte of tag can number */

static inline bool codec_is_flat(const ProtobufCMessageDescriptor *type)
{
    if (type->n_fields > CODEC_FIELDS_MAX)
        return false;
    for (unsigned i = 0; i < type->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &type->fields[i];
        bool is_known = field->type == PROTOBUF_C_TYPE_STRING || field->type == PROTOBUF_C_TYPE_BYTES ||
                        field->type == PROTOBUF_C_TYPE_BOOL || field->type == PROTOBUF_C_TYPE_ENUM ||
                        field->type == PROTOBUF_C_TYPE_INT32 || field->type == PROTOBUF_C_TYPE_UINT32 ||
                        field->type == PROTOBUF_C_TYPE_INT64 || field->type == PROTOBUF_C_TYPE_UINT64;
        if (!is_known || field->label != PROTOBUF_C_LABEL_NONE || field->flags || field->id > CODEC_FIELDS_MAX)
            return false;
    }
    return true;
}

size_t codec_size(const ProtobufCMessage *message, bool is_flat);

/* Writes codec_size() bytes. */
void codec_pack(const ProtobufCMessage *message, bool is_flat, uint8_t *out);

/* NULL: these bytes are no such message, or the allocator gave nothing. */
ProtobufCMessage *codec_unpack(const ProtobufCMessageDescriptor *type, bool is_flat, ProtobufCAllocator *allocator,
                               const uint8_t *bytes, size_t length);

#endif
