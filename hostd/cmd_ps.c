/* cmd_ps.c - `hostd ps`: what runs, as a table or as JSON. */
#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "hostd/app.h"
#include "hostd/cmd.h"
#include "rpc/base/own.h"

#define APPS_MAX 64

static int usage(const char *what)
{
    (void)fprintf(stderr, "hostd ps: %s\nusage: hostd ps [--app NAME] [--json] [--links]\n", what);
    return 2;
}

/* Appends the services of one application.  An application whose hostd has died is an error of its own. */
static int collect(const char *app_name, json_t *services, struct err *e)
{
    FREE_AUTO char *answer = NULL;
    int result = control_ask(app_name, "ps", &answer, e);
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

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

static long long number_of(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

static void print_links(const json_t *service)
{
    size_t i;
    json_t *link;
    json_array_foreach(json_object_get(service, "links"), i, link)
    {
        bool is_in = strcmp(text_of(link, "direction"), "in") == 0;
        (void)printf("  %s %-14s %-9s %-15s packets %lld, denied %lld", is_in ? "<-" : "->", text_of(link, "peer"),
                     text_of(link, "interface"), text_of(link, "address"), number_of(link, "packets"),
                     number_of(link, "denied"));
        if (is_in)
            (void)printf(", calls %lld, denied calls %lld", number_of(link, "calls"), number_of(link, "denied_calls"));
        (void)putchar('\n');
    }
}

static void print_table(const json_t *services, bool with_links)
{
    size_t i;
    json_t *service;
    const char *plain_app = NULL;
    (void)printf("%-12s %-14s %-10s %4s %8s %8s %9s %7s %7s\n", "APP", "SERVICE", "STATE", "GEN", "INIT", "SERVICE",
                 "UPTIME", "LINKS", "DENIED");
    json_array_foreach(services, i, service)
    {
        json_t *links = json_object_get(service, "links"), *link;
        long long denied = 0;
        size_t k;
        json_array_foreach(links, k, link) denied += number_of(link, "denied") + number_of(link, "denied_calls");
        (void)printf("%-12s %-14s %-10s %4lld %8lld %8lld %8.0fs %7zu %7lld\n", text_of(service, "app"),
                     text_of(service, "name"), text_of(service, "state"), number_of(service, "generation"),
                     number_of(service, "init_pid"), number_of(service, "service_pid"),
                     json_real_value(json_object_get(service, "uptime_s")), json_array_size(links), denied);
        if (text_of(service, "last_end")[0])
            (void)printf("  last end: %s\n", text_of(service, "last_end"));
        if (with_links)
            print_links(service);
        if (strcmp(text_of(service, "mode"), "plain") == 0)
            plain_app = text_of(service, "app");
    }
    if (plain_app)
        (void)printf("PLAIN MODE: services of '%s' are not isolated, and their callers are not verified\n", plain_app);
}

int cmd_ps(int argc, char **argv)
{
    static const struct option known[] = {
        {"app", required_argument, NULL, 'a'},
        {"json", no_argument, NULL, 'j'},
        {"links", no_argument, NULL, 'l'},
        {NULL, 0, NULL, 0},
    };
    const char *app_name = NULL;
    bool is_json = false, with_links = false;
    optind = 1;
    for (int c; (c = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        if (c == 'a')
            app_name = optarg;
        else if (c == 'j')
            is_json = true;
        else if (c == 'l')
            with_links = true;
        else
            return usage("unknown or incomplete option");
    }
    if (optind != argc)
        return usage("no arguments expected");

    char names[APPS_MAX][NAME_BYTES];
    int count = app_name ? 1 : control_list(names, APPS_MAX);
    json_t *services = json_array();
    int code = 0;
    if (count < 0) {
        (void)fprintf(stderr, "hostd ps: read %s: %s\n", RUN_ROOT, strerror(-count));
        code = 1;
    }
    for (int i = 0; i < count; i++) {
        struct err e = {0};
        if (collect(app_name ? app_name : names[i], services, &e) < 0) {
            (void)fprintf(stderr, "hostd ps: %s\n", e.text);
            code = 1;
        }
    }
    if (is_json) {
        json_t *root = json_pack("{s:O}", "services", services);
        (void)json_dumpf(root, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
        (void)putchar('\n');
        json_decref(root);
    } else if (json_array_size(services) > 0) {
        print_table(services, with_links);
    } else if (code == 0) {
        (void)fprintf(stderr, "hostd ps: no application runs\n");
    }
    json_decref(services);
    return code;
}
