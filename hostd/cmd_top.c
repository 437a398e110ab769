/* cmd_top.c - `hostd top`: the table of `hostd ps` again and again, with the cpu of the last interval. */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "hostd/cmd.h"
#include "hostd/ps_view.h"
#include "rpc/base/clock.h"

#define INTERVAL_S_DEFAULT 2u
#define INTERVAL_S_MAX 3600u

static int usage(const char *what)
{
    (void)fprintf(stderr, "hostd top: %s\nusage: hostd top [--app NAME] [--interval SECONDS] [--count NUMBER]\n", what);
    return 2;
}

static bool read_number(const char *text, unsigned long max, unsigned long *ret_number)
{
    char *end;
    *ret_number = strtoul(text, &end, 10);
    return *text >= '1' && *text <= '9' && !*end && *ret_number <= max;
}

int cmd_top(int argc, char **argv)
{
    static const struct option known[] = {{"app", required_argument, NULL, 'a'},
                                          {"count", required_argument, NULL, 'c'},
                                          {"interval", required_argument, NULL, 'i'},
                                          {NULL, 0, NULL, 0}};
    const char *app_name = NULL;
    unsigned long interval_s = INTERVAL_S_DEFAULT, count = 0; /* 0: until it is ended */
    bool is_terminal = isatty(STDOUT_FILENO);
    optind = 1;
    for (int c; (c = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        if (c == 'a')
            app_name = optarg;
        else if (c == 'i' && read_number(optarg, INTERVAL_S_MAX, &interval_s))
            continue;
        else if (c == 'c' && read_number(optarg, 1000000, &count))
            continue;
        else
            return usage(c == 'i'   ? "--interval takes 1 to 3600 seconds"
                         : c == 'c' ? "--count takes a number from 1 on"
                                    : "unknown or incomplete option");
    }
    if (optind != argc)
        return usage("no arguments expected");

    json_t *before = NULL;
    uint64_t before_ms = 0;
    int code = 0;
    for (unsigned long shown = 0; code == 0 && (count == 0 || shown < count); shown++) {
        json_t *services = json_array();
        const struct timespec pause = {.tv_sec = (time_t)interval_s};
        if (shown > 0)
            (void)nanosleep(&pause, NULL);
        code = ps_collect(app_name, "top", services);
        uint64_t now_ms = clock_ms();
        if (before)
            ps_since(services, before, (double)(now_ms - before_ms) / 1000);
        if (is_terminal)
            (void)fputs("\033[H\033[J", stdout); /* the first look's CPU% is since each start */
        ps_print_table(services, false, stdout);
        (void)fflush(stdout);
        json_decref(before);
        before = services;
        before_ms = now_ms;
    }
    json_decref(before);
    return code;
}
