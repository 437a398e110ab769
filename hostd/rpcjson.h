/*
 * rpcjson.h - messages as JSON: from JSON to the bytes of a frame, and back.  Pure.
 *
 *     int32 ... uint64   a number, or a decimal number as a string; above 2^63 - 1 always a string
 *     float, double      a number; "NaN", "Infinity", "-Infinity"
 *     bool               true, false
 *     string             UTF-8 without NUL
 *     bytes              a string, base64 with padding
 *     enum               the name of a value, or a number
 *     message            an object, keys are the fields' names; unknown ones are errors with the near name
 *     many               an array
 *
 * Coming back, every field is there: what the message leaves out has its default, or null where that is a message.
 *
 * Invariants
 *  I1  Nothing outside of the bytes is read, and no depth of nesting but the types' own (rpctypes.h, I2).
 *  I2  What rpcjson_show() gives holds no character that moves a cursor or turns a line, whatever the service said.
 *
 * Caller: `hostd call`, without privileges; tests and the fuzzer.
 */
#ifndef HOSTD_RPCJSON_H
#define HOSTD_RPCJSON_H

#include <jansson.h>

#include "hostd/rpctypes.h"

#define RPCJSON_BYTES_MAX (1u << 20) /* of a message: what one frame carries */

/* free() *ret_bytes.  -EINVAL: e names the field, and what it should be.  -E2BIG, -ENOMEM. */
int rpcjson_pack(const struct types *types, uint32_t type, const json_t *object, uint8_t **ret_bytes, size_t *ret_count,
                 struct err *e);

/* json_decref() *ret_object.  -EPROTO: the bytes are no such message.  -E2BIG: it would be too large.  -ENOMEM. */
int rpcjson_unpack(const struct types *types, uint32_t type, const uint8_t *bytes, size_t count, json_t **ret_object,
                   struct err *e);

/* The text, indented, without a newline at its end; free() it.  NULL: no memory. */
char *rpcjson_show(const json_t *object);

#endif
