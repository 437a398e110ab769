/*
 * chatter.c - a service that prints what it should not: other services' prefixes, terminal escapes, a flood.
 *
 * Its configuration: `flood` lines after the odd ones (default 0).  Then it serves nobody and waits.
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

static int start(struct err *e)
{
    static const char odd[] = "one line\n"
                              "bank | two: a prefix in the text\n"
                              "three \033[2J\033]0;title\007 \r hidden\n"
                              "four caf\xc3\xa9 \xff\xfe \xc2\x9b"
                              "31m \xe2\x80\xae turned\n"
                              "1700000000.000!five: a stamp in the text\n";
    print(odd, sizeof odd - 1);
    for (int64_t i = 0; i < rpc_config_int("flood", 0); i++) {
        char line[32];
        int bytes = snprintf(line, sizeof line, "flood %lld\n", (long long)i);
        print(line, (size_t)bytes);
    }
    return 0;
}

int main(int argc, char **argv)
{
    static const struct rpc_service service = {.start = start};
    return rpc_main(argc, argv, &service);
}
