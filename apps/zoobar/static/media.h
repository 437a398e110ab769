/*
 * media.h - the files that static serves: read once at start, then found by exact name.
 *
 *  I1  After media_load() nothing of the file system is used any more: no request can name a file that was not loaded.
 *  I2  Only regular files directly in the folder are loaded: a symbolic link is an error, folders in it are left out.
 *  I3  What is loaded is bounded: MEDIA_BYTES_MAX in all, MEDIA_FILE_BYTES_MAX each (one reply), MEDIA_FILES_MAX.
 *
 * media_load() reads files; the rest is pure.  Caller: static.c.
 */
#ifndef ZOOBAR_STATIC_MEDIA_H
#define ZOOBAR_STATIC_MEDIA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rpc/base/err.h"

#define MEDIA_BYTES_MAX (16u << 20)
#define MEDIA_FILE_BYTES_MAX (960u << 10) /* with its fields it fits a message of 1 MiB */
#define MEDIA_FILES_MAX 512u
#define MEDIA_NAME_BYTES_MAX 128u
#define MEDIA_ETAG_BYTES 19u /* 16 hexadecimal digits, quotes, NUL */

struct media_file {
    char name[MEDIA_NAME_BYTES_MAX + 1];
    const char *type; /* a constant */
    char etag[MEDIA_ETAG_BYTES];
    uint8_t *data;
    size_t bytes;
};

struct media {
    struct media_file *files;
    size_t count;
    size_t bytes; /* of all */
};

/* Reads all files of the folder root.  -errno with e naming the file; media is empty then. */
int media_load(const char *root, struct media *media, struct err *e);
void media_free(struct media *media);

/* NULL when there is none of exactly that name. */
const struct media_file *media_find(const struct media *media, const char *name);

/* By the name's extension; "application/octet-stream" for one that is not known. */
const char *media_type(const char *name);

void media_etag(const void *data, size_t bytes, char etag[MEDIA_ETAG_BYTES]);

/* Whether an If-None-Match field ("*", or a list of tags, W/ ignored: RFC 9110 section 13.1.2) holds etag. */
bool media_tag_matches(const char *if_none_match, const char *etag);

#endif
