/* cmd_explain.c - `hostd explain`: may FROM call TO, and which line says so.  Needs no root for a FILE. */
#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "hostd/app.h"
#include "hostd/cmd.h"
#include "hostd/explain.h"
#include "hostd/runlist.h"
#include "rpc/base/own.h"

static int usage(const char *what)
{
    (void)fprintf(stderr,
                  "hostd explain: %s\n"
                  "usage: hostd explain [FILE | --app NAME] [--json] FROM TO[.INTERFACE.METHOD]\n",
                  what);
    return 2;
}

static void print_json(const struct manifest *m, const char *file, const struct verdict *v, const char *from)
{
    json_t *object =
        json_pack("{s:b, s:s, s:s, s:s, s:s, s:s}", "allowed", v->is_allowed, "layer", explain_layer_name(v->layer),
                  "from", from, "to", manifest_services(m)[v->to].name, "method", v->method, "file", file);
    (void)json_object_set_new(object, "line", v->line ? json_integer(v->line) : json_null());
    (void)json_dumpf(object, stdout, JSON_INDENT(2));
    (void)putchar('\n');
    json_decref(object);
}

/* From a file that nobody has to run, or as the running application was started.  0 or the exit code. */
static int load(const char *file, const char *app_name, char path[RUNLIST_PATH_BYTES], struct manifest **ret_manifest)
{
    if (file) {
        struct plan *plan = NULL;
        int code = cmd_load(file, ret_manifest, &plan);
        plan_free(plan);
        (void)snprintf(path, RUNLIST_PATH_BYTES, "%s", file);
        return code;
    }
    char name[NAME_BYTES];
    struct err e = {0};
    int result = control_choose(app_name, name, &e);
    if (result == 0)
        result = runlist_read(name, path, ret_manifest, &e);
    if (result == 0)
        return 0;
    (void)fprintf(stderr, "hostd explain: %s\n", e.text);
    return result == -EINVAL ? 2 : 1;
}

int cmd_explain(int argc, char **argv)
{
    static const struct option known[] = {
        {"app", required_argument, NULL, 'a'}, {"json", no_argument, NULL, 'j'}, {NULL, 0, NULL, 0}};
    const char *app_name = NULL;
    bool is_json = false;
    optind = 1;
    for (int c; (c = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        if (c == 'a')
            app_name = optarg;
        else if (c == 'j')
            is_json = true;
        else
            return usage("unknown or incomplete option");
    }
    int words = argc - optind;
    if (words < 2 || words > 3)
        return usage(words < 2 ? "FROM and TO are needed" : "FILE, FROM and TO only");
    if (words == 3 && app_name)
        return usage("FILE or --app, not both");
    const char *file = words == 3 ? argv[optind] : NULL;
    const char *from = argv[argc - 2], *to = argv[argc - 1];

    FREE_AUTO struct manifest *manifest = NULL;
    char path[RUNLIST_PATH_BYTES];
    int code = load(file, app_name, path, &manifest);
    if (code)
        return code;
    struct verdict verdict;
    struct err e = {0};
    if (explain_decide(manifest, from, to, &verdict, &e) < 0) {
        (void)fprintf(stderr, "hostd explain: %s: %s\n", path, e.text);
        return 2;
    }
    if (is_json)
        print_json(manifest, path, &verdict, from);
    else
        explain_print(manifest, path, &verdict, stdout);
    return verdict.is_allowed ? 0 : 1;
}
