/* cmd_ps.c - `hostd ps`: what runs, as a table or as JSON. */
#include <stdio.h>

#include "hostd/client.h"
#include "hostd/cmd.h"
#include "hostd/options.h"
#include "hostd/ps_view.h"

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
    for (int c; (c = option_next(argc, argv, "", known)) != -1;) {
        if (c == '?')
            return 2;
        if (c == 'a')
            app_name = optarg;
        else if (c == 'j')
            is_json = true;
        else
            with_links = true;
    }
    if (optind != argc)
        return cmd_wrong(argv[0], "no arguments expected");

    json_t *services = json_array();
    int code = ps_collect(app_name, argv[0], services);
    struct err none;
    if (is_json) {
        json_t *root = json_pack("{s:O}", "services", services);
        (void)json_dumpf(root, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
        (void)putchar('\n');
        json_decref(root);
    } else if (json_array_size(services) > 0) {
        ps_print_table(services, with_links, stdout);
    }
    if (json_array_size(services) == 0 && code == 0 && client_none_runs(&none) < 0)
        (void)fprintf(stderr, "hostd ps: %s\n", none.text); /* beside an empty JSON too: it may not be all there is */
    json_decref(services);
    return code;
}
