/*
 * dispatcher.c - the one service that the outside reaches, and the one that parses what comes from there.
 *
 *   outside ──HTTP/1.x──▶ dispatcher ──Web.Handle──▶ static, dynamic: whoever the routes name
 *
 * Configuration ([service.dispatcher.config]):
 *   [[routes]]                 in order, the first whose pattern matches the decoded path wins; none: 404
 *     pattern  = "^/a(/.*)?$"  POSIX extended regular expression
 *     to       = "dynamic"     a service that the list links dispatcher to, or
 *     redirect = "/a/"         answered with 302
 *   idle_ms = 15000, head_ms = 10000, body_ms = 20000, answer_ms = 20000, send_ms = 20000   see connection.h
 *
 * It serves no interface of its own: nobody inside may call it.
 */
#include <errno.h>
#include <stdio.h>

#include "apps/zoobar/dispatcher/connection.h"
#include "rpc/rpc.h"

#define TIME_MS_MAX 600000

static struct route_table routes;
static struct connection_limits limits;

static int read_time(const char *key, uint32_t usual_ms, uint32_t *ret_ms, struct err *e)
{
    int64_t ms = rpc_config_int(key, usual_ms);
    if (ms < 1 || ms > TIME_MS_MAX)
        return err_set(e, -EINVAL, "config %s: %lld is not between 1 and %d", key, (long long)ms, TIME_MS_MAX);
    *ret_ms = (uint32_t)ms;
    return 0;
}

static const char *route_value(size_t number, const char *name)
{
    char key[64];
    (void)snprintf(key, sizeof key, "routes.%zu.%s", number, name); /* always fits */
    return rpc_config_string(key, NULL);
}

static int read_route(size_t number, struct err *e)
{
    const char *pattern = route_value(number, "pattern"), *to = route_value(number, "to");
    const char *redirect = route_value(number, "redirect");
    if (!pattern)
        return err_set(e, -EINVAL, "it has no pattern");
    if (!to == !redirect)
        return err_set(e, -EINVAL, "pattern '%s' needs either 'to' or 'redirect'", pattern);
    for (const char *c = redirect; c && *c; c++)
        if (*c <= 0x20 || *c == 0x7F)
            return err_set(e, -EINVAL, "redirect of pattern '%s': only printable ASCII can be sent", pattern);
    struct rpc_peer *peer = to ? rpc_peer(to) : NULL;
    if (to && !peer)
        return err_set(e, -EINVAL, "pattern '%s' goes to '%s', to which there is no link", pattern, to);
    return route_add(&routes, pattern, peer, redirect, e);
}

static int start(struct err *e)
{
    size_t count = rpc_config_count("routes");
    for (size_t i = 0; i < count; i++) {
        int result = read_route(i, e);
        if (result)
            return err_prefix(e, "config routes.%zu", i);
    }
    if (count == 0)
        return err_set(e, -EINVAL, "config: no routes");
    int result = read_time("idle_ms", 15000, &limits.idle_ms, e);
    if (result == 0)
        result = read_time("head_ms", 10000, &limits.head_ms, e);
    if (result == 0)
        result = read_time("body_ms", 20000, &limits.body_ms, e);
    if (result == 0)
        result = read_time("answer_ms", 20000, &limits.answer_ms, e);
    if (result == 0)
        result = read_time("send_ms", 20000, &limits.send_ms, e);
    return result;
}

static void serve(const char *ingress, struct rpc_stream *stream)
{
    connection_serve(stream, &routes, &limits);
}

int main(int argc, char **argv)
{
    static const struct rpc_service service = {.start = start, .stream = serve};
    return rpc_main(argc, argv, &service);
}
