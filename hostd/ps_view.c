/* ps_view.c - see ps_view.h.  Doing: reads control groups and /proc. */
#include "hostd/ps_view.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>

#include "hostd/app.h"
#include "hostd/cgroup.h"
#include "hostd/client.h"
#include "rpc/base/own.h"

#define APPS_MAX 64
#define PROCESSES_BYTES_MAX 65536u /* of cgroup.procs: thousands of processes */

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

static long long number_of(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

/* ---- cpu ---- */

/* Fields of /proc/PID/stat: cpu time of a process and of its children that it waited for, and when it started. */
static bool read_stat(long pid, double *ret_cpu_s, double *ret_age_s)
{
    char path[64], text[1024];
    unsigned long long user = 0, system = 0, start = 0;
    long long child_user = 0, child_system = 0;
    struct timespec now;
    (void)snprintf(path, sizeof path, "/proc/%ld/stat", pid);
    FD_AUTO int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (got <= 0)
        return false;
    text[got] = '\0';
    const char *fields = strrchr(text, ')'); /* the name in parentheses may hold anything */
    if (!fields ||
        sscanf(fields + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu %lld %lld %*d %*d %*d %*d %llu",
               &user, &system, &child_user, &child_system, &start) != 5)
        return false;
    double ticks = (double)sysconf(_SC_CLK_TCK);
    (void)clock_gettime(CLOCK_BOOTTIME, &now); /* what start times count from */
    *ret_cpu_s = ((double)(user + system) + (double)(child_user + child_system)) / ticks;
    *ret_age_s = (double)now.tv_sec + (double)now.tv_nsec / 1e9 - (double)start / ticks;
    return true;
}

/* The group's processes, one a line; without a group (plain mode) its PID 1 and the service. */
static void list_processes(const struct cgroup_trees *trees, const json_t *service, char text[PROCESSES_BYTES_MAX])
{
    static const enum cgroup_controller order[] = {CGROUP_PIDS, CGROUP_MEMORY, CGROUP_CPU};
    for (size_t i = 0; i < ARRAY_COUNT(order); i++)
        if (cgroup_read(trees, order[i], text_of(service, "app"), text_of(service, "name"), "cgroup.procs", text,
                        PROCESSES_BYTES_MAX) == 0 &&
            text[0])
            return;
    (void)snprintf(text, PROCESSES_BYTES_MAX, "%lld\n%lld\n", number_of(service, "init_pid"),
                   number_of(service, "service_pid"));
}

static void add_cpu(const struct cgroup_trees *trees, json_t *service, char text[PROCESSES_BYTES_MAX])
{
    double cpu_s = 0, age_s = 0, init_age_s = 0, one;
    long long init_pid = number_of(service, "init_pid");
    if (init_pid <= 0) {
        (void)json_object_set_new(service, "cpu_s", json_null());
        (void)json_object_set_new(service, "cpu_percent", json_null());
        return;
    }
    list_processes(trees, service, text);
    char *end = text;
    for (long pid; (pid = strtol(end, &end, 10)) > 0;)
        if (read_stat(pid, &one, &age_s)) {
            cpu_s += one;
            init_age_s = pid == init_pid ? age_s : init_age_s;
        }
    (void)json_object_set_new(service, "cpu_s", json_real(cpu_s));
    (void)json_object_set_new(service, "cpu_percent", json_real(init_age_s > 0 ? 100 * cpu_s / init_age_s : 0));
}

void ps_since(json_t *services, const json_t *before, double seconds)
{
    size_t i, k;
    json_t *service, *old;
    json_array_foreach(services, i, service)
    {
        json_array_foreach(before, k, old)
        {
            if (strcmp(text_of(old, "app"), text_of(service, "app")) != 0 ||
                strcmp(text_of(old, "name"), text_of(service, "name")) != 0 ||
                number_of(old, "generation") != number_of(service, "generation"))
                continue;
            double used =
                json_real_value(json_object_get(service, "cpu_s")) - json_real_value(json_object_get(old, "cpu_s"));
            if (seconds > 0) /* less than before: a process that it counted has gone */
                (void)json_object_set_new(service, "cpu_percent", json_real(used > 0 ? 100 * used / seconds : 0));
        }
    }
}

/* ---- the rest of what a service uses ---- */

static json_t *known(uint64_t value)
{
    return value == CGROUP_UNKNOWN ? json_null() : json_integer((json_int_t)value);
}

static void add_usage(const struct cgroup_trees *trees, json_t *service)
{
    struct cgroup_usage usage;
    cgroup_usage(trees, text_of(service, "app"), text_of(service, "name"), &usage);
    bool lives = number_of(service, "init_pid") > 0;
    (void)json_object_set_new(service, "memory_bytes", lives ? known(usage.memory_bytes) : json_null());
    (void)json_object_set_new(service, "memory_limit_bytes", known(usage.memory_limit_bytes));
    (void)json_object_set_new(service, "pids", lives ? known(usage.pids) : json_null());
    (void)json_object_set_new(service, "pids_limit", known(usage.pids_limit));
}

static void add_sums(json_t *service)
{
    const json_t *operator_counts = json_object_get(service, "operator");
    long long calls = number_of(operator_counts, "calls"), denied_calls = number_of(operator_counts, "denied_calls");
    long long denied_packets = 0;
    size_t i;
    json_t *link;
    json_array_foreach(json_object_get(service, "links"), i, link)
    {
        calls += number_of(link, "calls");
        denied_calls += number_of(link, "denied_calls");
        denied_packets += number_of(link, "denied");
    }
    (void)json_object_set_new(service, "calls", json_integer(calls));
    (void)json_object_set_new(service, "denied_calls", json_integer(denied_calls));
    (void)json_object_set_new(service, "denied_packets", json_integer(denied_packets));
}

/* ---- collecting ---- */

/* Appends the services of one application.  An application whose hostd has died is an error of its own. */
static int collect_app(const char *app_name, json_t *services, struct err *e)
{
    FREE_AUTO char *answer = NULL;
    int result = client_ask(app_name, "ps", &answer, e);
    if (result < 0)
        return result;
    json_error_t error;
    json_t *root = json_loads(answer, JSON_REJECT_DUPLICATES, &error);
    json_t *list = json_object_get(root, "services");
    result = json_is_array(list) && json_array_extend(services, list) == 0
                 ? 0
                 : err_set(e, -EPROTO, "answer of application '%s' cannot be read: %s", app_name, error.text);
    json_decref(root);
    return result;
}

int ps_collect(const char *app_name, const char *command, json_t *services)
{
    char names[APPS_MAX][NAME_BYTES];
    struct cgroup_trees trees;
    struct err e = {0};
    int count = app_name ? client_choose(app_name, names[0], &e) : control_list(names, APPS_MAX), code = 0;
    if (count < 0 && !app_name)
        (void)err_sys(&e, count, "read %s", run_root());
    if (count < 0)
        return client_fail(command, count, &e);
    for (int i = 0; i < (app_name ? 1 : count); i++) {
        int result = collect_app(names[i], services, &e);
        if (result < 0)
            code = client_fail(command, result, &e);
    }
    FREE_AUTO char *processes = malloc(PROCESSES_BYTES_MAX);
    size_t i;
    json_t *service;
    cgroup_detect(&trees);
    json_array_foreach(services, i, service)
    {
        if (processes)
            add_cpu(&trees, service, processes);
        add_usage(&trees, service);
        add_sums(service);
    }
    return code;
}

/* ---- the table ---- */

/* "-", "812K", "64M", "1.5G" */
static void size_text(const json_t *bytes, char text[16])
{
    static const char units[] = "KMGT";
    double size = (double)json_integer_value(bytes) / 1024;
    size_t unit = 0;
    while (size >= 1000 && units[unit + 1]) {
        size /= 1024;
        unit++;
    }
    if (json_is_integer(bytes))
        (void)snprintf(text, 16, size < 10 && unit > 0 ? "%.1f%c" : "%.0f%c", size, units[unit]);
    else
        (void)snprintf(text, 16, "-");
}

static void count_text(const json_t *count, char text[16])
{
    if (json_is_integer(count))
        (void)snprintf(text, 16, "%lld", (long long)json_integer_value(count));
    else
        (void)snprintf(text, 16, "-");
}

/* "59s", "3m07s", "2h05m", "12d04h" */
static void time_text(double seconds, char text[32])
{
    unsigned long whole = seconds > 0 ? (unsigned long)seconds : 0;
    if (whole < 60)
        (void)snprintf(text, 32, "%lus", whole);
    else if (whole < 3600)
        (void)snprintf(text, 32, "%lum%02lus", whole / 60, whole % 60);
    else if (whole < 86400)
        (void)snprintf(text, 32, "%luh%02lum", whole / 3600, whole / 60 % 60);
    else
        (void)snprintf(text, 32, "%lud%02luh", whole / 86400, whole / 3600 % 24);
}

/* "USED/LIMIT" of two fields. */
static void pair_text(const json_t *service, const char *used, const char *limit,
                      void (*show)(const json_t *value, char text[16]), char text[40])
{
    char used_text[16], limit_text[16];
    show(json_object_get(service, used), used_text);
    show(json_object_get(service, limit), limit_text);
    (void)snprintf(text, 40, "%s/%s", used_text, limit_text);
}

static void print_links(const json_t *service, FILE *out)
{
    size_t i;
    json_t *link;
    json_array_foreach(json_object_get(service, "links"), i, link)
    {
        bool is_in = strcmp(text_of(link, "direction"), "in") == 0;
        (void)fprintf(out, "  %s %-14s %-9s %-15s packets %lld, denied %lld", is_in ? "<-" : "->",
                      text_of(link, "peer"), text_of(link, "interface"), text_of(link, "address"),
                      number_of(link, "packets"), number_of(link, "denied"));
        if (is_in)
            (void)fprintf(out, ", calls %lld, denied calls %lld", number_of(link, "calls"),
                          number_of(link, "denied_calls"));
        (void)fputc('\n', out);
    }
}

static int width_of(const json_t *services, const char *key, int least)
{
    size_t i;
    json_t *service;
    json_array_foreach(services, i, service)
    {
        int width = (int)strlen(text_of(service, key));
        least = width > least ? width : least;
    }
    return least;
}

static void print_service(const json_t *service, int app_width, int name_width, FILE *out)
{
    char uptime[32], memory[40], pids[40], cpu[32], init_pid[16], service_pid[16];
    double cpu_s = json_real_value(json_object_get(service, "cpu_s"));
    (void)snprintf(cpu, sizeof cpu, cpu_s < 100 ? "%.2fs" : "%.0fs", cpu_s);
    count_text(json_object_get(service, "init_pid"), init_pid);
    count_text(json_object_get(service, "service_pid"), service_pid);
    time_text(json_real_value(json_object_get(service, "uptime_s")), uptime);
    pair_text(service, "memory_bytes", "memory_limit_bytes", size_text, memory);
    pair_text(service, "pids", "pids_limit", count_text, pids);
    (void)fprintf(out, "%-*s %-*s %-9s %3lld %7s %7s %6s %5.1f %6s %9s %5s %6lld %6lld %7lld\n", app_width,
                  text_of(service, "app"), name_width, text_of(service, "name"), text_of(service, "state"),
                  number_of(service, "generation"), init_pid, service_pid, uptime,
                  json_real_value(json_object_get(service, "cpu_percent")), cpu, memory, pids,
                  number_of(service, "calls"), number_of(service, "denied_calls"),
                  number_of(service, "denied_packets"));
    if (strcmp(text_of(service, "kind"), "process") == 0) /* the others are sealed */
        (void)fprintf(out, "  kind: process, profile: %s\n", text_of(service, "profile"));
    if (text_of(service, "last_end")[0])
        (void)fprintf(out, "  last end: %s\n", text_of(service, "last_end"));
    size_t i;
    json_t *line;
    json_array_foreach(json_object_get(service, "last_log"), i, line)(void)
        fprintf(out, "  last line: %s\n", json_string_value(line) ? json_string_value(line) : "");
}

void ps_print_table(const json_t *services, bool with_links, FILE *out)
{
    int app_width = width_of(services, "app", 3), name_width = width_of(services, "name", 7);
    const char *plain_app = NULL;
    size_t i;
    json_t *service;
    (void)fprintf(out, "%-*s %-*s %-9s %3s %7s %7s %6s %5s %6s %9s %5s %6s %6s %7s\n", app_width, "APP", name_width,
                  "SERVICE", "STATE", "GEN", "INIT", "SERVICE", "UPTIME", "CPU%", "CPU", "MEMORY", "PIDS", "CALLS",
                  "DENIED", "DROPPED");
    json_array_foreach(services, i, service)
    {
        print_service(service, app_width, name_width, out);
        if (with_links)
            print_links(service, out);
        if (strcmp(text_of(service, "mode"), "plain") == 0)
            plain_app = text_of(service, "app");
    }
    if (plain_app)
        (void)fprintf(out, "PLAIN MODE: services of '%s' are not isolated, and their callers are not verified\n",
                      plain_app);
}
