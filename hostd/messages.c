/*
 * messages.c - what hostd and the PID 1 of a service tell each other (initsvc/contract.h).
 *
 * What PID 1 says about its service becomes an event of the instance, a count of a wire, or a line for whoever watches.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>

#include "hostd/supervise.h"
#include "rpc/base/hash.h"
#include "rpc/base/own.h"

/* ---- to PID 1 ---- */

void tell(struct app *app, uint32_t index, const struct init_message *message)
{
    struct instance *instance = &app->instances[index];
    if (instance->stage_fd < 0)
        return;
    /* A PID 1 that does not read 200 messages is stuck: ending it is what its pidfd then reports. */
    if (send(instance->stage_fd, message, sizeof *message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
        instance_kill(app, index);
}

void tell_renewed(struct app *app, uint32_t link, uint32_t direction)
{
    const struct plan_link *l = &app->plan->links[link];
    struct init_message message = {.kind = INIT_RENEW, .link = direction == LINK_IN ? l->to_end : l->from_end};
    spawn_wire(app, link, direction, &message.wire);
    tell(app, direction == LINK_IN ? l->to : l->from, &message);
}

/* ---- from PID 1 ---- */

/* A callee's listener for one link stands (or could not be made). */
static void link_listening(struct app *app, uint32_t index, const struct init_message *message)
{
    const struct plan_service *service = &app->plan->services[index];
    if (message->link >= service->link_count)
        return;
    uint32_t link = app->plan->service_links[service->link_first + message->link].link;
    struct wire *wire = &app->wires[link];
    if (!wire->is_awaited || app->plan->links[link].to != index)
        return;
    uint32_t caller = app->plan->links[link].from;
    wire->is_awaited = false;
    struct news failed = news_of(NEWS_STAGE, index);
    failed.stage = init_stage_name(STAGE_LISTEN);
    if (message->error.code)
        events_tell(app, &failed, "service '%s', stage listen: link from '%s': %s", SERVICE_NAME(app, index),
                    SERVICE_NAME(app, caller), message->error.text);
    if (app->instances[caller].awaited > 0)
        app->instances[caller].awaited--;
    try_proceed(app, caller);
}

/* Name of a method of the callee by its number; NULL: it has none of that number. */
static const char *method_name(const struct app *app, uint32_t service, uint32_t id)
{
    const struct manifest *manifest = app->plan->manifest;
    const struct manifest_service *callee = app->plan->services[service].manifest;
    for (uint32_t i = 0; i < callee->methods_count; i++) {
        const char *name = manifest_methods(manifest)[callee->methods_first + i].name;
        if (method_id(name) == id)
            return name;
    }
    return NULL;
}

/* Behind what happened: how often, where it was more than once. */
static const char *times(uint32_t count, char text[24])
{
    text[0] = '\0';
    if (count != 1)
        (void)snprintf(text, 24, " (%u times)", count);
    return text;
}

/* One event per note of the callee's librpc, which gathers what was denied for a tenth of a second. */
static void tell_denied(const struct app *app, uint32_t caller, uint32_t callee, uint32_t line,
                        const struct note_up *note)
{
    const char *method = method_name(app, callee, note->method);
    bool is_operator = caller == NEWS_OPERATOR;
    const struct news denied = {.type = NEWS_DENIED,
                                .service = callee,
                                .caller = caller,
                                .callee = callee,
                                .method = method,
                                .count = note->count,
                                .line = line};
    char often[24];
    events_tell(app, &denied, "denied: '%s' called %s of '%s'%s, which the %s does not allow",
                is_operator ? OPERATOR_NAME : SERVICE_NAME(app, caller),
                method ? method : "a method that it does not have", SERVICE_NAME(app, callee),
                times(note->count, often), is_operator ? "operator list" : "link");
}

/* What a service counted of the connections that `hostd call` had to it. */
static void operator_counted(struct app *app, uint32_t index, const struct note_up *note)
{
    struct instance *instance = &app->instances[index];
    const struct manifest_service *service = app->plan->services[index].manifest;
    struct news broken = news_of(NEWS_BROKEN, index);
    char often[24];
    switch (note->kind) {
    case NOTE_DENIED:
        instance->operator_denied += note->count;
        tell_denied(app, NEWS_OPERATOR, index, service->line, note);
        return;
    case NOTE_BROKEN:
        instance->operator_broken += note->count;
        broken.caller = NEWS_OPERATOR;
        broken.callee = index;
        broken.count = note->count;
        events_tell(app, &broken, "protocol broken by the operator, calling '%s': connection closed%s", service->name,
                    times(note->count, often));
        return;
    case NOTE_CALLS:
        instance->operator_calls += note->count;
        return;
    default:
        return;
    }
}

static void tell_broken(const struct app *app, uint32_t index, const struct plan_end *end, const struct note_up *note)
{
    const struct plan_link *link = &app->plan->links[end->link];
    char often[24];
    struct news broken = news_of(NEWS_BROKEN, index);
    broken.caller = link->from;
    broken.callee = link->to;
    broken.count = note->count;
    broken.line = link->manifest->line;
    events_tell(app, &broken, "protocol broken by '%s' on the link from '%s' to '%s': connection closed%s",
                SERVICE_NAME(app, end->direction == LINK_IN ? link->from : link->to), SERVICE_NAME(app, link->from),
                SERVICE_NAME(app, link->to), times(note->count, often));
}

static void counted(struct app *app, uint32_t index, const struct init_message *message)
{
    const struct plan_service *service = &app->plan->services[index];
    if (message->link == OPERATOR_LINK)
        operator_counted(app, index, &message->note);
    if (message->link >= service->link_count)
        return;
    const struct plan_end *end = &app->plan->service_links[service->link_first + message->link];
    struct wire *wire = &app->wires[end->link];
    const struct plan_link *link = &app->plan->links[end->link];
    switch (message->note.kind) {
    case NOTE_DENIED:
        wire->denied_calls += message->note.count;
        tell_denied(app, link->from, link->to, link->manifest->line, &message->note);
        return;
    case NOTE_BROKEN:
        wire->broken += message->note.count;
        tell_broken(app, index, end, &message->note);
        return;
    case NOTE_CALLS:
        if (end->direction == LINK_IN) /* the callee's count; the caller's would be the same calls again */
            wire->calls += message->note.count;
        return;
    default:
        return;
    }
}

static void handle_message(struct app *app, uint32_t index, const struct init_message *message)
{
    struct instance *instance = &app->instances[index];
    switch (message->kind) {
    case INIT_STAGE:
        if (message->error.code)
            note_failure(instance, message->stage, &message->error);
        return;
    case INIT_STARTED:
        instance->service_pid = process_first_child(instance->init_pid);
        return;
    case INIT_LISTENING:
        if (message->link == UINT32_MAX)
            instance_event(app, index, EVENT_LISTENING);
        else
            link_listening(app, index, message);
        return;
    case INIT_IS_READY:
        instance_event(app, index, EVENT_SERVES);
        return;
    case INIT_COUNTS:
        counted(app, index, message);
        return;
    case INIT_EXITED:
        instance->wait_status = (int)message->value;
        instance->has_status = true;
        (void)snprintf(instance->end_why, sizeof instance->end_why, "%.*s", INIT_WHY_BYTES - 1, message->error.text);
        return;
    default:
        return;
    }
}

void read_stage(struct app *app, uint32_t index)
{
    struct instance *instance = &app->instances[index];
    struct init_message message;
    ssize_t got = -1;
    while (instance->stage_fd >= 0 && (got = recv(instance->stage_fd, &message, sizeof message, MSG_DONTWAIT)) > 0) {
        if (got != (ssize_t)sizeof message)
            continue;
        message.error.text[ERR_TEXT_BYTES - 1] = '\0';
        handle_message(app, index, &message);
    }
    if (got == 0 && instance->stage_fd >= 0) /* its end shows by the pidfd; this one would be readable for ever */
        turn_unwatch_stage(app, index);
}
