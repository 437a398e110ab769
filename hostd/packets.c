/*
 * packets.c - what the filters of wires dropped: read from their counters, and told when it is more than before.
 *
 * Nobody is told by the kernel.  hostd looks when somebody asks (`hostd ps`), and before a wire goes with a service
 * that ended: what was tried on it is not forgotten with it.
 */
#include "hostd/app.h"

static void notice(struct app *app, uint32_t link, uint32_t direction, uint64_t denied)
{
    const struct plan_link *l = &app->plan->links[link];
    uint64_t *seen = &app->wires[link].packets_seen[direction];
    uint64_t more = denied < *seen ? denied : denied - *seen; /* fewer: of a new wire */
    *seen = denied;
    if (more == 0)
        return;
    uint32_t at = direction == LINK_IN ? l->to : l->from;
    struct news packets = news_of(NEWS_PACKETS, at);
    packets.caller = l->from;
    packets.callee = l->to;
    packets.count = more < UINT32_MAX ? (uint32_t)more : UINT32_MAX;
    packets.line = l->manifest->line;
    events_tell(app, &packets, "%u packets dropped on the wire from '%s' to '%s', at the end of '%s'", packets.count,
                SERVICE_NAME(app, l->from), SERVICE_NAME(app, l->to), SERVICE_NAME(app, at));
}

void packets_look(struct app *app, uint32_t link, uint32_t direction, struct net_counters *ret_counters)
{
    const struct plan_link *l = &app->plan->links[link];
    struct init_wire wire;
    *ret_counters = (struct net_counters){0};
    if (app->is_plain || !app->wires[link].is_made)
        return; /* no filter; no wire */
    spawn_wire(app, link, direction, &wire);
    /* A wire that vanishes while we look has counted nothing that anybody could still see. */
    if (net_link_counters(app->instances[direction == LINK_IN ? l->to : l->from].netns_fd, wire.ifname, ret_counters,
                          NULL) == 0)
        notice(app, link, direction, ret_counters->denied);
}

void packets_look_last(struct app *app, uint32_t service)
{
    const struct plan_service *s = &app->plan->services[service];
    struct net_counters counters;
    for (uint32_t i = 0; i < s->link_count; i++) {
        uint32_t link = app->plan->service_links[s->link_first + i].link;
        packets_look(app, link, LINK_IN, &counters);
        packets_look(app, link, LINK_OUT, &counters);
        app->wires[link].packets_seen[LINK_IN] = app->wires[link].packets_seen[LINK_OUT] = 0; /* the next one's */
    }
}
