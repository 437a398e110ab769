/* client.c - see client.h.  Doing: reads the run directory, speaks with a running hostd (control.c is the other side).
 */
#include "hostd/client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "hostd/app.h"
#include "hostd/control_parse.h"
#include "hostd/rules.h"
#include "hostd/runlist.h"
#include "hostd/suggest.h"
#include "rpc/base/own.h"

#define ASK_TRIES_MAX 5
#define ANSWER_BYTES_MAX (8u << 20)
#define WITHOUT_HOSTD "what runs goes on: `hostd start` of the same file adopts it, `hostd stop` ends it"
#define APPS_MAX 64                 /* looked at: for a near name, and to name them */
#define ROOTS_RUN_ROOT "/run/hostd" /* place.c; there while an application of root runs */

int client_fail(const char *command, int result, const struct err *e)
{
    (void)fprintf(stderr, "hostd %s: %s\n", command, e->text);
    return result == -EINVAL ? 2 : 1;
}

/* ---- which application ---- */

/* What root runs is not shown to others, and must not be denied either. */
static int hint_root(struct err *e)
{
    if (geteuid() == 0 || access(ROOTS_RUN_ROOT, F_OK) < 0)
        return e->code;
    return err_hint(e, "root runs some: sudo hostd ps shows them");
}

int client_none_runs(struct err *e)
{
    if (geteuid() == 0)
        return err_set(e, -ENOENT, "no application runs");
    (void)err_set(e, -ENOENT, "no application of user %u runs", (unsigned)geteuid());
    return hint_root(e);
}

static int does_not_run(const char *app_name, struct err *e)
{
    char names[APPS_MAX][NAME_BYTES];
    int count = control_list(names, APPS_MAX);
    struct suggestion near = suggest_for(app_name);
    for (int i = 0; i < count; i++)
        suggest_offer(&near, names[i]);
    if (geteuid() == 0)
        (void)err_set(e, -ENOENT, "application '%s' does not run", app_name);
    else
        (void)err_set(e, -ENOENT, "application '%s' of user %u does not run", app_name, (unsigned)geteuid());
    return near.best ? err_hint(e, "did you mean '%s'?", near.best) : hint_root(e);
}

static int choose_only(char ret_name[NAME_BYTES], struct err *e)
{
    char names[APPS_MAX][NAME_BYTES];
    char list[256] = "";
    size_t used = 0;
    int count = control_list(names, APPS_MAX);
    if (count < 0)
        return err_sys(e, count, "read %s", run_root());
    if (count == 0)
        return client_none_runs(e);
    if (count == 1) {
        memcpy(ret_name, names[0], NAME_BYTES);
        return 0;
    }
    for (int i = 0; i < count && used < sizeof list; i++) /* of very many not all */
        used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", i ? ", " : "", names[i]);
    return err_set(e, -EINVAL, "several applications run (%s): say which with --app", list);
}

int client_choose(const char *app_name, char ret_name[NAME_BYTES], struct err *e)
{
    char path[APP_PATH_BYTES];
    if (!app_name)
        return choose_only(ret_name, e);
    if (!rule_name(app_name))
        return err_set(e, -EINVAL,
                       "--app '%s': a name has a-z, 0-9, _ and -, begins with a letter, has at most %u bytes", app_name,
                       NAME_BYTES - 1u);
    (void)snprintf(path, sizeof path, "%s/%s", run_root(), app_name);
    if (access(path, F_OK) < 0)
        return errno == ENOENT ? does_not_run(app_name, e) : err_sys(e, -errno, "look for %s", path);
    memcpy(ret_name, app_name, strlen(app_name) + 1);
    return 0;
}

/* ---- which service ---- */

int client_find_service(const struct manifest *manifest, const char *app_name, const char *name,
                        const struct manifest_service **ret_service, struct err *e)
{
    const struct manifest_service *services = manifest_services(manifest);
    struct suggestion near = suggest_for(name);
    for (uint32_t i = 0; i < manifest->service_count; i++) {
        if (strcmp(services[i].name, name) == 0) {
            *ret_service = &services[i];
            return 0;
        }
        suggest_offer(&near, services[i].name);
    }
    (void)err_set(e, -EINVAL, "application '%s' has no service '%s'", app_name, name);
    return near.best ? err_hint(e, "did you mean '%s'?", near.best) : -EINVAL;
}

int client_check_service(const char *app_name, const char *name, struct err *e)
{
    FREE_AUTO struct manifest *manifest = NULL;
    const struct manifest_service *service;
    char path[RUNLIST_PATH_BYTES];
    struct err unread;
    if (runlist_read(app_name, path, &manifest, &unread) < 0)
        return rule_name(name) ? 0 : err_set(e, -EINVAL, "'%s' is no name of a service", name);
    return client_find_service(manifest, app_name, name, &service, e);
}

/* ---- asking ---- */

static int connect_to(const char *app_name, int *ret_fd, struct err *e)
{
    struct sockaddr_un address;
    int result = control_address(app_name, &address, e);
    if (result < 0)
        return result;
    FD_AUTO int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return err_sys(e, -errno, "socket");
    if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0) {
        int code = -errno;
        if (code == -ENOENT)
            return does_not_run(app_name, e);
        (void)err_sys(e, code, "connect to %s", address.sun_path);
        if (code == -ECONNREFUSED)
            (void)err_hint(e, "its hostd has died; " WITHOUT_HOSTD);
        return code;
    }
    *ret_fd = fd_take(&fd);
    return 0;
}

/* As recv(2); a descriptor that came with the bytes goes to *ret_fd, unless that is NULL or has one already. */
static ssize_t receive(int fd, void *bytes, size_t room, int *ret_fd)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec data = {.iov_base = bytes, .iov_len = room};
    struct msghdr message = {
        .msg_iov = &data, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    if (!ret_fd || *ret_fd >= 0)
        return recv(fd, bytes, room, 0); /* without room for them, descriptors are closed by the kernel */
    ssize_t got = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
    const struct cmsghdr *rights = got > 0 ? CMSG_FIRSTHDR(&message) : NULL;
    if (rights && rights->cmsg_level == SOL_SOCKET && rights->cmsg_type == SCM_RIGHTS &&
        rights->cmsg_len == CMSG_LEN(sizeof(int)))
        memcpy(ret_fd, CMSG_DATA(rights), sizeof *ret_fd);
    return got;
}

/* -ECONNRESET: it was closed before there was an answer.  -EPIPE: and before the request was read. */
static int read_answer(int fd, char **ret_answer, int *ret_fd, struct err *e)
{
    size_t used = 0, room = 65536;
    FREE_AUTO char *text = malloc(room);
    while (text) {
        ssize_t got = receive(fd, text + used, room - used - 1, ret_fd);
        if (got <= 0 && used == 0 && (got == 0 || errno == ECONNRESET)) {
            (void)err_set(e, got == 0 ? -ECONNRESET : -EPIPE, "hostd gave no answer");
            return err_hint(e, "has it died? then " WITHOUT_HOSTD);
        }
        if (got < 0)
            return err_sys(e, -errno, "read hostd's answer");
        if (got == 0) {
            text[used] = '\0';
            *ret_answer = text;
            text = NULL;
            return 0;
        }
        used += (size_t)got;
        if (room - used > 4096)
            continue;
        if (room >= ANSWER_BYTES_MAX)
            return err_set(e, -EMSGSIZE, "hostd's answer is over %u bytes", ANSWER_BYTES_MAX);
        char *larger = realloc(text, room *= 2);
        if (!larger)
            break;
        text = larger;
    }
    return err_set(e, -ENOMEM, "no memory for hostd's answer");
}

int client_ask(const char *app_name, const char *request, char **ret_answer, struct err *e)
{
    return client_ask_fd(app_name, request, ret_answer, NULL, e);
}

int client_ask_fd(const char *app_name, const char *request, char **ret_answer, int *ret_fd, struct err *e)
{
    char line[CONTROL_REQUEST_BYTES_MAX + 1];
    int bytes = snprintf(line, sizeof line, "%s\n", request); /* a cut one is refused: it lacks its newline */
    for (int tries = 1;; tries++) {
        FD_AUTO int fd = -1;
        int result = connect_to(app_name, &fd, e);
        if (result < 0)
            return result;
        if (send(fd, line, bytes < (int)sizeof line ? (size_t)bytes : sizeof line - 1, MSG_NOSIGNAL) < 0)
            result = err_sys(e, -errno, "ask application '%s'", app_name);
        else
            result = read_answer(fd, ret_answer, ret_fd, e);
        /* On a busy machine hostd may have waited IDLE_MS_MAX for us in vain, or it has ended.  It was asked nothing.
         */
        if (result != -EPIPE || tries == ASK_TRIES_MAX)
            return result;
    }
}
