/*
 * out.h - a page while it is written: a buffer that grows to a limit, and one function per place that a value may go.
 *
 * Pure.  Called by the code that template_gen makes from templates/, and by pages.c for Location and cookies.
 *
 * Invariants
 *  I1  A failure (no memory, over OUT_BYTES_MAX) sticks: later writes do nothing, and out_is_ok() says so once, at the
 *      end.  A page is sent whole or not at all.
 *  I2  What out_text, out_attribute, out_query and out_js_string write cannot end the place that it is written to,
 *      whatever bytes the value holds.
 */
#ifndef ZOOBAR_DYNAMIC_OUT_H
#define ZOOBAR_DYNAMIC_OUT_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OUT_BYTES_MAX (768u << 10) /* with its envelope below the 1 MiB of one message */

struct out {
    ProtobufCAllocator *allocator; /* an arena: outgrown buffers are given back through it, which may do nothing */
    char *bytes;                   /* used of size bytes; not NUL-terminated */
    size_t used, size;
    bool is_failed;
};

void out_init(struct out *out, ProtobufCAllocator *allocator);
bool out_is_ok(const struct out *out);

/* As it is: our own markup, and what a service vouches for. */
void out_raw(struct out *out, const char *bytes, size_t byte_count);
/* The text as a NUL-terminated string of the same allocator; NULL after a failure. */
char *out_string(struct out *out);

/* A value that is NULL prints nothing. */
void out_int(struct out *out, int64_t value);
void out_text(struct out *out, const char *value);      /* between tags, also in <title> and <textarea> */
void out_attribute(struct out *out, const char *value); /* in a double-quoted attribute */
void out_query(struct out *out, const char *value);     /* a name or value behind the "?" of an URL; RFC 3986 */
void out_js_string(struct out *out, const char *value); /* in a double-quoted string of a script */

/* The same for a page's address as the value of a parameter: "/" is kept, so that people can read it. */
void out_query_path(struct out *out, const char *value);
/* A path for a Location header: what no URL may hold is percent-encoded, what is encoded already stays. */
void out_location(struct out *out, const char *value);

#endif
