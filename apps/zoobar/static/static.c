/*
 * static.c - serves files that never change while it runs.
 *
 * Configuration ([service.static.config]):
 *   root = "/media"            the folder, as the list's `files` put it into this service's root
 *   path = "/zoobar/media/"    /zoobar/media/NAME is the file NAME of the folder; /favicon.ico is its favicon.ico
 *   max_age_s = 300            how long a browser may use a file without asking
 *
 * Everything is in memory before READY; a request is a look-up of an exact name.
 */
#include <errno.h>
#include <string.h>

#include "apps/zoobar/api/web.rpc.h"
#include "apps/zoobar/static/media.h"
#include "rpc/base/log.h"
#include "rpc/rpc.h"

WEB_SCHEMA_NOTE;

static struct media media;
static const char *path_prefix;
static long long max_age_s;

static int start(struct err *e)
{
    path_prefix = rpc_config_string("path", "/zoobar/media/");
    max_age_s = rpc_config_int("max_age_s", 300);
    if (max_age_s < 0 || max_age_s > 31536000)
        return err_set(e, -EINVAL, "config max_age_s: %lld is not between 0 and a year", max_age_s);
    const char *root = rpc_path(rpc_config_string("root", "/media"));
    int result = root ? media_load(root, &media, e) : err_set(e, -ENOMEM, "no memory for a path");
    if (result == 0)
        log_line("%zu files, %zu bytes", media.count, media.bytes);
    return result;
}

static const struct media_file *find(const char *path)
{
    size_t prefix_bytes = strlen(path_prefix);
    if (strcmp(path, "/favicon.ico") == 0)
        return media_find(&media, "favicon.ico");
    if (strncmp(path, path_prefix, prefix_bytes) != 0)
        return NULL;
    return media_find(&media, path + prefix_bytes);
}

static enum rpc_status plain(WebHandleReply *reply, unsigned status, const char *text)
{
    reply->status = status;
    reply->content_type = (char *)"text/plain; charset=utf-8";
    reply->body.data = (uint8_t *)text; /* only read: it is packed */
    reply->body.len = strlen(text);
    return RPC_OK;
}

static enum rpc_status handle(struct rpc_call *call, const WebHandleRequest *request, WebHandleReply *reply)
{
    bool is_head = strcmp(request->method, "HEAD") == 0;
    const struct media_file *file = find(request->path);
    if (!file)
        return plain(reply, 404, "There is no such file.\n");
    if (!is_head && strcmp(request->method, "GET") != 0) {
        reply->allow = (char *)"GET, HEAD";
        return plain(reply, 405, "Files can only be read.\n");
    }
    reply->etag = (char *)file->etag;
    reply->cache_control = rpc_printf("public, max-age=%lld", max_age_s);
    if (!reply->cache_control)
        return rpc_fail(call, RPC_RESOURCE_EXHAUSTED, "no memory for the reply");
    if (media_tag_matches(request->if_none_match, file->etag)) {
        reply->status = 304;
        return RPC_OK;
    }
    reply->status = 200;
    reply->content_type = (char *)file->type;
    /* A file is a document of its own: nothing in it runs or loads, an SVG's inline styles excepted. */
    reply->content_security_policy =
        (char *)"default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; sandbox";
    reply->body.data = file->data; /* with HEAD too: its length is sent, the dispatcher leaves the bytes out */
    reply->body.len = file->bytes;
    return RPC_OK;
}

int main(int argc, char **argv)
{
    static const struct web_handlers handlers = {.handle = handle};
    const struct rpc_interface interfaces[] = {web_interface(&handlers)};
    const struct rpc_service service = {.interfaces = interfaces, .interface_count = 1, .start = start};
    return rpc_main(argc, argv, &service);
}
