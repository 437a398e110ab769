/*
 * chatter.c - a service that prints what it should not: other prefixes than its own, terminal escapes, a flood.
 *
 * Its configuration: `flood` lines after the odd ones (default 0), `spew` MiB of lines as fast as they are taken, a
 * numbered line of TICK_BYTES every `tick` ms.  Then it serves nobody and waits.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "rpc/rpc.h"

static void print(const char *text, size_t bytes)
{
    while (bytes > 0) {
        ssize_t written = write(STDOUT_FILENO, text, bytes);
        if (written <= 0)
            return; /* the test misses the rest */
        text += written;
        bytes -= (size_t)written;
    }
}

#define TICK_BYTES 2000

static void spew(void *arg)
{
    static char lines[1 << 16];
    memset(lines, 's', sizeof lines);
    for (size_t i = 99; i < sizeof lines; i += 100)
        lines[i] = '\n';
    for (int64_t mib = 0; mib < rpc_config_int("spew", 0); mib++) {
        for (int i = 0; i < 16; i++)
            print(lines, sizeof lines);
        rpc_sleep_ms(0);
    }
    print("spewed\n", 7);
}

static void tick(void *arg)
{
    static char line[TICK_BYTES + 1];
    for (int64_t i = 0;; i++) {
        memset(line, '.', sizeof line);
        int bytes = snprintf(line, sizeof line, "tick %lld ", (long long)i);
        line[bytes] = '.';
        line[TICK_BYTES] = '\n';
        print(line, sizeof line);
        rpc_sleep_ms((uint32_t)rpc_config_int("tick", 0));
    }
}

static int start(struct err *e)
{
    static const char odd[] = "one line\n"
                              "bank | two: a prefix in the text\n"
                              "three \033[2J\033]0;title\007 \r hidden\n"
                              "four caf\xc3\xa9 \xff\xfe \xc2\x9b"
                              "31m \xe2\x80\xae turned\n"
                              "1700000000.000!five: a stamp in the text\n"
                              "initsvc: 9 lines dropped: more than 1000 a second\n"
                              " ! 9 lines dropped: more than 1000 a second\n";
    print(odd, sizeof odd - 1);
    for (int64_t i = 0; i < rpc_config_int("flood", 0); i++) {
        char line[32];
        int bytes = snprintf(line, sizeof line, "flood %lld\n", (long long)i);
        print(line, (size_t)bytes);
    }
    if (rpc_config_int("spew", 0) > 0)
        (void)rpc_spawn(spew, NULL);
    if (rpc_config_int("tick", 0) > 0)
        (void)rpc_spawn(tick, NULL);
    return 0;
}

int main(int argc, char **argv)
{
    static const struct rpc_service service = {.start = start};
    return rpc_main(argc, argv, &service);
}
