/* http_chunk.c - the strict check of a chunked body's framing.  See http_chunk.h for the invariants. */
#include "apps/zoobar/dispatcher/http_chunk.h"

#include "apps/zoobar/dispatcher/http_chars.h"
#include "apps/zoobar/dispatcher/http_head.h"

#define SIZE_DIGITS_MAX 8u /* 32 bits: cannot overflow `left` */

/*
 *  SIZE ─digits─▶ SIZE_LF ─size > 0─▶ DATA ─all─▶ DATA_CR ─▶ DATA_LF ─▶ SIZE
 *                    └──size 0──▶ END_CR ─▶ END_LF ─▶ is_done
 */
enum state { SIZE, SIZE_LF, DATA, DATA_CR, DATA_LF, END_CR, END_LF };

static int refuse(struct http_chunk *chunk, int status, const char *why)
{
    chunk->why = why;
    return status;
}

/* One byte outside of data. */
static int step(struct http_chunk *chunk, unsigned char c)
{
    int digit;
    switch ((enum state)chunk->state) {
    case SIZE:
        digit = hex_value(c);
        if (digit >= 0) {
            if (++chunk->digits > SIZE_DIGITS_MAX)
                return refuse(chunk, 400, "chunk size has too many digits");
            chunk->left = chunk->left << 4 | (uint32_t)digit;
            return 0;
        }
        if (c != '\r' || chunk->digits == 0)
            return refuse(chunk, 400, "chunk size is not digits followed by CR LF");
        chunk->state = SIZE_LF;
        return 0;
    case SIZE_LF:
        if (c != '\n')
            return refuse(chunk, 400, "CR without LF after a chunk size");
        if (chunk->left > HTTP_BODY_BYTES_MAX - chunk->total)
            return refuse(chunk, 413, "body too long");
        chunk->total += chunk->left;
        chunk->state = chunk->left ? DATA : END_CR;
        return 0;
    case DATA_CR:
    case END_CR:
        if (c != '\r')
            return refuse(chunk, 400, chunk->state == END_CR ? "trailer fields" : "no CR LF after a chunk");
        chunk->state = chunk->state == END_CR ? END_LF : DATA_LF;
        return 0;
    case DATA_LF:
    case END_LF:
        if (c != '\n')
            return refuse(chunk, 400, "CR without LF after a chunk");
        chunk->is_done = chunk->state == END_LF;
        chunk->state = SIZE;
        chunk->digits = 0;
        chunk->left = 0;
        return 0;
    case DATA:
        break; /* taken in one piece by the caller of step() */
    }
    return refuse(chunk, 400, "impossible state");
}

int http_chunk_scan(struct http_chunk *chunk, const char *bytes, size_t count, size_t *ret_used)
{
    size_t at = 0;
    while (at < count && !chunk->is_done) {
        if (chunk->state == DATA) {
            size_t piece = count - at < chunk->left ? count - at : chunk->left;
            at += piece;
            chunk->left -= (uint32_t)piece;
            if (chunk->left == 0)
                chunk->state = DATA_CR;
            continue;
        }
        int status = step(chunk, (unsigned char)bytes[at++]);
        if (status)
            return status;
    }
    *ret_used = at;
    return 0;
}
