/*
 * control.c - the unix socket of a running application: one request line (control_parse.h), one answer, closed.
 *
 * /run/hostd/<app> is root's and 0700, so who can connect may do all of this; the peer's id is compared all the same.
 * The other side is client.c.  A client that says nothing is dropped after IDLE_MS_MAX.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>

#include "hostd/app.h"
#include "hostd/control_parse.h"
#include "rpc/base/clock.h"
#include "rpc/base/own.h"

#define IDLE_MS_MAX 200 /* hostd reads the request itself: a client that stalls costs it no more than this */

/* ---- ps ---- */

static json_t *namespaces_of(pid_t pid)
{
    static const char *const kinds[] = {"user", "mnt", "net", "pid", "ipc", "uts", "cgroup"};
    json_t *object = json_object();
    for (size_t i = 0; pid > 0 && i < ARRAY_COUNT(kinds); i++) {
        char path[64];
        struct stat status;
        (void)snprintf(path, sizeof path, "/proc/%d/ns/%s", (int)pid, kinds[i]);
        if (stat(path, &status) == 0)
            (void)json_object_set_new(object, kinds[i], json_integer((json_int_t)status.st_ino));
    }
    return object;
}

static void address_text(uint32_t address, char text[16])
{
    (void)snprintf(text, 16, "%u.%u.%u.%u", address >> 24, address >> 16 & 255, address >> 8 & 255, address & 255);
}

static json_t *link_json(struct app *app, const struct plan_end *end)
{
    const struct plan_link *link = &app->plan->links[end->link];
    const struct wire *wire = &app->wires[end->link];
    uint32_t peer = end->direction == LINK_IN ? link->from : link->to;
    json_t *object = json_pack("{s:s, s:s, s:b}", "peer", SERVICE_NAME(app, peer), "direction",
                               end->direction == LINK_IN ? "in" : "out", "up", wire->is_made);
    struct net_counters counters = {0};
    if (wire->is_made) {
        struct init_wire seen;
        char address[16];
        spawn_wire(app, end->link, end->direction, &seen);
        address_text(seen.own_address, address);
        (void)json_object_set_new(object, "interface", json_string(seen.ifname));
        (void)json_object_set_new(object, "address", json_string(address));
        packets_look(app, end->link, end->direction, &counters);
        if (app->is_plain)
            (void)json_object_set_new(object, "port", json_integer(seen.port));
    }
    (void)json_object_set_new(object, "packets", json_integer((json_int_t)counters.packets));
    (void)json_object_set_new(object, "denied", json_integer((json_int_t)counters.denied));
    if (end->direction == LINK_IN) {
        (void)json_object_set_new(object, "calls", json_integer((json_int_t)wire->calls));
        (void)json_object_set_new(object, "denied_calls", json_integer((json_int_t)wire->denied_calls));
        (void)json_object_set_new(object, "broken", json_integer((json_int_t)wire->broken));
    }
    return object;
}

/* null while there is none: 0 would mean the asker's own process group to kill(2). */
static json_t *pid_json(pid_t pid)
{
    return pid > 0 ? json_integer(pid) : json_null();
}

static json_t *service_json(struct app *app, uint32_t index)
{
    const struct plan_service *service = &app->plan->services[index];
    const struct instance *instance = &app->instances[index];
    json_t *links = json_array();
    for (uint32_t i = 0; i < service->link_count; i++)
        (void)json_array_append_new(links, link_json(app, &app->plan->service_links[service->link_first + i]));
    static const struct {
        uint32_t bit;
        const char *name;
    } protections[] = {
        {MISSING_LANDLOCK, "landlock"}, {MISSING_MEMORY, "memory"}, {MISSING_PIDS, "pids"}, {MISSING_CPU, "cpu"}};
    json_t *accepted = json_array();
    for (size_t i = 0; i < ARRAY_COUNT(protections); i++)
        if (service->manifest->accept_missing & protections[i].bit)
            (void)json_array_append_new(accepted, json_string(protections[i].name));
    const char *mode = app->is_plain ? "plain" : "isolated";
    uint64_t up_ms =
        instance->ready_at_ms && instance->state == INSTANCE_READY ? clock_ms() - instance->ready_at_ms : 0;
    json_t *object =
        json_pack("{s:s, s:s, s:s, s:s, s:o, s:o, s:i, s:f, s:s, s:o, s:o, s:o}", "app", app->name, "name",
                  service->manifest->name, "mode", mode, "state", instance_state_name(instance->state), "init_pid",
                  pid_json(instance->init_pid), "service_pid", pid_json(instance->service_pid), "generation",
                  (int)instance->generation, "uptime_s", (double)up_ms / 1000.0, "last_end", instance->last_end,
                  "accept_missing", accepted, "namespaces", namespaces_of(instance->init_pid), "links", links);
    (void)json_object_set_new(object, "operator",
                              json_pack("{s:I, s:I, s:I}", "calls", (json_int_t)instance->operator_calls,
                                        "denied_calls", (json_int_t)instance->operator_denied, "broken",
                                        (json_int_t)instance->operator_broken));
    json_t *last_log = json_array();
    for (uint32_t i = 0; instance->last_log && i < instance->last_log->count; i++)
        (void)json_array_append_new(last_log, json_string(instance->last_log->lines[i]));
    (void)json_object_set_new(object, "last_log", last_log);
    bool is_process = service->manifest->kind == KIND_PROCESS;
    (void)json_object_set_new(object, "kind", json_string(is_process ? "process" : "sealed"));
    (void)json_object_set_new(object, "profile", json_string(plan_profile_name(service->profile)));
    return object;
}

static char *ps_answer(struct app *app)
{
    json_t *services = json_array();
    for (uint32_t i = 0; i < app->plan->service_count; i++)
        (void)json_array_append_new(services, service_json(app, i));
    json_t *root = json_pack("{s:s, s:o}", "app", app->name, "services", services);
    char *text = root ? json_dumps(root, JSON_COMPACT | JSON_REAL_PRECISION(9)) : NULL;
    json_decref(root);
    return text;
}

/* ---- server side ---- */

int control_address(const char *app_name, struct sockaddr_un *ret_address, struct err *e)
{
    *ret_address = (struct sockaddr_un){.sun_family = AF_UNIX};
    int bytes = snprintf(ret_address->sun_path, sizeof ret_address->sun_path, "%s/%s/control", run_root(), app_name);
    if (bytes >= (int)sizeof ret_address->sun_path)
        return err_set(e, -ENAMETOOLONG, "name of application '%s' is too long", app_name);
    return 0;
}

int control_open(struct app *app, struct err *e)
{
    struct sockaddr_un address;
    int result = control_address(app->name, &address, e);
    if (result < 0)
        return result;
    (void)unlink(address.sun_path); /* of a hostd that died; we hold the lock */
    FD_AUTO int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, 16) < 0)
        return err_sys(e, -errno, "listen on %s", address.sun_path);
    app->control_fd = fd_take(&fd);
    return 0;
}

static void send_all(int fd, const char *text, size_t bytes)
{
    for (size_t sent = 0; sent < bytes;) {
        ssize_t got = send(fd, text + sent, bytes - sent, MSG_NOSIGNAL);
        if (got <= 0)
            return; /* a client that is gone, or does not read within the socket's time-out: it has asked, not we */
        sent += (size_t)got;
    }
}

static void send_json(int fd, json_t *object)
{
    FREE_AUTO char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;
    if (text)
        send_all(fd, text, strlen(text));
    json_decref(object);
}

/* The answer to "operator": its service's process, with the connection. */
static void send_connection(int fd, pid_t service_pid, int connection_fd)
{
    char text[64];
    int bytes = snprintf(text, sizeof text, "{\"service_pid\":%d}", (int)service_pid);
    struct iovec data = {.iov_base = text, .iov_len = (size_t)bytes};
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct msghdr message = {
        .msg_iov = &data, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    control.header =
        (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(&control.header), &connection_fd, sizeof connection_fd);
    (void)sendmsg(fd, &message, MSG_NOSIGNAL); /* a client that is gone: the connection ends with ours */
}

static void refuse(int fd, const struct err *e)
{
    send_json(fd, json_pack("{s:s, s:i}", "error", e->text, "errno", -e->code));
}

static int find_service(const struct app *app, const char *name, uint32_t *ret_index, struct err *e)
{
    for (uint32_t i = 0; i < app->plan->service_count; i++)
        if (strcmp(SERVICE_NAME(app, i), name) == 0) {
            *ret_index = i;
            return 0;
        }
    return err_set(e, -ENOENT, "application '%s' has no service '%s'", app->name, name);
}

/* Begins to stop or restart one service; the answer comes when that is done (control_answer_waiters()). */
static void serve_one(struct app *app, int *fd, const struct control_request *request)
{
    uint32_t index = 0, free_at = 0;
    struct err e = {0};
    if (find_service(app, request->words[0], &index, &e) < 0) {
        refuse(*fd, &e);
        return;
    }
    while (free_at < APP_STOP_WAITERS_MAX && app->service_waiters[free_at].fd >= 0)
        free_at++;
    if (app->is_stopping || !app->has_started || free_at == APP_STOP_WAITERS_MAX) {
        (void)err_set(&e, -EBUSY, "application '%s' is %s", app->name,
                      app->is_stopping    ? "being stopped"
                      : !app->has_started ? "not ready yet"
                                          : "busy with requests like this one; try again");
        refuse(*fd, &e);
        return;
    }
    bool wants_ready = request->verb == CONTROL_RESTART_SERVICE;
    app->service_waiters[free_at] = (struct service_waiter){.fd = fd_take(fd),
                                                            .service = index,
                                                            .generation = app->instances[index].generation,
                                                            .wants_ready = wants_ready};
    if (wants_ready)
        supervise_restart_one(app, index);
    else
        supervise_stop_one(app, index);
}

/* 1: done; 0: not yet; negative: it will not be. */
static int waiter_result(const struct app *app, const struct service_waiter *waiter)
{
    const struct instance *instance = &app->instances[waiter->service];
    bool is_down = instance->state == INSTANCE_ENDED || instance->state == INSTANCE_FAILED;
    bool has_tried = instance->generation > waiter->generation;
    if (app->is_stopping)
        return -ESHUTDOWN;
    if (!waiter->wants_ready)
        return is_down ? 1 : has_tried ? -EINTR : 0; /* somebody restarted it */
    if (instance->state == INSTANCE_READY && has_tried)
        return 1;
    return has_tried && (is_down || instance->state == INSTANCE_DOWN) ? -EIO : 0;
}

void control_answer_waiters(struct app *app)
{
    for (size_t i = 0; i < APP_STOP_WAITERS_MAX; i++) {
        struct service_waiter *waiter = &app->service_waiters[i];
        int result = waiter->fd >= 0 ? waiter_result(app, waiter) : 0;
        const struct instance *instance = &app->instances[waiter->service];
        struct err e = {0};
        if (result == 0)
            continue;
        if (result < 0) {
            (void)err_set(&e, result, "service '%s' is %s", SERVICE_NAME(app, waiter->service),
                          instance_state_name(instance->state));
            if (instance->last_end[0])
                (void)err_hint(&e, "last end: %s", instance->last_end);
            refuse(waiter->fd, &e);
        } else {
            send_json(waiter->fd, json_pack("{s:i}", "generation", (int)instance->generation));
        }
        fd_close(&waiter->fd);
    }
}

void control_answer_stop(struct app *app)
{
    for (size_t i = 0; i < app->stop_waiter_count; i++) {
        if (!app->is_kept)
            send_json(app->stop_waiters[i], json_object());
        fd_close(&app->stop_waiters[i]);
    }
}

/* Takes *fd over where the answer comes later. */
static void serve(struct app *app, int *fd, const struct control_request *request)
{
    switch (request->verb) {
    case CONTROL_PS: {
        FREE_AUTO char *answer = ps_answer(app);
        if (answer)
            send_all(*fd, answer, strlen(answer));
        return;
    }
    case CONTROL_OPERATOR: {
        FD_AUTO int connection_fd = -1;
        uint32_t service;
        struct err e = {0};
        if (operator_connect(app, request->words[0], &service, &connection_fd, &e) < 0)
            refuse(*fd, &e);
        else
            send_connection(*fd, app->instances[service].service_pid, connection_fd);
        return;
    }
    case CONTROL_STOP: {
        struct err e;
        (void)err_set(&e, -EBUSY, "application '%s' is being stopped, and %u clients wait for it already", app->name,
                      APP_STOP_WAITERS_MAX);
        if (app->stop_waiter_count < APP_STOP_WAITERS_MAX)
            app->stop_waiters[app->stop_waiter_count++] = fd_take(fd);
        else
            refuse(*fd, &e);
        supervise_stop(app);
        return;
    }
    case CONTROL_STOP_SERVICE:
    case CONTROL_RESTART_SERVICE:
        serve_one(app, fd, request);
        return;
    default:
        return;
    }
}

void control_accept(struct app *app)
{
    FD_AUTO int fd = accept4(app->control_fd, NULL, NULL, SOCK_CLOEXEC);
    struct ucred peer;
    socklen_t peer_bytes = sizeof peer;
    if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &peer_bytes) < 0 ||
        (peer.uid != 0 && peer.uid != geteuid()))
        return;
    const struct timeval idle = {.tv_usec = IDLE_MS_MAX * 1000};
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &idle, sizeof idle);
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &idle, sizeof idle);
    char line[CONTROL_REQUEST_BYTES_MAX];
    ssize_t got = recv(fd, line, sizeof line, 0);
    struct control_request request;
    struct err e;
    if (got <= 0)
        return;
    if (control_parse(line, (size_t)got, &request, &e) < 0)
        refuse(fd, &e);
    else
        serve(app, &fd, &request);
}

/* ---- where ---- */

int control_list(char names[][NAME_BYTES], size_t max)
{
    DIR *directory = opendir(run_root());
    size_t count = 0;
    if (!directory)
        return errno == ENOENT ? 0 : -errno;
    for (struct dirent *entry; count < max && (entry = readdir(directory));)
        if (entry->d_name[0] != '.' && strlen(entry->d_name) < NAME_BYTES)
            memcpy(names[count++], entry->d_name, strlen(entry->d_name) + 1);
    (void)closedir(directory);
    return (int)count;
}
