/* cmd_start.c - `hostd start FILE`: from the service list to a running application, and its end. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "hostd/adopt.h"
#include "hostd/app.h"
#include "hostd/cmd.h"
#include "hostd/options.h"
#include "hostd/rules.h"
#include "hostd/runlist.h"
#include "hostd/suggest.h"
#include "rpc/base/clock.h"
#include "rpc/base/own.h"
#include "rpc/base/weaken.h"

#define LISTEN_OPTIONS_MAX 16

struct options {
    const char *file, *name, *state_dir;
    const char *listen[LISTEN_OPTIONS_MAX]; /* "http=127.0.0.1:8081" */
    size_t listen_count;
    bool is_detached, is_plain;
};

static int parse_options(int argc, char **argv, struct options *options)
{
    static const struct option known[] = {
        {"detach", no_argument, NULL, 'd'},          {"plain", no_argument, NULL, 'p'},
        {"name", required_argument, NULL, 'n'},      {"listen", required_argument, NULL, 'l'},
        {"state-dir", required_argument, NULL, 's'}, {NULL, 0, NULL, 0},
    };
    for (int c; (c = option_next(argc, argv, "", known)) != -1;) {
        switch (c) {
        case 'd':
            options->is_detached = true;
            break;
        case 'p':
            options->is_plain = true;
            break;
        case 'n':
            options->name = optarg;
            break;
        case 'l':
            if (options->listen_count == LISTEN_OPTIONS_MAX)
                return cmd_wrong(argv[0], "too many --listen");
            options->listen[options->listen_count++] = optarg;
            break;
        case 's':
            options->state_dir = optarg;
            if (!*optarg)
                return cmd_wrong(argv[0], "--state-dir is empty");
            break;
        default:
            return 2;
        }
    }
    if (optind + 1 != argc)
        return cmd_wrong(argv[0], optind == argc ? "which FILE?" : "one FILE only");
    options->file = argv[optind];
    return 0;
}

/* ---- options onto the manifest ---- */

static bool parse_address(const char *text, uint32_t *ret_address, uint16_t *ret_port)
{
    char host[INET_ADDRSTRLEN];
    const char *colon = strrchr(text, ':');
    if (!colon || (size_t)(colon - text) >= sizeof host)
        return false;
    memcpy(host, text, (size_t)(colon - text));
    host[colon - text] = '\0';
    char *end;
    errno = 0;
    unsigned long port = strtoul(colon + 1, &end, 10);
    struct in_addr address;
    if (colon[1] < '0' || colon[1] > '9' || *end || errno || port < 1 || port > 65535 ||
        inet_pton(AF_INET, host, &address) != 1)
        return false;
    *ret_address = ntohl(address.s_addr);
    *ret_port = (uint16_t)port;
    return true;
}

static int apply_listen(struct manifest *manifest, const char *option)
{
    const char *equals = strchr(option, '=');
    uint32_t address;
    uint16_t port;
    if (!equals || !parse_address(equals + 1, &address, &port)) {
        (void)fprintf(stderr,
                      "hostd start: --listen %s: it has the form INGRESS=ADDRESS:PORT, with numbers (IPv4), as in "
                      "http=127.0.0.1:8081\n",
                      option);
        return 2;
    }
    struct manifest_ingress *ingresses = (struct manifest_ingress *)(uintptr_t)manifest_ingresses(manifest);
    char name[NAME_BYTES];
    (void)snprintf(name, sizeof name, "%.*s", (int)(equals - option), option); /* a cut one is none */
    struct suggestion near = suggest_for(name);
    for (uint32_t i = 0; i < manifest->ingress_count; i++) {
        suggest_offer(&near, ingresses[i].name);
        if (strlen(ingresses[i].name) != (size_t)(equals - option) || strcmp(ingresses[i].name, name) != 0)
            continue;
        ingresses[i].address = address;
        ingresses[i].port = port;
        return 0;
    }
    (void)fprintf(stderr, "hostd start: --listen %s: no ingress has that name", option);
    if (near.best)
        (void)fprintf(stderr, "; did you mean '%s'?", near.best);
    for (uint32_t i = 0; i < manifest->ingress_count; i++)
        (void)fprintf(stderr, "%s%s", i ? ", " : " (the list has ", ingresses[i].name);
    (void)fprintf(stderr, "%s\n", manifest->ingress_count ? ")" : " (the list has none)");
    return 2;
}

/* ---- the application ---- */

static uint64_t wall_clock_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now); /* cannot fail */
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static int open_tail(struct app *app, struct err *e)
{
    const struct logtail_options options = {
        .out_fd = STDOUT_FILENO,
        .never_blocks = !weakened("outlet"),
        .from_now = !app->ledger, /* of earlier runs nothing; of an adopted one what nobody has shown yet */
        .is_colored = logtail_may_color(STDOUT_FILENO),
        .since_ms = app->ledger ? wall_clock_ms() - app->alone_ms : 0,
    };
    FREE_AUTO char(*names)[NAME_BYTES] = calloc(app->plan->service_count, NAME_BYTES);
    if (!names)
        return err_set(e, -ENOMEM, "no memory for logs");
    for (size_t i = 0; i < app->plan->service_count; i++)
        memcpy(names[i], SERVICE_NAME(app, i), NAME_BYTES);
    return logtail_open(app->run_dir, (const char(*)[NAME_BYTES])names, app->plan->service_count, &options, &app->tail,
                        e);
}

/* The lock first: what follows is made, and on failure removed, by its holder alone. */
static int open_place(struct app *app, const struct options *options, struct err *e)
{
    char own[PATH_MAX];
    const char *given = options->state_dir;
    if (!given || given[0] == '/')
        own[0] = '\0';
    else if (!getcwd(own, sizeof own)) /* an adoption may come from elsewhere */
        return err_sys(e, -errno, "the directory that %s begins in", given);
    int written = given ? snprintf(app->state_dir, sizeof app->state_dir, "%s%s%s", own, own[0] ? "/" : "", given)
                        : snprintf(app->state_dir, sizeof app->state_dir, "%s/%s", state_root(), app->name);
    if (written >= (int)sizeof app->state_dir)
        return err_set(e, -ENAMETOOLONG, "path of the state directory is over %zu bytes", sizeof app->state_dir - 1);
    if (!app->is_plain)
        cgroup_detect(&app->cgroups);
    return rundir_open(app, e);
}

static int open_programs(struct app *app, struct err *e)
{
    char path[PATH_MAX];
    int result = manifest_bin_dir(path);
    if (result < 0)
        return err_sys(e, result, "find the folder of hostd's programs");
    FD_AUTO int bin_fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    app->initsvc_fd = bin_fd < 0 ? -1 : openat(bin_fd, "initsvc", O_PATH | O_CLOEXEC);
    if (app->initsvc_fd < 0)
        return err_sys(e, -errno, "open %s/initsvc", path);
    app->hostd_pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0);
    if (app->hostd_pidfd < 0)
        return err_sys(e, -errno, "pidfd_open");
    return result;
}

static int make_tables(struct app *app, struct err *e)
{
    size_t services = app->plan->service_count;
    app->instances = calloc(services, sizeof *app->instances);
    app->wires = calloc(app->plan->link_count + 1, sizeof *app->wires);
    app->ingress_fds = calloc(app->plan->manifest->ingress_count + 1, sizeof *app->ingress_fds);
    if (!app->instances || !app->wires || !app->ingress_fds)
        return err_set(e, -ENOMEM, "no memory for %zu services", services);
    for (size_t i = 0; i < services; i++)
        instance_init(&app->instances[i]);
    for (size_t i = 0; i < app->plan->link_count; i++)
        app->wires[i] = (struct wire){.number = UINT32_MAX, .port_fd = -1};
    for (uint32_t i = 0; i < app->plan->manifest->ingress_count; i++)
        app->ingress_fds[i] = -1;
    return 0;
}

/* What a hostd that died has left: from here on ours, or gone. */
static int open_leftovers(struct app *app, struct err *e)
{
    size_t adopted = 0;
    app->list_hash = adopt_list_hash(app);
    int result = adopt(app, &adopted, e);
    if (result < 0)
        return result;
    struct news news = news_of(NEWS_ADOPTED, NEWS_NOBODY);
    if (app->ledger)
        events_tell(app, &news, "%s is adopted: %zu of %zu services go on as they are, %llu ms after hostd began",
                    app->name, adopted, app->plan->service_count, (unsigned long long)(clock_ms() - app->begun_ms));
    else if (app->ended_leftovers > 0)
        events_tell(app, &news, "%s: ended %zu service%s that a hostd that died had left", app->name,
                    app->ended_leftovers, plural(app->ended_leftovers));
    return 0;
}

static int open_app(struct app *app, const struct manifest *manifest, const struct options *options, struct err *e)
{
    uint32_t uid_base = 0;
    int result = open_place(app, options, e);
    if (result == 0)
        result = rundir_claim_ids(app->name, &uid_base, e);
    if (result == 0)
        result = plan_make(manifest, uid_base, &app->plan, e);
    if (result == 0)
        result = make_tables(app, e);
    if (result == 0)
        result = events_open(app->run_fd, (uint32_t)app->plan->service_count, &app->events, e);
    if (result == 0)
        result = open_programs(app, e);
    if (result == 0)
        result = open_leftovers(app, e);
    if (result == 0)
        result = rundir_open_state(app, e);
    if (result == 0)
        result = runlist_write(app, options->file, manifest, e);
    if (result == 0)
        result = control_open(app, e);
    if (result == 0)
        result = open_tail(app, e);
    if (result == 0)
        result = spawn_ingresses(app, e);
    return result;
}

static void close_app(struct app *app)
{
    for (size_t i = 0; app->instances && !app->is_kept && i <= app->plan->service_count; i++) {
        const char *service = i < app->plan->service_count ? SERVICE_NAME(app, i) : NULL; /* last, the application's */
        /* A group that was just emptied may count its last task for a moment longer. */
        for (int tries = 0; tries < 200 && cgroup_remove(&app->cgroups, app->name, service) == -EBUSY; tries++)
            (void)usleep(1000);
    }
    for (uint32_t i = 0; app->ingress_fds && i < app->plan->manifest->ingress_count; i++)
        fd_close(&app->ingress_fds[i]);
    for (size_t i = 0; app->wires && i < app->plan->link_count; i++)
        fd_close(&app->wires[i].port_fd);
    logtail_free(app->tail);
    fd_close(&app->control_fd);
    rundir_close(app);
    fd_close(&app->epoll_fd);
    fd_close(&app->signal_fd);
    fd_close(&app->initsvc_fd);
    fd_close(&app->hostd_pidfd);
    for (size_t i = 0; i < APP_STOP_WAITERS_MAX; i++)
        fd_close(&app->service_waiters[i].fd);
    control_answer_stop(app); /* last of all: `hostd stop` returns when nothing is left */
    events_close(app->events);
    free(app->list);
    for (size_t i = 0; app->instances && i < app->plan->service_count; i++)
        free(app->instances[i].last_log);
    free(app->instances);
    free(app->wires);
    free(app->ingress_fds);
    free(app->ledger);
    plan_free(app->plan);
}

static void announce(const struct app *app)
{
    const struct manifest *manifest = app->plan->manifest;
    char text[256];
    size_t room = sizeof text;
    int used = snprintf(text, room, "%s is ready: %zu service%s, %zu link%s", app->name, app->plan->service_count,
                        plural(app->plan->service_count), app->plan->link_count, plural(app->plan->link_count));
    for (uint32_t i = 0; i < manifest->ingress_count && used > 0 && (size_t)used < room; i++) {
        const struct manifest_ingress *ingress = &manifest_ingresses(manifest)[i];
        uint32_t a = ingress->address;
        used += snprintf(text + used, room - (size_t)used, ", %s://%u.%u.%u.%u:%u/", ingress->name, a >> 24,
                         a >> 16 & 255, a >> 8 & 255, a & 255, ingress->port);
    }
    logtail_say(app->tail, text, strlen(text)); /* of very many ingresses not all */
    static const char plain[] = "PLAIN MODE: services are not isolated, and callers are not verified";
    if (app->is_plain)
        logtail_say(app->tail, plain, sizeof plain - 1);
}

/* ---- --detach ---- */

/* What becomes of the start, as the exit code.  A child that does not say so is stopped, if it still runs: nothing may
 * run that the caller takes for failed. */
static int hear_of_start(pid_t pid, int read_fd)
{
    unsigned char code = 1;
    int wait_status = 0;
    if (read(read_fd, &code, 1) == 1)
        return code;
    (void)kill(pid, SIGTERM); /* our own child, not reaped yet */
    while (waitpid(pid, &wait_status, 0) < 0 && errno == EINTR)
        ;
    if (WIFSIGNALED(wait_status))
        (void)fprintf(stderr, "hostd: ended by signal %d before the application was ready (the next start cleans up)\n",
                      WTERMSIG(wait_status));
    else
        (void)fprintf(stderr, "hostd: stopped again: how the start went could not be heard (exit code %d)\n",
                      WEXITSTATUS(wait_status));
    return 1;
}

/* Forks; the parent waits for the child's word and returns its exit code, the child goes on with *ret_report_fd >= 0.
 */
static int detach(int *ret_report_fd, int *ret_code)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return -errno;
    FD_AUTO int read_fd = ends[0];
    FD_AUTO int write_fd = ends[1];
    pid_t pid = fork();
    if (pid < 0)
        return -errno;
    if (pid == 0) {
        (void)setsid(); /* cannot fail in a fresh child */
        *ret_report_fd = fd_take(&write_fd);
        return 0;
    }
    fd_close(&write_fd);
    *ret_code = hear_of_start(pid, read_fd);
    return 1;
}

static void report_detached(int *report_fd, unsigned char code)
{
    if (*report_fd < 0)
        return;
    (void)!write(*report_fd, &code, 1); /* a parent that was killed meanwhile does not matter */
    fd_close(report_fd);
}

static void leave_terminal(struct app *app)
{
    FD_AUTO int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = 0; null_fd >= 0 && fd < 3; fd++)
        (void)dup2(null_fd, fd);
    logtail_silence(app->tail);
    (void)!chdir("/"); /* keeps no file system busy; failing changes nothing */
    app->is_quiet = true;
}

static int run(struct app *app, const struct manifest *manifest, const struct options *options, int *report_fd)
{
    struct err e = {0};
    int result = open_app(app, manifest, options, &e);
    if (result == 0)
        result = supervise_start(app, &e);
    if (result < 0) {
        (void)fprintf(stderr, "hostd: %s\n", e.text);
        close_app(app);
        report_detached(report_fd, 1);
        return 1;
    }
    announce(app);
    report_detached(report_fd, 0);
    if (options->is_detached)
        leave_terminal(app);
    int code = supervise_run(app);
    close_app(app);
    return code;
}

/* A process listens where its own configuration says: without a network of its own that is the host's. */
static bool refuse_plain(const struct manifest *manifest)
{
    for (uint32_t i = 0; i < manifest->service_count; i++) {
        const struct manifest_service *service = &manifest_services(manifest)[i];
        if (service->kind != KIND_PROCESS)
            continue;
        (void)fprintf(stderr,
                      "hostd start: --plain: '%s' is a process service (line %u), and would get the host's network; "
                      "plain mode is for sealed services\n",
                      service->name, service->line);
        return true;
    }
    return false;
}

/* A service takes three descriptors or four of hostd's, and what shells allow is enough for three hundred. */
static void raise_files(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit); /* up to the hard limit anybody may; what is too little shows later */
}

int cmd_start(int argc, char **argv)
{
    const uint64_t begun_ms = clock_ms();
    struct options options = {0};
    int code = parse_options(argc, argv, &options);
    if (code)
        return code;
    if (options.name && !rule_name(options.name))
        return cmd_wrong(argv[0], "--name takes a-z, 0-9, _ and -, beginning with a letter, at most 31 characters");
    if (geteuid() != 0 && !options.is_plain) {
        (void)fprintf(stderr, "hostd: start needs root: it makes network namespaces that services cannot change "
                              "(start --plain does without, and isolates nothing)\n");
        return 1;
    }
    (void)setlinebuf(stdout);
    raise_files();

    FREE_AUTO struct manifest *manifest = NULL;
    struct plan *plan = NULL;
    code = cmd_load(argv[0], options.file, &manifest, &plan);
    if (code)
        return code;
    plan_free(plan); /* it was a check; the one that counts is made with ids of our own */
    for (size_t i = 0; i < options.listen_count; i++)
        if (apply_listen(manifest, options.listen[i]))
            return 2;

    if (options.is_plain && refuse_plain(manifest))
        return 2;

    struct app app = {.run_fd = -1,
                      .state_fd = -1,
                      .initsvc_fd = -1,
                      .hostd_pidfd = -1,
                      .epoll_fd = -1,
                      .signal_fd = -1,
                      .control_fd = -1,
                      .lock_fd = -1};
    for (size_t i = 0; i < APP_STOP_WAITERS_MAX; i++)
        app.service_waiters[i].fd = -1;
    app.is_plain = options.is_plain;
    app.begun_ms = begun_ms;
    if (app.is_plain)
        (void)prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); /* instance_done() waits for services; cannot fail */
    app.name = options.name ? options.name : manifest->app;
    int report_fd = -1;
    int detached = options.is_detached ? detach(&report_fd, &code) : 0;
    if (detached < 0)
        (void)fprintf(stderr, "hostd: cannot go into the background: %s\n", strerror(-detached));
    if (detached != 0)
        return detached < 0 ? 1 : code;
    return run(&app, manifest, &options, &report_fd);
}
