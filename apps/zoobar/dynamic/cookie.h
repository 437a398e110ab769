/*
 * cookie.h - the login cookie: PyZoobarLogin=<username>#<token>.
 *
 * Pure.  Called by pages.c.
 *
 * Invariants
 *  I1  The value that is set consists of cookie-octets (RFC 6265, 4.1.1) only: bytes that are none, and "%", are
 *      percent-encoded.  Decoding gives back every user name, byte by byte.
 *  I2  A user name may hold "#" and a token never does: the value is split at the last one.
 *  I3  What is read is a user name and a token that are not empty and are text (form_is_text), or nothing.
 */
#ifndef ZOOBAR_DYNAMIC_COOKIE_H
#define ZOOBAR_DYNAMIC_COOKIE_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>

#define COOKIE_NAME "PyZoobarLogin"

struct login {
    char *username, *token; /* of the allocator */
};

/* The value of a Set-Cookie header that logs in, as a string of the allocator; NULL: no memory. */
char *cookie_set(const char *username, const char *token, ProtobufCAllocator *allocator);

/* The one that logs out. */
const char *cookie_clear(void);

/* Reads a Cookie header ("a=1; PyZoobarLogin=...").  The first cookie of our name counts.  False: not logged in. */
bool cookie_read(const char *header, struct login *ret_login, ProtobufCAllocator *allocator);

#endif
