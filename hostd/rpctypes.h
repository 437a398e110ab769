/*
 * rpctypes.h - the methods of a service's binary with the fields of their messages, from its schema notes.
 *
 * Beside the note of its methods (schema.h) a binary has one per interface (type 2) with lines like
 *
 *     message BankLogReply
 *     1 entries many message BankLogEntry
 *     enum Color
 *     0 RED
 *
 * "NUMBER NAME one|many TYPE [NAME OF MESSAGE OR ENUM]" are the fields of the message above them, "NUMBER NAME" the
 * values of the enum.  rpc/rpcgen.c writes them.
 *
 * Pure over (image, bytes), strict, trusts nothing in the image.
 *
 * Invariants, of what types_read() has accepted
 *  I1  Names and numbers are unique in their message or enum; every nested type is there and of the right kind.
 *  I2  No message contains itself, and nesting ends at TYPES_NESTING_MAX: who walks a message may recurse.
 *
 * Caller: `hostd call`, without privileges; tests and the fuzzer.
 */
#ifndef HOSTD_RPCTYPES_H
#define HOSTD_RPCTYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hostd/schema.h"

#define TYPES_MAX 256u /* messages and enums of one binary */
#define TYPES_FIELDS_MAX 2048u
#define TYPES_FIELD_NAME_BYTES 64u
#define TYPES_NESTING_MAX 32u
#define TYPES_NONE UINT32_MAX

enum field_type {
    FIELD_INT32,
    FIELD_SINT32,
    FIELD_SFIXED32,
    FIELD_INT64,
    FIELD_SINT64,
    FIELD_SFIXED64,
    FIELD_UINT32,
    FIELD_FIXED32,
    FIELD_UINT64,
    FIELD_FIXED64,
    FIELD_FLOAT,
    FIELD_DOUBLE,
    FIELD_BOOL,
    FIELD_ENUM,
    FIELD_STRING,
    FIELD_BYTES,
    FIELD_MESSAGE,
    FIELD_TYPE_COUNT
};

struct type_field {
    int32_t number; /* of a field, from 1; or the value of an enum's name */
    char name[TYPES_FIELD_NAME_BYTES];
    bool is_many;
    enum field_type type;
    uint32_t nested; /* in types.at, of messages and enums; else TYPES_NONE */
};

struct type {
    char name[SCHEMA_TYPE_NAME_BYTES];
    bool is_enum;
    uint32_t field_first, field_count;
};

struct type_method {
    char name[METHOD_NAME_BYTES];
    uint32_t input, output; /* in types.at */
};

struct types {
    uint32_t count, field_count, method_count;
    struct type at[TYPES_MAX];
    struct type_field fields[TYPES_FIELDS_MAX];
    struct type_method methods[SCHEMA_METHODS_MAX];
};

/*
 * free() *ret_types.  -ENOEXEC: not a program of this machine.  -EINVAL: a note that is malformed, or that
 * contradicts itself.  -E2BIG: more than fits.  -ENOMEM.
 */
int types_read(const void *image, size_t bytes, struct types **ret_types, struct err *e);

/* "int32", "message", ... */
const char *types_field_name(enum field_type type);

static inline const struct type_field *types_fields(const struct types *types, const struct type *type)
{
    return &types->fields[type->field_first];
}

#endif
