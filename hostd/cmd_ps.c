/* cmd_ps.c - `hostd ps`: what runs, as a table or as JSON. */
#include <getopt.h>
#include <string.h>

#include "hostd/cmd.h"
#include "hostd/ps_view.h"

static int usage(const char *what)
{
    (void)fprintf(stderr, "hostd ps: %s\nusage: hostd ps [--app NAME] [--json] [--links]\n", what);
    return 2;
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

    json_t *services = json_array();
    int code = ps_collect(app_name, "ps", services);
    if (is_json) {
        json_t *root = json_pack("{s:O}", "services", services);
        (void)json_dumpf(root, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
        (void)putchar('\n');
        json_decref(root);
    } else if (json_array_size(services) > 0) {
        ps_print_table(services, with_links, stdout);
    } else if (code == 0) {
        (void)fprintf(stderr, "hostd ps: no application runs\n");
    }
    json_decref(services);
    return code;
}
