/* media.c - the files that static serves.  See media.h for the invariants. */
#include "apps/zoobar/static/media.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "rpc/base/own.h"

const char *media_type(const char *name)
{
    static const struct {
        const char *extension, *type;
    } types[] = {
        {"css", "text/css; charset=utf-8"},
        {"js", "text/javascript; charset=utf-8"},
        {"html", "text/html; charset=utf-8"},
        {"txt", "text/plain; charset=utf-8"},
        {"json", "application/json"},
        {"ico", "image/vnd.microsoft.icon"},
        {"svg", "image/svg+xml"},
        {"png", "image/png"},
        {"jpg", "image/jpeg"},
        {"jpeg", "image/jpeg"},
        {"gif", "image/gif"},
        {"webp", "image/webp"},
        {"woff2", "font/woff2"},
        {"pdf", "application/pdf"},
    };
    const char *dot = strrchr(name, '.');
    for (size_t i = 0; dot && i < ARRAY_COUNT(types); i++)
        if (strcmp(dot + 1, types[i].extension) == 0)
            return types[i].type;
    return "application/octet-stream";
}

/* FNV-1a, 64 bits: tells versions of our own files apart; nobody gains by a collision. */
void media_etag(const void *data, size_t bytes, char etag[MEDIA_ETAG_BYTES])
{
    uint64_t hash = 14695981039346656037u;
    for (size_t i = 0; i < bytes; i++)
        hash = (hash ^ ((const uint8_t *)data)[i]) * 1099511628211u;
    (void)snprintf(etag, MEDIA_ETAG_BYTES, "\"%016llx\"", (unsigned long long)hash);
}

bool media_tag_matches(const char *if_none_match, const char *etag)
{
    size_t etag_bytes = strlen(etag);
    const char *at = if_none_match;
    if (strcmp(at, "*") == 0)
        return true;
    while (*at) {
        while (*at == ' ' || *at == '\t' || *at == ',')
            at++;
        if (at[0] == 'W' && at[1] == '/')
            at += 2;
        if (*at != '"')
            return false; /* the end, or no list of tags */
        const char *end = strchr(at + 1, '"');
        if (!end)
            return false;
        if ((size_t)(end + 1 - at) == etag_bytes && memcmp(at, etag, etag_bytes) == 0)
            return true;
        at = end + 1;
    }
    return false;
}

const struct media_file *media_find(const struct media *media, const char *name)
{
    for (size_t i = 0; i < media->count; i++)
        if (strcmp(media->files[i].name, name) == 0)
            return &media->files[i];
    return NULL;
}

void media_free(struct media *media)
{
    for (size_t i = 0; i < media->count; i++)
        free(media->files[i].data);
    free(media->files);
    *media = (struct media){0};
}

/* Exactly bytes, or the file changed while we read. */
static int read_all(int fd, uint8_t *data, size_t bytes)
{
    size_t at = 0;
    while (at < bytes) {
        ssize_t got = read(fd, data + at, bytes - at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        if (got == 0)
            return -EIO;
        at += (size_t)got;
    }
    return 0;
}

static int load_file(int folder_fd, const char *name, struct media *media, struct err *e)
{
    struct stat status;
    if (strlen(name) > MEDIA_NAME_BYTES_MAX)
        return err_set(e, -ENAMETOOLONG, "%s: name longer than %u bytes", name, MEDIA_NAME_BYTES_MAX);
    /* O_NONBLOCK: a pipe in the folder must not hold us up. */
    FD_AUTO int fd = openat(folder_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return err_sys(e, -errno, "%s: open%s", name, errno == ELOOP ? " (symbolic links are not followed)" : "");
    if (fstat(fd, &status) < 0)
        return err_sys(e, -errno, "%s: fstat", name);
    if (S_ISDIR(status.st_mode))
        return 0;
    if (!S_ISREG(status.st_mode))
        return err_set(e, -EINVAL, "%s: not a regular file", name);
    if (status.st_size > MEDIA_FILE_BYTES_MAX)
        return err_set(e, -EFBIG, "%s: larger than %u KiB", name, MEDIA_FILE_BYTES_MAX >> 10);
    if (media->count == MEDIA_FILES_MAX)
        return err_set(e, -EFBIG, "%s: more than %u files", name, MEDIA_FILES_MAX);
    if (media->bytes + (size_t)status.st_size > MEDIA_BYTES_MAX)
        return err_set(e, -EFBIG, "%s: more than %u MiB of files", name, MEDIA_BYTES_MAX >> 20);

    struct media_file file = {.type = media_type(name), .bytes = (size_t)status.st_size};
    FREE_AUTO uint8_t *data = malloc(file.bytes ? file.bytes : 1);
    if (!data)
        return err_set(e, -ENOMEM, "%s: no memory", name);
    int result = read_all(fd, data, file.bytes);
    if (result < 0)
        return err_sys(e, result, "%s: read", name);
    memcpy(file.name, name, strlen(name) + 1);
    media_etag(data, file.bytes, file.etag);
    file.data = data;
    data = NULL;
    media->files[media->count++] = file;
    media->bytes += file.bytes;
    return 0;
}

/* getdents64() and not readdir(): fewer system calls to allow, and no allocation. */
static int load_folder(int folder_fd, struct media *media, struct err *e)
{
    _Alignas(struct dirent64) char entries[4096];
    for (;;) {
        ssize_t got = getdents64(folder_fd, entries, sizeof entries);
        if (got < 0)
            return err_sys(e, -errno, "getdents64");
        if (got == 0)
            return 0;
        for (ssize_t at = 0; at < got;) {
            const struct dirent64 *entry = (const struct dirent64 *)(const void *)(entries + at);
            at += entry->d_reclen;
            if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
                continue;
            int result = load_file(folder_fd, entry->d_name, media, e);
            if (result < 0)
                return result;
        }
    }
}

int media_load(const char *root, struct media *ret_media, struct err *e)
{
    struct media media = {.files = calloc(MEDIA_FILES_MAX, sizeof *media.files)};
    *ret_media = (struct media){0};
    if (!media.files)
        return err_set(e, -ENOMEM, "%s: no memory", root);
    FD_AUTO int folder_fd = openat(AT_FDCWD, root, O_RDONLY | O_CLOEXEC | O_DIRECTORY | O_NOFOLLOW);
    int result = folder_fd < 0 ? err_sys(e, -errno, "open") : load_folder(folder_fd, &media, e);
    if (result < 0) {
        media_free(&media);
        return err_prefix(e, "%s", root);
    }
    *ret_media = media;
    return 0;
}
