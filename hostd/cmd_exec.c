/*
 * cmd_exec.c - `hostd exec SERVICE -- CMD`: a program of the host runs beside a service, under all that confines it.
 *
 *   this process ── copies output, waits                                (host)
 *    └─ guard ── no terminal; starts, waits, ends what is left          (host; cmd_exec_run.c)
 *        └─ initsvc ── the service's namespaces and control group       (inside; initsvc/exec.c)
 *            └─ CMD ── sealed by the very code that seals the service   (initsvc/seal.c)
 *
 * What the seal is made of comes from the setup that the service's PID 1 itself has mapped, not from a second reading
 * of the list: the command is under what runs.  hostd only names pids and wires.
 *
 * Invariants
 *  I1  Nothing of the service is changed: no mount, no limit, no slot of its ring, no listener.
 *  I2  When this process ends, however, the command and what it started are ended.
 *  I3  The command has no descriptor of ours but the two pipes: no terminal, no directory.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "hostd/cmd.h"
#include "hostd/cmd_exec.h"
#include "hostd/logtail.h"
#include "hostd/options.h"
#include "rpc/base/own.h"

static int parse_options(int argc, char **argv, struct exec_options *options)
{
    static const struct option known[] = {
        {"app", required_argument, NULL, 'a'},
        {"tools", no_argument, NULL, 't'},
        {"as-root", no_argument, NULL, 'r'},
        {"wires", no_argument, NULL, 'w'},
        {NULL, 0, NULL, 0},
    };
    for (int c; (c = option_next(argc, argv, "+", known)) != -1;) {
        if (c == '?')
            return 2;
        if (c == 'a')
            options->app = optarg;
        else if (c == 't')
            options->with_tools = true;
        else if (c == 'r')
            options->as_root = true;
        else
            options->with_wires = true;
    }
    if (optind == argc || strcmp(argv[optind - 1], "--") == 0)
        return cmd_wrong(argv[0], "which SERVICE?");
    options->service = argv[optind++];
    if (optind == argc || strcmp(argv[optind], "--") != 0)
        return cmd_wrong(argv[0], "the command comes behind --, as in: hostd exec bank -- ./probe");
    if (++optind == argc || !*argv[optind])
        return cmd_wrong(argv[0], "which CMD?");
    if (argc - optind > (int)INIT_EXEC_ARGS_MAX)
        return cmd_wrong(argv[0], "too many arguments");
    options->words = argv + optind;
    return 0;
}

/* The text may come from inside: a command with every capability can speak for initsvc. */
static int failed(const struct err *e, int code)
{
    char shown[sizeof e->text * 4];
    size_t bytes = logtail_escape(e->text, strlen(e->text), shown, sizeof shown);
    (void)fprintf(stderr, "hostd exec: %.*s\n", (int)bytes, shown);
    return code;
}

/* All that is done before anything is started; the exit code. */
static int prepare(const struct exec_options *options, struct exec_target *target)
{
    struct err e = {0};
    int result = exec_target_find(options, target, &e);
    if (result < 0)
        return failed(&e, result == -EINVAL ? 2 : 1);
    if (exec_target_program(target, options, &e) < 0)
        return failed(&e, 2);
    if (!options->with_tools)
        return 0;
    if (exec_tools_root(target, &e) < 0)
        return failed(&e, 1);
    if (!options->as_root)
        (void)fprintf(stderr,
                      "hostd exec: --tools: a wider filter of system calls than that of %s, and the host's /usr\n",
                      target->service);
    return 0;
}

int cmd_exec(int argc, char **argv)
{
    struct exec_options options = {0};
    struct exec_target target = {.pidfd = -1, .initsvc_fd = -1};
    struct err e = {0};
    int code = parse_options(argc, argv, &options), wait_status = 0;
    if (code)
        return code;
    if (geteuid() != 0) {
        (void)fprintf(stderr, "hostd exec: needs root: it enters namespaces of services\n");
        return 1;
    }
    code = prepare(&options, &target);
    if (code == 0 && exec_run(&target, &wait_status, &e) < 0)
        code = failed(&e, 1);
    else if (code == 0)
        code = WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
    exec_target_done(&target);
    return code;
}
