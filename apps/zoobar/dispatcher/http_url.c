/* http_url.c - the target of a request, taken apart and decoded once.  See http_url.h for the invariants. */
#include "apps/zoobar/dispatcher/http_url.h"

#include <errno.h>
#include <string.h>

#include "apps/zoobar/dispatcher/http_chars.h"

static int refuse(const char **ret_why, const char *why)
{
    *ret_why = why;
    return -EINVAL;
}

/* One decoded byte of raw at *at, which moves on; negative when it is not acceptable. */
static int next_byte(const char *raw, size_t bytes, size_t *at, const char **ret_why)
{
    unsigned char c = (unsigned char)raw[(*at)++];
    if (c == '%') {
        int high = *at < bytes ? hex_value((unsigned char)raw[*at]) : -1;
        int low = *at + 1 < bytes ? hex_value((unsigned char)raw[*at + 1]) : -1;
        if (high < 0 || low < 0)
            return refuse(ret_why, "bad escape in the path");
        *at += 2;
        c = (unsigned char)(high << 4 | low);
        if (c == '/')
            return refuse(ret_why, "escaped slash in the path");
    } else if (c <= 0x20 || c >= 0x7F || c == '#') {
        return refuse(ret_why, "character that must be encoded in the path");
    }
    if (is_control(c))
        return refuse(ret_why, "escaped control character in the path");
    if (c == '\\')
        return refuse(ret_why, "backslash in the path");
    return c;
}

/* path starts with "/". */
static int check_segments(const char *path, size_t bytes, const char **ret_why)
{
    for (size_t at = 1; at <= bytes;) {
        size_t end = at;
        while (end < bytes && path[end] != '/')
            end++;
        size_t length = end - at;
        if (length == 0 && end < bytes)
            return refuse(ret_why, "empty segment in the path");
        if ((length == 1 && path[at] == '.') || (length == 2 && path[at] == '.' && path[at + 1] == '.'))
            return refuse(ret_why, "dot segment in the path");
        at = end + 1;
    }
    return 0;
}

int http_url_parse(const char *target, size_t target_bytes, char *path, size_t path_size, struct http_url *ret_url,
                   const char **ret_why)
{
    if (target_bytes == 0 || target[0] != '/')
        return refuse(ret_why, "target is not in origin form");
    const char *mark = memchr(target, '?', target_bytes);
    struct http_url url = {.raw_path_bytes = mark ? (size_t)(mark - target) : target_bytes};
    url.query_at = mark ? url.raw_path_bytes + 1 : target_bytes;
    for (size_t i = url.query_at; i < target_bytes; i++)
        if ((unsigned char)target[i] <= 0x20 || (unsigned char)target[i] >= 0x7F || target[i] == '#')
            return refuse(ret_why, "character that must be encoded in the query");

    for (size_t at = 0; at < url.raw_path_bytes;) {
        int c = next_byte(target, url.raw_path_bytes, &at, ret_why);
        if (c < 0)
            return -EINVAL;
        if (url.path_bytes + 1 >= path_size)
            return refuse(ret_why, "path too long");
        path[url.path_bytes++] = (char)c;
    }
    path[url.path_bytes] = '\0';
    if (!is_utf8(path, url.path_bytes))
        return refuse(ret_why, "path is not UTF-8");
    int result = check_segments(path, url.path_bytes, ret_why);
    if (result == 0)
        *ret_url = url;
    return result;
}
