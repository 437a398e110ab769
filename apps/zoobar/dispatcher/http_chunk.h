/*
 * http_chunk.h - the strict check of a chunked body's framing, before the parser that decodes it.  Pure.
 *
 *  I1  A chunk is 1 to 8 hexadecimal digits, CR LF, that many bytes, CR LF; the last one is of size 0, then CR LF.
 *      No extensions, no trailer fields, no white space: nobody who talks to us sends them, and they are where
 *      parsers differ.
 *  I2  The sizes together are at most HTTP_BODY_BYTES_MAX.
 *  I3  The verdict depends on the bytes alone, not on how they were cut into reads.
 *
 * Caller: http_request.c.
 */
#ifndef ZOOBAR_DISPATCHER_HTTP_CHUNK_H
#define ZOOBAR_DISPATCHER_HTTP_CHUNK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct http_chunk {
    uint8_t state;   /* enum state of http_chunk.c; 0 at the start */
    uint8_t digits;  /* of the size that is being read */
    bool is_done;    /* the whole body was seen */
    uint32_t left;   /* size that is being read, then bytes of data still to come */
    uint32_t total;  /* sizes so far */
    const char *why; /* of a refusal, for the log; a constant */
};

/*
 * Looks at count more bytes.  Returns 0 and how many of them belong to the body in *ret_used (all, unless is_done), or
 * the status to refuse with: 400, 413.
 */
int http_chunk_scan(struct http_chunk *chunk, const char *bytes, size_t count, size_t *ret_used);

#endif
