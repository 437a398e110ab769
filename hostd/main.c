/*
 * main.c - the `hostd` program: a table of subcommands, help, and what is the same for all of them.
 *
 * Exit codes: 0 success, 1 failure, 2 wrong usage or a wrong service list.
 *
 * Invariants
 *  I1  How a command is used is said in one place, its row (cmd_wrong() prints it, hostd(1) is compared with it).
 *  I2  Output that could not be written is a failure, whichever command it was (finish()).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "hostd/cmd.h"
#include "hostd/suggest.h"
#include "rpc/base/own.h"

#ifndef HOSTD_VERSION
#error "the build gives HOSTD_VERSION"
#endif

static int cmd_help(int argc, char **argv);

static const struct command commands[] = {
    {"start", "FILE [--detach] [--plain] [--name NAME] [--listen INGRESS=ADDRESS:PORT] [--state-dir DIR]",
     "start the services of a list, and supervise them", cmd_start},
    {"check", "FILE", "say whether a service list is right, without touching anything", cmd_check},
    {"plan", "FILE [--json|--dot]", "show everything that a start would make", cmd_plan},
    {"ps", "[--app NAME] [--json] [--links]", "show what runs", cmd_ps},
    {"events", "[--app NAME] [-f|--follow] [--since TIME] [--json]",
     "show what was denied, what failed, what was restarted", cmd_events},
    {"explain", "[FILE|--app NAME] [--json] FROM TO[.INTERFACE.METHOD]",
     "say who may call whom, and which line says so", cmd_explain},
    {"logs", "[--app NAME] [-f|--follow] [--since TIME] [--json] [SERVICE]", "show what services printed", cmd_logs},
    {"exec", "[--app NAME] [--tools] [--as-root] [--wires] SERVICE -- CMD [ARGUMENTS]",
     "run a program under all that confines a service", cmd_exec},
    {"stop", "[--app NAME] [SERVICE]", "stop an application, in order, or one service of it", cmd_stop},
    {"restart", "[--app NAME] SERVICE", "stop a service and start it again", cmd_restart},
    {"call", "[--app NAME] [--timeout SECONDS] [--list] [SERVICE [INTERFACE.METHOD [JSON|-]]]",
     "call a method of a service, or list its methods", cmd_call},
    {"doctor", "", "try what a start needs of this machine", cmd_doctor},
    {"top", "[--app NAME] [--interval SECONDS] [--count NUMBER]", "show what runs, again and again", cmd_top},
    {"help", "[COMMAND]", "show this, or how to use one command", cmd_help},
};

static const struct command *find(const char *name)
{
    for (size_t i = 0; i < ARRAY_COUNT(commands); i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

static void print_help(FILE *out)
{
    (void)fprintf(out, "hostd: services in namespaces of their own, wired as a list says\n\n"
                       "usage: hostd COMMAND [ARGUMENTS]\n\n");
    for (size_t i = 0; i < ARRAY_COUNT(commands); i++)
        (void)fprintf(out, "  %-8s %s\n", commands[i].name, commands[i].summary);
    (void)fprintf(out, "\n`hostd help COMMAND` shows its arguments; `hostd --version` the version.\n"
                       "Exit codes: 0 success, 1 failure, 2 wrong usage or a wrong list.\n");
}

static int unknown(const char *name)
{
    struct suggestion suggestion = suggest_for(name);
    for (size_t i = 0; i < ARRAY_COUNT(commands); i++)
        suggest_offer(&suggestion, commands[i].name);
    (void)fprintf(stderr, "hostd: no command '%s'", name);
    if (suggestion.best)
        (void)fprintf(stderr, "; did you mean '%s'?\n", suggestion.best);
    else
        (void)fprintf(stderr, "; see hostd --help\n");
    return 2;
}

static void print_usage(const struct command *command, FILE *out)
{
    (void)fprintf(out, "usage: hostd %s%s%s\n", command->name, *command->arguments ? " " : "", command->arguments);
}

static int help_for(const struct command *command)
{
    print_usage(command, stdout);
    (void)printf("%s\n", command->summary);
    return 0;
}

int cmd_wrong(const char *name, const char *what)
{
    const struct command *command = find(name);
    (void)fprintf(stderr, "hostd %s: %s\n", name, what);
    if (command)
        print_usage(command, stderr);
    return 2;
}

static int cmd_help(int argc, char **argv)
{
    if (argc > 2)
        return cmd_wrong("help", "one COMMAND at most");
    if (argc < 2) {
        print_help(stdout);
        return 0;
    }
    const struct command *command = find(argv[1]);
    return command ? help_for(command) : unknown(argv[1]);
}

/* Is help asked for?  What stands behind "--" is another program's. */
static bool wants_help(int argc, char **argv)
{
    for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return true;
    return false;
}

/* Whoever starts us may have closed some of them: what is opened next would be taken for an output. */
static bool hold_standard_descriptors(void)
{
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF &&
            open("/dev/null", O_RDWR | O_NOCTTY) != fd) /* the lowest that is free */
            return false;
    return true;
}

/* Options of hostd itself; they stand alone. */
static int own_option(int argc, char **argv)
{
    bool is_help = strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0;
    bool is_version = strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0;
    if (!is_help && !is_version)
        (void)fprintf(stderr, "hostd: no option '%s'; see hostd --help\n", argv[1]);
    else if (argc > 2)
        (void)fprintf(stderr, "hostd: %s stands alone, without '%s'; see hostd --help\n", argv[1], argv[2]);
    else if (is_help)
        print_help(stdout);
    else
        (void)printf("hostd %s\n", HOSTD_VERSION);
    return (is_help || is_version) && argc == 2 ? 0 : 2;
}

/* What was printed must have gone out.  The command's own exit code, or 1. */
static int finish(const char *name, int code)
{
    errno = 0;
    if (fflush(stdout) == 0) {
        if (!ferror(stdout))
            return code;
        (void)!write(STDOUT_FILENO, "\n", 1); /* an earlier write failed, and its errno is gone: it fails again */
    }
    (void)fprintf(stderr, "hostd%s%s: cannot print: %s\n", *name == '-' ? "" : " ", *name == '-' ? "" : name,
                  strerror(errno ? errno : EIO));
    return code ? code : 1;
}

int main(int argc, char **argv)
{
    if (!hold_standard_descriptors())
        return 1; /* and nowhere to say so */
    if (argc < 2) {
        print_help(stderr);
        return 2;
    }
    const char *word = argv[1];
    if (word[0] == '-')
        return finish(word, own_option(argc, argv));
    const struct command *command = find(word);
    if (!command)
        return unknown(word);
    int code = wants_help(argc - 2, argv + 2) ? help_for(command) : command->run(argc - 1, argv + 1);
    /* Whether somebody reads what services print decides nothing about them. */
    return command->run == cmd_start ? code : finish(word, code);
}
