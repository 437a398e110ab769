/* codec.c - see codec.h.  Pure. */
#include "rpc/codec.h"

#include <string.h>

#define TAG_BITS 3u
#define NUMBER_BYTES_MAX 9u /* what is longer protobuf-c reads, or refuses */
#define LENGTH_BYTES_MAX 5u /* likewise */
#define WIRE_VARINT 0u
#define WIRE_BYTES 2u

/* ---- writing ---- */

static size_t varint_size(uint64_t value)
{
    size_t bytes = 1;
    for (; value >= 0x80; value >>= 7)
        bytes++;
    return bytes;
}

static uint8_t *put_varint(uint8_t *out, uint64_t value)
{
    for (; value >= 0x80; value >>= 7)
        *out++ = (uint8_t)(value | 0x80);
    *out++ = (uint8_t)value;
    return out;
}

struct piece {
    const void *bytes;
    uint64_t value; /* of a varint, or the length of bytes */
    bool is_bytes;
};

/* What a field is written as.  false: it has its default, and is left out. */
static bool field_get(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field, struct piece *ret_piece)
{
    const void *at = (const char *)message + field->offset;
    *ret_piece = (struct piece){0};
    switch (field->type) {
    case PROTOBUF_C_TYPE_STRING:
        ret_piece->is_bytes = true;
        ret_piece->bytes = *(const char *const *)at;
        ret_piece->value = ret_piece->bytes ? strlen(ret_piece->bytes) : 0;
        break;
    case PROTOBUF_C_TYPE_BYTES:
        ret_piece->is_bytes = true;
        ret_piece->bytes = ((const ProtobufCBinaryData *)at)->data;
        ret_piece->value = ((const ProtobufCBinaryData *)at)->len;
        break;
    case PROTOBUF_C_TYPE_BOOL:
        ret_piece->value = *(const protobuf_c_boolean *)at != 0;
        break;
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_ENUM:
        ret_piece->value = (uint64_t)(int64_t) * (const int32_t *)at; /* a negative one takes ten bytes */
        break;
    case PROTOBUF_C_TYPE_UINT32:
        ret_piece->value = *(const uint32_t *)at;
        break;
    default: /* the two that are left of codec_is_flat() */
        ret_piece->value = *(const uint64_t *)at;
        break;
    }
    return ret_piece->value != 0;
}

size_t codec_size(const ProtobufCMessage *message, bool is_flat)
{
    if (!is_flat || message->n_unknown_fields > 0)
        return protobuf_c_message_get_packed_size(message);
    size_t size = 0;
    struct piece piece;
    for (unsigned i = 0; i < message->descriptor->n_fields; i++)
        if (field_get(message, &message->descriptor->fields[i], &piece))
            size += 1 + varint_size(piece.value) + (piece.is_bytes ? piece.value : 0);
    return size;
}

void codec_pack(const ProtobufCMessage *message, bool is_flat, uint8_t *out)
{
    if (!is_flat || message->n_unknown_fields > 0) {
        (void)protobuf_c_message_pack(message, out); /* the size is known */
        return;
    }
    struct piece piece;
    for (unsigned i = 0; i < message->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &message->descriptor->fields[i];
        if (!field_get(message, field, &piece))
            continue;
        *out++ = (uint8_t)(field->id << TAG_BITS | (piece.is_bytes ? WIRE_BYTES : WIRE_VARINT));
        out = put_varint(out, piece.value);
        if (piece.is_bytes) {
            memcpy(out, piece.bytes, piece.value);
            out += piece.value;
        }
    }
}

/* ---- reading ---- */

/* NULL: it does not end before `end`, or is longer than usual. */
static const uint8_t *get_varint(const uint8_t *at, const uint8_t *end, unsigned bytes_max, uint64_t *ret_value)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < bytes_max && at < end; i++) {
        uint8_t byte = *at++;
        value |= (uint64_t)(byte & 0x7F) << 7 * i;
        if (byte < 0x80) {
            *ret_value = value;
            return at;
        }
    }
    return NULL;
}

static bool is_bytes_type(ProtobufCType type)
{
    return type == PROTOBUF_C_TYPE_STRING || type == PROTOBUF_C_TYPE_BYTES;
}

/*
 * Finds what belongs to each field, in the order of the descriptor; *ret_seen has a bit for each that is there. Returns
 * how many bytes the strings take, a NUL for each included; SIZE_MAX: something is unusual.
 */
static size_t scan(const ProtobufCMessageDescriptor *type, const uint8_t *at, const uint8_t *end, struct piece *pieces,
                   uint32_t *ret_seen)
{
    size_t room = 0;
    uint32_t seen = 0;
    unsigned next = 0; /* fields usually come in order */
    while (at < end) {
        unsigned tag = *at++, id = tag >> TAG_BITS;
        while (next < type->n_fields && type->fields[next].id < id)
            next++;
        if (tag >= 0x80 || next == type->n_fields || type->fields[next].id != id || seen & 1u << next)
            return SIZE_MAX;
        seen |= 1u << next;
        struct piece *piece = &pieces[next];
        piece->is_bytes = is_bytes_type(type->fields[next].type);
        if ((tag & ((1u << TAG_BITS) - 1)) != (piece->is_bytes ? WIRE_BYTES : WIRE_VARINT) ||
            !(at = get_varint(at, end, piece->is_bytes ? LENGTH_BYTES_MAX : NUMBER_BYTES_MAX, &piece->value)))
            return SIZE_MAX;
        if (!piece->is_bytes)
            continue;
        piece->bytes = at;
        if (piece->value > (size_t)(end - at))
            return SIZE_MAX;
        at += piece->value;
        room += piece->value + 1;
    }
    *ret_seen = seen;
    return room;
}

static void field_set(void *at, ProtobufCType type, const struct piece *piece, char **room)
{
    switch (type) {
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_BYTES:
        memcpy(*room, piece->bytes, piece->value);
        (*room)[piece->value] = '\0';
        if (type == PROTOBUF_C_TYPE_STRING)
            *(char **)at = *room;
        else
            *(ProtobufCBinaryData *)at =
                (ProtobufCBinaryData){.len = piece->value, .data = piece->value ? (uint8_t *)*room : NULL};
        *room += piece->value + 1;
        return;
    case PROTOBUF_C_TYPE_BOOL:
        *(protobuf_c_boolean *)at = piece->value != 0;
        return;
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_UINT64:
        *(uint64_t *)at = piece->value;
        return;
    default:
        *(uint32_t *)at = (uint32_t)piece->value; /* cut, as protobuf does */
        return;
    }
}

ProtobufCMessage *codec_unpack(const ProtobufCMessageDescriptor *type, bool is_flat, ProtobufCAllocator *allocator,
                               const uint8_t *bytes, size_t length)
{
    struct piece pieces[CODEC_FIELDS_MAX];
    uint32_t seen = 0;
    size_t room_bytes = is_flat ? scan(type, bytes, bytes + length, pieces, &seen) : SIZE_MAX;
    if (room_bytes == SIZE_MAX)
        return protobuf_c_message_unpack(type, allocator, length, bytes);
    ProtobufCMessage *message = allocator->alloc(allocator->allocator_data, type->sizeof_message + room_bytes);
    if (!message)
        return NULL;
    char *room = (char *)message + type->sizeof_message;
    protobuf_c_message_init(type, message);
    for (; seen; seen &= seen - 1) {
        unsigned i = (unsigned)__builtin_ctz(seen);
        field_set((char *)message + type->fields[i].offset, type->fields[i].type, &pieces[i], &room);
    }
    return message;
}
