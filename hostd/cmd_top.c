/* cmd_top.c - `hostd top`: the table of `hostd ps` again and again, with the cpu of the last interval. */
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "hostd/client.h"
#include "hostd/cmd.h"
#include "hostd/options.h"
#include "hostd/ps_view.h"
#include "rpc/base/clock.h"

#define INTERVAL_S_DEFAULT 2u
#define INTERVAL_S_MAX 3600u

static bool read_number(const char *text, unsigned long max, unsigned long *ret_number)
{
    char *end;
    *ret_number = strtoul(text, &end, 10);
    return *text >= '1' && *text <= '9' && !*end && *ret_number <= max;
}

/* Columns of the terminal; 0: no terminal, or one that does not know. */
static size_t columns(void)
{
    struct winsize size;
    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

/* A longer line would be shown as two, and every table be taller than it is.  width 0: no line is cut. */
static void print_cut(const char *text, size_t width)
{
    for (size_t column = 0; *text; text++) {
        column = *text == '\n' ? 0 : column + ((*text & 0xC0) != 0x80); /* bytes within a character of UTF-8 */
        if (width == 0 || column <= width)
            (void)putchar(*text);
    }
}

static void print(const json_t *services, const char *command)
{
    char *text = NULL;
    size_t bytes = 0;
    struct err none;
    if (json_array_size(services) == 0 && client_none_runs(&none) < 0) {
        (void)fprintf(stderr, "hostd %s: %s\n", command, none.text);
        return;
    }
    FILE *table = open_memstream(&text, &bytes);
    if (!table)
        return; /* no memory now; the next look may find some */
    ps_print_table(services, false, table);
    if (fclose(table) == 0)
        print_cut(text, columns());
    free(text);
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
    for (int c; (c = option_next(argc, argv, "", known)) != -1;) {
        if (c == '?')
            return 2;
        if (c == 'a')
            app_name = optarg;
        else if (c == 'i' && !read_number(optarg, INTERVAL_S_MAX, &interval_s))
            return cmd_wrong(argv[0], "--interval takes 1 to 3600 seconds");
        else if (c == 'c' && !read_number(optarg, 1000000, &count))
            return cmd_wrong(argv[0], "--count takes a number from 1 on");
    }
    if (optind != argc)
        return cmd_wrong(argv[0], "no arguments expected");

    json_t *before = NULL;
    uint64_t before_ms = 0;
    int code = 0;
    for (unsigned long shown = 0; code == 0 && !ferror(stdout) && (count == 0 || shown < count); shown++) {
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
        if (code == 0 || json_array_size(services) > 0)
            print(services, argv[0]);
        (void)fflush(stdout);
        json_decref(before);
        before = services;
        before_ms = now_ms;
    }
    json_decref(before);
    return code;
}
