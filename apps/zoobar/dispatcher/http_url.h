/*
 * http_url.h - the target of a request, taken apart and decoded once.  Pure.
 *
 *  I1  The decoded path is valid UTF-8 without NUL, control characters and backslashes; it starts with "/".
 *  I2  Each of its segments is what its encoded form said: no escape makes a "/" (%2F), and no segment is "." or "..",
 *      encoded or not; no segment but the last is empty ("//" is refused, not collapsed: nothing behind the dispatcher
 *      may disagree with it about which path this is).
 *  I3  Nobody decodes a second time: "%2541" is "%41".
 *
 * Caller: connection.c.
 */
#ifndef ZOOBAR_DISPATCHER_HTTP_URL_H
#define ZOOBAR_DISPATCHER_HTTP_URL_H

#include <stddef.h>

struct http_url {
    size_t raw_path_bytes; /* of the target */
    size_t query_at;       /* in the target, behind the "?"; the target's length when there is none.  Still encoded */
    size_t path_bytes;
};

/*
 * Decodes the path of target into path (NUL-terminated; target_bytes + 1 are always enough).  Returns 0, or -EINVAL
 * with *ret_why (a constant) for a target that is not in origin form or breaks I1 or I2.
 */
int http_url_parse(const char *target, size_t target_bytes, char *path, size_t path_size, struct http_url *ret_url,
                   const char **ret_why);

#endif
