/*
 * form.h - what a client sent as application/x-www-form-urlencoded: a body, or the query of an URL.
 *
 * Pure.  Called by pages.c.  As in the URL standard: "+" is a space, %XX a byte, and a "%" that no two hex digits
 * follow stands for itself.
 *
 * Invariants
 *  I1  At most FORM_FIELDS_MAX fields are kept, the first ones; of several with one name, the first is seen.
 *  I2  A value whose is_text is set is valid UTF-8 without NUL: only such values may be passed on as strings, since
 *      one that holds a NUL would be cut there and be another value.
 */
#ifndef ZOOBAR_DYNAMIC_FORM_H
#define ZOOBAR_DYNAMIC_FORM_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FORM_FIELDS_MAX 32u /* our largest form has five */

struct form_field {
    const char *name, *value; /* decoded, NUL behind the last byte */
    size_t value_bytes;
    bool is_text;
};

struct form {
    struct form_field fields[FORM_FIELDS_MAX];
    size_t count;
};

/* Memory of the allocator, byte_count + 1 bytes at once.  -ENOMEM. */
int form_parse(struct form *form, const void *bytes, size_t byte_count, ProtobufCAllocator *allocator);

/* NULL when there is none of that name. */
const struct form_field *form_find(const struct form *form, const char *name);

/* Is the Content-Type header that of such a body?  Parameters such as charset are ignored. */
bool form_is_type(const char *content_type);

/*
 * A count of zoobars: decimal digits only, at least 1, within int64.  No sign, no space, no fraction, no exponent.
 * False leaves *ret_amount.
 */
bool form_amount(const char *text, int64_t *ret_amount);

/* Seconds as "2" or "0.25", into ms; more than max_ms is max_ms.  0 for anything else. */
uint32_t form_seconds_ms(const char *text, uint32_t max_ms);

/* May a browser be sent there after the login?  Only to an absolute path of this host: "/x", not "//x", "/\x",
 * "http:x". */
bool form_is_local_path(const char *path);

/* Valid UTF-8 (RFC 3629: no overlong form, no surrogate, nothing above U+10FFFF) without NUL. */
bool form_is_text(const void *bytes, size_t byte_count);

#endif
