/*
 * adopt.c - takes over what a hostd that died has left running.  Doing.
 *
 *   ledger ─▶ pidfd, start time, namespaces compared ─▶ its PID 1 is asked, over its own socket ─▶ READY
 *                     │ another process, or none                   │ other pid, no answer, stopping
 *                     ▼                                            ▼
 *              died meanwhile: started again by its policy   ended, and started again
 *
 * A wire is kept when the PID 1s of both ends know it, each with the other's generation.  One that only the callee
 * knows yet is told to the caller: the crash came between the two, in a restart of the callee.
 *
 * Invariants
 *  I1  A process that is not what the ledger says it is is not touched.
 *  I2  Until all answers are there nothing has changed but who holds the stage sockets.
 *  I3  What a service does never waits for this.
 */
#include "hostd/adopt.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>

#include "hostd/supervise.h"
#include "rpc/base/clock.h"
#include "rpc/base/own.h"

#define UNNOTED_MAX                                                                                                    \
    16u /* wires of one service that a crash may have cut off; more are a few bytes until its next start */
#define INGRESSES_MAX MANIFEST_INGRESSES_PER_SERVICE_MAX

/* One end of a link, as the PID 1 of that end knows it. */
struct seen {
    bool is_seen;
    struct init_wire wire;
};

struct answer {
    struct init_adopted header;
    struct init_adopted_link links[MANIFEST_LINKS_PER_SERVICE_MAX];
    int ingress_fds[INGRESSES_MAX];
    size_t ingress_count;
    pid_t pid; /* who sent it, by the kernel's word */
};

uint64_t adopt_list_hash(const struct app *app)
{
    const struct manifest *manifest = app->plan->manifest;
    uint64_t hash = ledger_hash(LEDGER_HASH_SEED, manifest, manifest->total_bytes);
    hash = ledger_hash(hash, app->state_dir, strlen(app->state_dir) + 1);
    return ledger_hash(hash, &app->is_plain, sizeof app->is_plain);
}

/* ---- asking ---- */

/* Is it what the ledger says?  Then its pidfd, its namespace, and a question on the way. */
static int ask(struct app *app, uint32_t index, const struct ledger_service *noted)
{
    struct instance *instance = &app->instances[index];
    FD_AUTO int pidfd = -1;
    char path[64];
    int result = process_open(&noted->mark, ADOPT_PROGRAM, &pidfd);
    if (result < 0)
        return result;
    (void)snprintf(path, sizeof path, "/proc/%d/ns/net", (int)noted->mark.pid);
    FD_AUTO int netns_fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat status;
    /* Still alive behind the open: so it was its namespace. */
    if (netns_fd < 0 || fstat(netns_fd, &status) < 0 || status.st_ino != noted->mark.netns || process_has_ended(pidfd))
        return -ESRCH;
    FD_AUTO int stage_fd = -1;
    const struct init_message question = {.kind = INIT_ADOPT};
    if (leftovers_connect(app, noted->name, &stage_fd) == 0 &&
        send(stage_fd, &question, sizeof question, MSG_NOSIGNAL) < 0)
        fd_close(&stage_fd); /* then nothing answers, and it is ended */
    instance->mark = noted->mark;
    instance->init_pid = noted->mark.pid;
    instance->pidfd = fd_take(&pidfd);
    instance->netns_fd = fd_take(&netns_fd);
    instance->stage_fd = fd_take(&stage_fd);
    return 0;
}

static void take_control(struct msghdr *message, struct answer *answer)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
        if (c->cmsg_level != SOL_SOCKET)
            continue;
        if (c->cmsg_type == SCM_CREDENTIALS) {
            struct ucred sender;
            memcpy(&sender, CMSG_DATA(c), sizeof sender);
            answer->pid = sender.pid;
        } else if (c->cmsg_type == SCM_RIGHTS) {
            answer->ingress_count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
            memcpy(answer->ingress_fds, CMSG_DATA(c), answer->ingress_count * sizeof(int));
        }
    }
}

static int receive(int fd, uint64_t until_ms, struct answer *answer)
{
    uint64_t now = clock_ms();
    struct pollfd readable = {.fd = fd, .events = POLLIN};
    if (fd < 0 || poll(&readable, 1, until_ms > now ? (int)(until_ms - now) : 0) != 1)
        return -ETIMEDOUT;
    union {
        char bytes[CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(INGRESSES_MAX * sizeof(int))];
        struct cmsghdr align;
    } control;
    struct iovec data[] = {{.iov_base = &answer->header, .iov_len = sizeof answer->header},
                           {.iov_base = answer->links, .iov_len = sizeof answer->links}};
    struct msghdr message = {
        .msg_iov = data, .msg_iovlen = ARRAY_COUNT(data), .msg_control = &control, .msg_controllen = sizeof control};
    answer->pid = 0;
    answer->ingress_count = 0;
    ssize_t got = recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (got < 0)
        return -errno;
    take_control(&message, answer);
    const struct init_adopted *header = &answer->header;
    if ((size_t)got < sizeof *header || header->kind != INIT_ADOPTED || message.msg_flags & (MSG_TRUNC | MSG_CTRUNC) ||
        (size_t)got != sizeof *header + header->link_count * sizeof answer->links[0])
        return -EPROTO;
    return 0;
}

static void close_ingresses(struct answer *answer)
{
    for (size_t i = 0; i < answer->ingress_count; i++)
        fd_close(&answer->ingress_fds[i]);
}

/* What its PID 1 says, into instance, links and ingresses. */
static int take_answer(struct app *app, uint32_t index, struct answer *answer, struct seen (*seen)[2])
{
    struct instance *instance = &app->instances[index];
    const struct plan_service *service = &app->plan->services[index];
    const struct init_adopted *header = &answer->header;
    if (answer->pid != instance->init_pid)
        return -ESRCH;
    if (!(header->flags & INIT_ADOPTED_READY) || header->flags & INIT_ADOPTED_STOPPING ||
        header->link_count != service->link_count || answer->ingress_count != service->manifest->ingress_count)
        return -EPROTO;
    instance->generation = header->generation;
    instance->service_pid = process_first_child(instance->init_pid);
    instance->ready_at_ms = clock_ms() - header->ready_ms;
    instance->operator_calls = header->operator_counts.calls;
    instance->operator_denied = header->operator_counts.denied;
    instance->operator_broken = header->operator_counts.broken;
    for (uint32_t i = 0; i < service->link_count; i++) {
        const struct plan_end *end = &app->plan->service_links[service->link_first + i];
        seen[end->link][end->direction] = (struct seen){.is_seen = true, .wire = answer->links[i].wire};
        if (end->direction == LINK_OUT)
            continue; /* the callee's counts are the ones that are shown */
        const struct init_counts *counts = &answer->links[i].counts;
        app->wires[end->link].calls = counts->calls;
        app->wires[end->link].denied_calls = counts->denied;
        app->wires[end->link].broken = counts->broken;
    }
    for (size_t i = 0; i < answer->ingress_count; i++)
        app->ingress_fds[service->manifest->ingress_first + i] = fd_take(&answer->ingress_fds[i]);
    if (header->alone_ms > app->alone_ms)
        app->alone_ms = header->alone_ms;
    return 0;
}

/* ---- wires ---- */

/* The number of a wire by its address, if name and address are those of that number. */
static uint32_t wire_number(const struct init_wire *wire, uint32_t direction)
{
    char ifname[PLAN_IFNAME_BYTES];
    uint32_t number = (wire->own_address - PLAN_NETWORK) / 2 % PLAN_NETWORK_PAIRS_MAX;
    plan_ifname(ifname, direction, number);
    bool is_its =
        wire->own_address == plan_address(direction, number) && strncmp(wire->ifname, ifname, sizeof ifname) == 0;
    return is_its ? number : UINT32_MAX;
}

static void forget(const struct app *app, uint32_t service, uint32_t direction, uint32_t number)
{
    char ifname[PLAN_IFNAME_BYTES];
    struct err e;
    struct news news = news_of(NEWS_OTHER, service);
    int netns_fd = app->instances[service].netns_fd;
    plan_ifname(ifname, direction, number);
    if (netns_fd >= 0 && number != UINT32_MAX && net_link_forget(netns_fd, ifname, &e) < 0)
        events_tell(app, &news, "service '%s': %s", SERVICE_NAME(app, service), e.text);
}

/* In the middle of its start, when the ledger was written. */
static bool was_coming_up(const struct app *app, uint32_t service)
{
    const struct ledger_service *noted = ledger_find(app->ledger, SERVICE_NAME(app, service));
    return noted && !app->instances[service].is_adopted &&
           (noted->state == INSTANCE_STARTING || noted->state == INSTANCE_LISTENING ||
            noted->state == INSTANCE_CONNECTING);
}

static bool is_in_use(const struct app *app, uint32_t number)
{
    for (uint32_t i = 0; i < app->plan->link_count; i++)
        if (app->wires[i].is_made && app->wires[i].number == number)
            return true;
    return false;
}

/* Starts that the crash cut off, before the peers knew of the new wires: those had the numbers around the last that was
 * noted.  What is left of them at the peers is a filter without its interface. */
static void forget_unnoted(struct app *app)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < app->plan->service_count; i++)
        count += was_coming_up(app, i) ? app->plan->services[i].link_count : 0;
    if (count > UNNOTED_MAX)
        count = UNNOTED_MAX;
    uint32_t noted = app->ledger->next_wire, first = noted > count ? noted - count : 0;
    for (uint32_t i = 0; i < app->plan->link_count; i++) {
        const struct plan_link *l = &app->plan->links[i];
        if (!was_coming_up(app, l->from) && !was_coming_up(app, l->to))
            continue;
        for (uint32_t number = first; number < noted + count; number++) {
            if (is_in_use(app, number))
                continue;
            forget(app, l->to, LINK_IN, number);
            forget(app, l->from, LINK_OUT, number);
        }
    }
}

/* Its peers and it are of two minds: it is ended, and comes back with new wires for all. */
static void give_up(struct app *app, uint32_t service, const char *why)
{
    struct news news = news_of(NEWS_ENDED, service);
    events_tell(app, &news, "service '%s' cannot be adopted (%s): it is ended", SERVICE_NAME(app, service), why);
    instance_done(app, service);
}

static void take_wire(struct app *app, uint32_t link, const struct seen *in, const struct seen *out)
{
    const struct plan_link *l = &app->plan->links[link];
    struct wire *wire = &app->wires[link];
    bool has_callee = in->is_seen && app->instances[l->to].is_adopted;
    bool has_caller = out->is_seen && app->instances[l->from].is_adopted;
    uint32_t in_number = has_callee ? wire_number(&in->wire, LINK_IN) : UINT32_MAX;
    uint32_t out_number = has_caller ? wire_number(&out->wire, LINK_OUT) : UINT32_MAX;
    if (!has_callee || !has_caller) {
        wire->number = has_callee ? in_number : out_number; /* goes with the start of the other end */
        return;
    }
    bool callee_knows =
        in_number != UINT32_MAX && in->wire.is_up && in->wire.generation == app->instances[l->from].generation;
    bool caller_knows =
        out_number == in_number && out->wire.is_up && out->wire.generation == app->instances[l->to].generation;
    if (!callee_knows) { /* callees hear of a wire before their callers: never seen */
        give_up(app, l->to, "it does not know its caller");
        return;
    }
    wire->number = in_number;
    wire->is_made = true;
    wire->is_untold = !caller_knows;
    if (caller_knows || out_number == in_number)
        return;
    /* The callee was started again, and the crash came before its caller was told. */
    forget(app, l->to, LINK_IN, out_number);
    forget(app, l->from, LINK_OUT, out_number);
}

static void take_wires(struct app *app, struct seen (*seen)[2])
{
    app->next_wire = app->ledger->next_wire;
    for (uint32_t i = 0; i < app->plan->link_count; i++)
        take_wire(app, i, &seen[i][LINK_IN], &seen[i][LINK_OUT]);
    for (uint32_t i = 0; i < app->plan->link_count; i++)
        if (app->wires[i].is_made && app->wires[i].number >= app->next_wire)
            app->next_wire = app->wires[i].number + 1; /* /run was full when it should have been noted */
    app->next_wire += (uint32_t)app->plan->link_count; /* whatever a crash left: no number comes back */
}

/* ---- all of them ---- */

static int refuse(struct app *app, size_t alive, const char *what, struct err *e)
{
    (void)err_set(e, -EEXIST, "application '%s' runs (%zu service%s) without its hostd, which died, and %s", app->name,
                  alive, plural(alive), what);
    return err_hint(e, "nothing was touched; end it with: hostd stop --app %s, then start again", app->name);
}

static int take_all(struct app *app, size_t *ret_count, struct err *e)
{
    FREE_AUTO struct answer *answer = calloc(1, sizeof *answer);
    FREE_AUTO struct seen(*seen)[2] = calloc(app->plan->link_count + 1, sizeof *seen);
    if (!answer || !seen)
        return err_set(e, -ENOMEM, "no memory for %zu links", app->plan->link_count);
    for (uint32_t i = 0; i < app->plan->service_count; i++) {
        const struct ledger_service *noted = ledger_find(app->ledger, SERVICE_NAME(app, i));
        struct instance *instance = &app->instances[i];
        if (!noted)
            continue; /* the crash was before its first start */
        instance->generation = instance->noted_generation = noted->generation;
        instance->quick_ends = noted->quick_ends;
        instance->restart_pause_ms = noted->restart_pause_ms;
        instance->oom_kills = noted->oom_kills;
        memcpy(instance->last_end, noted->last_end, sizeof noted->last_end);
        (void)ask(app, i, noted); /* all questions first: they answer at the same time */
    }
    uint64_t until_ms = clock_ms() + ADOPT_MS_MAX;
    for (uint32_t i = 0; i < app->plan->service_count; i++) {
        struct instance *instance = &app->instances[i];
        if (instance->pidfd < 0)
            continue;
        int result = receive(instance->stage_fd, until_ms, answer);
        if (result == 0)
            result = take_answer(app, i, answer, seen);
        instance->is_adopted = result == 0;
        if (result == 0)
            continue;
        close_ingresses(answer);
        answer->ingress_count = 0;
        give_up(app, i, strerror(-result));
    }
    take_wires(app, seen);
    for (uint32_t i = 0; i < app->plan->service_count; i++)
        *ret_count += app->instances[i].is_adopted;
    return 0;
}

int adopt(struct app *app, size_t *ret_count, struct err *e)
{
    *ret_count = 0;
    size_t alive = leftovers_alive(app);
    bool is_same_version = app->ledger && app->ledger->protocol == INIT_PROTOCOL;
    bool is_same = is_same_version && app->ledger->list_hash == adopt_list_hash(app);
    /* Where nothing lives there is still what became of each, and its policy: of the same list they hold. */
    bool is_known = alive > 0 || (is_same && ledger_was_up(app->ledger));
    if (!is_known || app->ledger->is_plain) /* plain: its wires are ports that only the dead hostd held */
        return leftovers_end(app, e);
    if (!is_same_version)
        return refuse(app, alive, "was started by another version of hostd", e);
    if (!is_same)
        return refuse(app, alive,
                      "the list, or an option that shapes a start (--listen, --state-dir, --plain), has changed since",
                      e);
    return take_all(app, ret_count, e);
}

/* ---- going on ---- */

/* It is not there any more: what its PID 1 wrote last, and what its policy says. */
static void resume_dead(struct app *app, uint32_t index)
{
    const struct ledger_service *noted = ledger_find(app->ledger, SERVICE_NAME(app, index));
    if (noted && noted->state == INSTANCE_ENDED)
        instance_event(app, index, EVENT_LEAVE_ENDED);
    else if (noted && noted->state == INSTANCE_FAILED)
        instance_event(app, index, EVENT_LEAVE_FAILED);
    else if (noted && noted->mark.pid > 0 && noted->state != INSTANCE_STOPPING)
        mourn(app, index, noted->state == INSTANCE_READY);
    else
        instance_event(app, index, EVENT_RETRY);
}

int adopt_resume(struct app *app, struct err *e)
{
    app->is_kept = true;
    app->has_started = true; /* from here every start is one among others that run */
    for (uint32_t i = 0; i < app->plan->service_count; i++) {
        if (!app->instances[i].is_adopted)
            continue;
        instance_event(app, i, EVENT_ADOPTED);
        int result = turn_watch(app, i, e);
        if (result < 0)
            return result;
    }
    forget_unnoted(app);
    for (uint32_t i = 0; i < app->plan->link_count; i++)
        if (app->wires[i].is_untold && app->wires[i].is_made)
            tell_renewed(app, i, LINK_OUT);
    for (uint32_t i = 0; i < app->plan->service_count; i++)
        if (!app->instances[i].is_adopted)
            resume_dead(app, i);
    (void)rundir_note(app);
    free(app->ledger);
    app->ledger = NULL;
    return 0;
}
