/* cmd_explain.c - `hostd explain`: may FROM call TO, and which line says so.  Needs no root for a FILE. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "hostd/app.h"
#include "hostd/client.h"
#include "hostd/cmd.h"
#include "hostd/explain.h"
#include "hostd/options.h"
#include "hostd/runlist.h"
#include "rpc/base/own.h"

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
        int code = cmd_load("explain", file, ret_manifest, &plan);
        plan_free(plan);
        (void)snprintf(path, RUNLIST_PATH_BYTES, "%s", file);
        return code;
    }
    char name[NAME_BYTES];
    struct err e = {0};
    int result = client_choose(app_name, name, &e);
    if (result == 0)
        result = runlist_read(name, path, ret_manifest, &e);
    if (result == 0)
        return 0;
    return client_fail("explain", result, &e);
}

int cmd_explain(int argc, char **argv)
{
    static const struct option known[] = {
        {"app", required_argument, NULL, 'a'}, {"json", no_argument, NULL, 'j'}, {NULL, 0, NULL, 0}};
    const char *app_name = NULL;
    bool is_json = false;
    for (int c; (c = option_next(argc, argv, "", known)) != -1;) {
        if (c == '?')
            return 2;
        if (c == 'a')
            app_name = optarg;
        else
            is_json = true;
    }
    int words = argc - optind;
    if (words < 2 || words > 3)
        return cmd_wrong(argv[0], words < 2 ? "FROM and TO are needed" : "FILE, FROM and TO only");
    if (words == 3 && app_name)
        return cmd_wrong(argv[0], "FILE or --app, not both");
    const char *file = words == 3 ? argv[optind] : NULL;
    if (file && access(file, F_OK) < 0 && errno == ENOENT) {
        (void)fprintf(stderr, "hostd explain: the first of three words is FILE, and there is no file '%s'\n", file);
        return 2;
    }
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
