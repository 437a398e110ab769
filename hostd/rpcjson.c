/* rpcjson.c - see rpcjson.h.  The format is that of protobuf ("Encoding" of its documentation). */
#include "hostd/rpcjson.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hostd/suggest.h"
#include "rpc/base/own.h"

#define VALUES_MAX (1u << 18) /* of one reply, defaults included: two bytes of it can be a message of many fields */

enum wire_type { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5 };

static enum wire_type wire_type_of(enum field_type type)
{
    switch (type) {
    case FIELD_SFIXED32:
    case FIELD_FIXED32:
    case FIELD_FLOAT:
        return WIRE_32;
    case FIELD_SFIXED64:
    case FIELD_FIXED64:
    case FIELD_DOUBLE:
        return WIRE_64;
    case FIELD_STRING:
    case FIELD_BYTES:
    case FIELD_MESSAGE:
        return WIRE_BYTES;
    default:
        return WIRE_VARINT;
    }
}

/* ---- base64 ---- */

static const char base64_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* Strict: whole groups, padding only at the end, no bits that would be lost.  Number of bytes, or -1. */
static ssize_t base64_decode(const char *text, size_t length, uint8_t *out)
{
    size_t used = 0;
    if (length % 4)
        return -1;
    for (size_t at = 0; at < length; at += 4) {
        uint32_t group = 0;
        size_t padding = 0;
        for (size_t i = 0; i < 4; i++) {
            const char *digit = text[at + i] ? strchr(base64_digits, text[at + i]) : NULL;
            bool is_padding = text[at + i] == '=' && at + 4 == length && i >= 2;
            if ((!digit && !is_padding) || (digit && padding))
                return -1;
            padding += is_padding;
            group = group << 6 | (digit ? (uint32_t)(digit - base64_digits) : 0);
        }
        if ((padding == 1 && group & 0xFF) || (padding == 2 && group & 0xFFFF))
            return -1;
        for (size_t i = 0; i < 3 - padding; i++)
            out[used++] = (uint8_t)(group >> (16 - 8 * i));
    }
    return (ssize_t)used;
}

static json_t *base64_json(const uint8_t *bytes, size_t count)
{
    size_t room = (count + 2) / 3 * 4, used = 0;
    FREE_AUTO char *text = malloc(room + 1);
    if (!text)
        return NULL;
    for (size_t at = 0; at < count; at += 3) {
        size_t left = count - at;
        uint32_t group =
            (uint32_t)bytes[at] << 16 | (left > 1 ? (uint32_t)bytes[at + 1] << 8 : 0) | (left > 2 ? bytes[at + 2] : 0);
        text[used++] = base64_digits[group >> 18];
        text[used++] = base64_digits[group >> 12 & 63];
        text[used++] = left > 1 ? base64_digits[group >> 6 & 63] : '=';
        text[used++] = left > 2 ? base64_digits[group & 63] : '=';
    }
    return json_stringn(text, used);
}

/* ---- packing ---- */

struct out {
    uint8_t *at;
    size_t used, room;
};

static int put(struct out *out, const void *bytes, size_t count, struct err *e)
{
    if (count > RPCJSON_BYTES_MAX - out->used)
        return err_set(e, -E2BIG, "the message has more than %u bytes", RPCJSON_BYTES_MAX);
    if (out->used + count > out->room) {
        size_t room = out->room ? out->room : 256;
        while (room < out->used + count)
            room *= 2;
        uint8_t *larger = realloc(out->at, room);
        if (!larger)
            return err_set(e, -ENOMEM, "no memory for the message");
        out->at = larger;
        out->room = room;
    }
    if (count > 0)
        memcpy(out->at + out->used, bytes, count);
    out->used += count;
    return 0;
}

static int put_varint(struct out *out, uint64_t value, struct err *e)
{
    uint8_t bytes[10];
    size_t count = 0;
    do {
        bytes[count++] = (uint8_t)((value & 0x7F) | (value > 0x7F ? 0x80 : 0));
        value >>= 7;
    } while (value);
    return put(out, bytes, count, e);
}

static int put_little(struct out *out, uint64_t value, size_t count, struct err *e)
{
    uint8_t bytes[8];
    for (size_t i = 0; i < count; i++)
        bytes[i] = (uint8_t)(value >> (8 * i));
    return put(out, bytes, count, e);
}

static int put_tag(struct out *out, int32_t number, enum wire_type wire, struct err *e)
{
    return put_varint(out, (uint64_t)(uint32_t)number << 3 | wire, e);
}

static int is_no(const struct type_field *field, const char *what, struct err *e)
{
    return err_set(e, -EINVAL, "field %s is no %s", field->name, what);
}

/* A whole number, as JSON or as text.  Two's complement in *ret_value. */
static bool read_integer(const json_t *value, bool is_signed, unsigned bits, uint64_t *ret_value)
{
    uint64_t magnitude;
    bool is_negative = false;
    if (json_is_integer(value)) {
        json_int_t number = json_integer_value(value);
        is_negative = number < 0;
        magnitude = is_negative ? 0 - (uint64_t)number : (uint64_t)number;
    } else if (json_is_string(value)) {
        const char *text = json_string_value(value);
        size_t length = json_string_length(value);
        is_negative = text[0] == '-';
        const char *digits = text + is_negative;
        char *end;
        if (*digits < '0' || *digits > '9' || strlen(text) != length)
            return false;
        errno = 0;
        magnitude = strtoull(digits, &end, 10);
        if (*end || errno)
            return false;
    } else {
        return false;
    }
    uint64_t half = 1ull << (bits - 1);
    if (!is_signed && ((is_negative && magnitude > 0) || (bits < 64 && magnitude >> bits)))
        return false;
    if (is_signed && magnitude > (is_negative ? half : half - 1))
        return false;
    *ret_value = is_negative ? 0 - magnitude : magnitude;
    return true;
}

static bool read_real(const json_t *value, double *ret_value)
{
    if (json_is_number(value)) {
        *ret_value = json_number_value(value);
        return true;
    }
    const char *text = json_is_string(value) ? json_string_value(value) : "";
    if (strcmp(text, "NaN") == 0)
        *ret_value = (double)NAN;
    else if (strcmp(text, "Infinity") == 0)
        *ret_value = (double)INFINITY;
    else if (strcmp(text, "-Infinity") == 0)
        *ret_value = -(double)INFINITY;
    else
        return false;
    return true;
}

static int read_enum(const struct types *types, const struct type_field *field, const json_t *value,
                     uint64_t *ret_value, struct err *e)
{
    const struct type *type = &types->at[field->nested];
    if (!json_is_string(value))
        return read_integer(value, true, 32, ret_value) ? 0 : is_no(field, "value of its enum", e);
    struct suggestion near = suggest_for(json_string_value(value));
    for (uint32_t i = 0; i < type->field_count; i++) {
        const struct type_field *named = &types_fields(types, type)[i];
        if (strcmp(named->name, json_string_value(value)) == 0) {
            *ret_value = (uint64_t)(int64_t)named->number;
            return 0;
        }
        suggest_offer(&near, named->name);
    }
    (void)err_set(e, -EINVAL, "field %s: %s has no value '%s'", field->name, type->name, json_string_value(value));
    return near.best ? err_hint(e, "did you mean '%s'?", near.best) : -EINVAL;
}

static int pack_message(const struct types *types, uint32_t type, const json_t *object, struct out *out, struct err *e);

static int pack_nested(const struct types *types, const struct type_field *field, const json_t *value, struct out *out,
                       struct err *e)
{
    struct out inner = {0};
    int result = pack_message(types, field->nested, value, &inner, e);
    if (result == 0)
        result = put_varint(out, inner.used, e);
    if (result == 0)
        result = put(out, inner.at, inner.used, e);
    free(inner.at);
    return result < 0 ? err_prefix(e, "%s", field->name) : 0;
}

static int pack_bytes(const struct type_field *field, const json_t *value, struct out *out, struct err *e)
{
    if (!json_is_string(value))
        return is_no(field, "string of base64", e);
    size_t length = json_string_length(value);
    FREE_AUTO uint8_t *bytes = malloc(length + 1);
    ssize_t count = bytes ? base64_decode(json_string_value(value), length, bytes) : -1;
    if (count < 0)
        return bytes ? is_no(field, "string of base64", e) : err_set(e, -ENOMEM, "no memory for the message");
    int result = put_varint(out, (uint64_t)count, e);
    return result < 0 ? result : put(out, bytes, (size_t)count, e);
}

static int pack_integer(const struct type_field *field, const json_t *value, struct out *out, struct err *e)
{
    bool is_64 = field->type == FIELD_INT64 || field->type == FIELD_SINT64 || field->type == FIELD_SFIXED64 ||
                 field->type == FIELD_UINT64 || field->type == FIELD_FIXED64;
    bool is_signed = field->type != FIELD_UINT32 && field->type != FIELD_FIXED32 && field->type != FIELD_UINT64 &&
                     field->type != FIELD_FIXED64;
    uint64_t number;
    if (!read_integer(value, is_signed, is_64 ? 64 : 32, &number))
        return is_no(field, types_field_name(field->type), e);
    if (field->type == FIELD_SINT32 || field->type == FIELD_SINT64)
        number = number << 1 ^ (number >> 63 ? UINT64_MAX : 0);
    enum wire_type wire = wire_type_of(field->type);
    return wire == WIRE_VARINT ? put_varint(out, number, e) : put_little(out, number, wire == WIRE_64 ? 8 : 4, e);
}

static int pack_real(const struct type_field *field, const json_t *value, struct out *out, struct err *e)
{
    double real;
    uint64_t bits = 0;
    if (!read_real(value, &real))
        return is_no(field, "number", e);
    if (field->type == FIELD_DOUBLE) {
        memcpy(&bits, &real, sizeof real);
        return put_little(out, bits, 8, e);
    }
    float narrow = (float)real;
    uint32_t narrow_bits;
    memcpy(&narrow_bits, &narrow, sizeof narrow);
    return put_little(out, narrow_bits, 4, e);
}

/* One value with its tag. */
static int pack_value(const struct types *types, const struct type_field *field, const json_t *value, struct out *out,
                      struct err *e)
{
    uint64_t number = 0;
    int result = put_tag(out, field->number, wire_type_of(field->type), e);
    if (result < 0)
        return result;
    switch (field->type) {
    case FIELD_MESSAGE:
        return pack_nested(types, field, value, out, e);
    case FIELD_BYTES:
        return pack_bytes(field, value, out, e);
    case FIELD_STRING:
        if (!json_is_string(value))
            return is_no(field, "string", e);
        result = put_varint(out, json_string_length(value), e);
        return result < 0 ? result : put(out, json_string_value(value), json_string_length(value), e);
    case FIELD_BOOL:
        return json_is_boolean(value) ? put_varint(out, json_is_true(value), e) : is_no(field, "true or false", e);
    case FIELD_ENUM:
        result = read_enum(types, field, value, &number, e);
        return result < 0 ? result : put_varint(out, number, e);
    case FIELD_FLOAT:
    case FIELD_DOUBLE:
        return pack_real(field, value, out, e);
    default:
        return pack_integer(field, value, out, e);
    }
}

static int unknown_field(const struct types *types, const struct type *type, const char *key, struct err *e)
{
    struct suggestion near = suggest_for(key);
    for (uint32_t i = 0; i < type->field_count; i++)
        suggest_offer(&near, types_fields(types, type)[i].name);
    (void)err_set(e, -EINVAL, "%s has no field '%s'", type->name, key);
    return near.best ? err_hint(e, "did you mean '%s'?", near.best) : -EINVAL;
}

static int pack_message(const struct types *types, uint32_t index, const json_t *object, struct out *out, struct err *e)
{
    const struct type *type = &types->at[index];
    const char *key;
    json_t *value;
    if (!json_is_object(object))
        return err_set(e, -EINVAL, "%s is an object, {...}", type->name);
    json_object_foreach((json_t *)(uintptr_t)object, key, value)
    {
        const struct type_field *field = NULL;
        for (uint32_t i = 0; !field && i < type->field_count; i++)
            if (strcmp(types_fields(types, type)[i].name, key) == 0)
                field = &types_fields(types, type)[i];
        if (!field)
            return unknown_field(types, type, key, e);
        if (json_is_null(value))
            continue; /* left out */
        if (field->is_many != json_is_array(value))
            return is_no(field, field->is_many ? "array, [...]" : types_field_name(field->type), e);
        int result = field->is_many ? 0 : pack_value(types, field, value, out, e);
        for (size_t i = 0; field->is_many && result == 0 && i < json_array_size(value); i++)
            result = pack_value(types, field, json_array_get(value, i), out, e);
        if (result < 0)
            return result;
    }
    return 0;
}

int rpcjson_pack(const struct types *types, uint32_t type, const json_t *object, uint8_t **ret_bytes, size_t *ret_count,
                 struct err *e)
{
    struct out out = {0};
    int result = pack_message(types, type, object, &out, e);
    if (result < 0) {
        free(out.at);
        return result;
    }
    *ret_bytes = out.at;
    *ret_count = out.used;
    return 0;
}

/* ---- unpacking ---- */

struct in {
    const uint8_t *at, *end;
    uint32_t *values_left; /* of the whole reply */
};

static int broken(struct err *e)
{
    return err_set(e, -EPROTO, "the service's reply is no message of its type");
}

static bool get_varint(struct in *in, uint64_t *ret_value)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 70 && in->at < in->end; shift += 7) {
        uint8_t byte = *in->at++;
        if (shift == 63 && byte > 1)
            return false; /* more than 64 bits */
        value |= (uint64_t)(byte & 0x7F) << shift;
        if (!(byte & 0x80)) {
            *ret_value = value;
            return true;
        }
    }
    return false;
}

static bool get_little(struct in *in, size_t count, uint64_t *ret_value)
{
    uint64_t value = 0;
    if ((size_t)(in->end - in->at) < count)
        return false;
    for (size_t i = 0; i < count; i++)
        value |= (uint64_t)in->at[i] << (8 * i);
    in->at += count;
    *ret_value = value;
    return true;
}

static bool get_bytes(struct in *in, struct in *ret_part)
{
    uint64_t count;
    if (!get_varint(in, &count) || count > (uint64_t)(in->end - in->at))
        return false;
    *ret_part = (struct in){.at = in->at, .end = in->at + count, .values_left = in->values_left};
    in->at += count;
    return true;
}

static bool skip(struct in *in, uint64_t wire)
{
    uint64_t ignored;
    struct in part;
    switch (wire) {
    case WIRE_VARINT:
        return get_varint(in, &ignored);
    case WIRE_64:
        return get_little(in, 8, &ignored);
    case WIRE_32:
        return get_little(in, 4, &ignored);
    case WIRE_BYTES:
        return get_bytes(in, &part);
    default:
        return false; /* groups are of an older format */
    }
}

static json_t *enum_json(const struct types *types, const struct type_field *field, uint64_t number)
{
    const struct type *type = &types->at[field->nested];
    for (uint32_t i = 0; i < type->field_count; i++)
        if (types_fields(types, type)[i].number == (int32_t)number)
            return json_string(types_fields(types, type)[i].name);
    return json_integer((int32_t)number);
}

static json_t *real_json(double real)
{
    return isnan(real)   ? json_string("NaN")
           : isinf(real) ? json_string(real > 0 ? "Infinity" : "-Infinity")
                         : json_real(real);
}

/* A value that is no bytes, string or message, from its bits on the wire. */
static json_t *number_json(const struct types *types, const struct type_field *field, uint64_t bits)
{
    uint32_t low = (uint32_t)bits;
    float narrow;
    double real;
    switch (field->type) {
    case FIELD_INT32:
    case FIELD_SFIXED32:
        return json_integer((int32_t)low);
    case FIELD_SINT32:
        return json_integer((int32_t)(low >> 1 ^ (0 - (low & 1))));
    case FIELD_SINT64:
        return json_integer((json_int_t)(bits >> 1 ^ (0 - (bits & 1))));
    case FIELD_UINT32:
    case FIELD_FIXED32:
        return json_integer(low);
    case FIELD_UINT64:
    case FIELD_FIXED64:
        if (bits > INT64_MAX) {
            char text[24];
            (void)snprintf(text, sizeof text, "%llu", (unsigned long long)bits);
            return json_string(text);
        }
        return json_integer((json_int_t)bits);
    case FIELD_BOOL:
        return json_boolean(bits != 0);
    case FIELD_ENUM:
        return enum_json(types, field, bits);
    case FIELD_FLOAT:
        memcpy(&narrow, &low, sizeof narrow);
        return real_json((double)narrow);
    case FIELD_DOUBLE:
        memcpy(&real, &bits, sizeof real);
        return real_json(real);
    default:
        return json_integer((json_int_t)bits);
    }
}

static int unpack_message(const struct types *types, uint32_t index, struct in *in, json_t **ret_object, struct err *e);

/* One value, of the wire type that its type has. */
static int unpack_value(const struct types *types, const struct type_field *field, struct in *in, json_t **ret_value,
                        struct err *e)
{
    enum wire_type wire = wire_type_of(field->type);
    struct in part;
    uint64_t bits = 0;
    if ((*in->values_left)-- == 0)
        return err_set(e, -E2BIG, "the service's reply has more than %u values", VALUES_MAX);
    if (wire == WIRE_BYTES) {
        if (!get_bytes(in, &part))
            return broken(e);
        if (field->type == FIELD_MESSAGE)
            return unpack_message(types, field->nested, &part, ret_value, e);
        size_t count = (size_t)(part.end - part.at);
        *ret_value =
            field->type == FIELD_BYTES ? base64_json(part.at, count) : json_stringn((const char *)part.at, count);
        if (!*ret_value && field->type == FIELD_STRING)
            return err_set(e, -EPROTO, "field %s of the service's reply is no UTF-8", field->name);
    } else {
        bool is_there = wire == WIRE_VARINT ? get_varint(in, &bits) : get_little(in, wire == WIRE_64 ? 8 : 4, &bits);
        if (!is_there)
            return broken(e);
        *ret_value = number_json(types, field, bits);
    }
    return *ret_value ? 0 : err_set(e, -ENOMEM, "no memory for the reply");
}

static int keep(json_t *object, const struct type_field *field, json_t *value, struct err *e)
{
    int result = field->is_many ? json_array_append_new(json_object_get(object, field->name), value)
                                : json_object_set_new(object, field->name, value); /* the last one counts */
    return result < 0 ? err_set(e, -ENOMEM, "no memory for the reply") : 0;
}

/* Many numbers may come packed into one string of bytes, whatever the schema said. */
static int unpack_packed(const struct types *types, const struct type_field *field, struct in *in, json_t *object,
                         struct err *e)
{
    struct in part;
    if (!get_bytes(in, &part))
        return broken(e);
    while (part.at < part.end) {
        json_t *value = NULL;
        int result = unpack_value(types, field, &part, &value, e);
        if (result == 0)
            result = keep(object, field, value, e);
        if (result < 0)
            return result;
    }
    return 0;
}

static int unpack_field(const struct types *types, const struct type *type, struct in *in, json_t *object,
                        struct err *e)
{
    uint64_t tag;
    if (!get_varint(in, &tag) || tag >> 3 == 0 || tag >> 3 > INT32_MAX)
        return broken(e);
    const struct type_field *field = NULL;
    for (uint32_t i = 0; !field && i < type->field_count; i++)
        if ((uint64_t)types_fields(types, type)[i].number == tag >> 3)
            field = &types_fields(types, type)[i];
    if (!field)
        return skip(in, tag & 7) ? 0 : broken(e); /* of a newer schema */
    enum wire_type wire = wire_type_of(field->type);
    if (field->is_many && wire != WIRE_BYTES && (tag & 7) == WIRE_BYTES)
        return unpack_packed(types, field, in, object, e);
    if ((tag & 7) != wire)
        return broken(e);
    json_t *value = NULL;
    int result = unpack_value(types, field, in, &value, e);
    return result < 0 ? result : keep(object, field, value, e);
}

/* Every field, as it is when the message leaves it out. */
static json_t *defaults(const struct types *types, const struct type *type, uint32_t *values_left)
{
    if (*values_left < type->field_count)
        return NULL;
    *values_left -= type->field_count;
    json_t *object = json_object();
    for (uint32_t i = 0; object && i < type->field_count; i++) {
        const struct type_field *field = &types_fields(types, type)[i];
        json_t *value = field->is_many                                              ? json_array()
                        : field->type == FIELD_MESSAGE                              ? json_null()
                        : field->type == FIELD_STRING || field->type == FIELD_BYTES ? json_string("")
                                                                                    : number_json(types, field, 0);
        (void)json_object_set_new(object, field->name, value);
    }
    return object;
}

static int unpack_message(const struct types *types, uint32_t index, struct in *in, json_t **ret_object, struct err *e)
{
    const struct type *type = &types->at[index];
    json_t *object = defaults(types, type, in->values_left);
    int result = object ? 0 : err_set(e, -E2BIG, "the service's reply has more than %u values", VALUES_MAX);
    while (result == 0 && in->at < in->end)
        result = unpack_field(types, type, in, object, e);
    if (result < 0) {
        json_decref(object);
        return result;
    }
    *ret_object = object;
    return 0;
}

int rpcjson_unpack(const struct types *types, uint32_t type, const uint8_t *bytes, size_t count, json_t **ret_object,
                   struct err *e)
{
    uint32_t values_left = VALUES_MAX;
    const uint8_t *at = count > 0 ? bytes : (const uint8_t *)""; /* no arithmetic on what may be NULL */
    struct in in = {.at = at, .end = at + count, .values_left = &values_left};
    return unpack_message(types, type, &in, ret_object, e);
}

/* ---- showing ---- */

/* Bytes of the UTF-8 character that text begins with (jansson gives no other), and its code. */
static size_t character(const unsigned char *text, uint32_t *ret_code)
{
    size_t length = text[0] < 0x80 ? 1 : text[0] < 0xE0 ? 2 : text[0] < 0xF0 ? 3 : 4;
    uint32_t code = length == 1 ? text[0] : text[0] & (0xFFu >> (length + 1));
    for (size_t i = 1; i < length; i++)
        code = code << 6 | (text[i] & 0x3F);
    *ret_code = code;
    return length;
}

/* JSON itself escapes below 0x20 only. */
static bool is_harmful(uint32_t code)
{
    return (code >= 0x7F && code < 0xA0) || code == 0x200E || code == 0x200F || code == 0x61C ||
           (code >= 0x2028 && code <= 0x202E) || (code >= 0x2066 && code <= 0x2069);
}

char *rpcjson_show(const json_t *object)
{
    FREE_AUTO char *text = json_dumps(object, JSON_INDENT(2) | JSON_REAL_PRECISION(17));
    char *shown = text ? malloc(strlen(text) * 6 + 1) : NULL; /* "\uXXXX" for at least one byte */
    size_t used = 0;
    for (const unsigned char *at = (const unsigned char *)text; shown && *at;) {
        uint32_t code;
        size_t length = character(at, &code);
        if (is_harmful(code))
            used += (size_t)sprintf(shown + used, "\\u%04x", code);
        else
            memcpy(shown + used, at, length);
        used += is_harmful(code) ? 0 : length;
        at += length;
    }
    if (shown)
        shown[used] = '\0';
    return shown;
}
