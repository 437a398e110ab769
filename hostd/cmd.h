/*
 * cmd.h - the subcommands of hostd: what a row of the table holds, and the functions behind the rows.
 *
 * To add a command: a file cmd_NAME.c with its function, its declaration here, its row in main.c.
 * A command gets its own words (argv[0] is its name), parses them with option_next(), prints its own errors to stderr,
 * and returns the exit code: 0, 1 failure, 2 usage or configuration (client.h has the rule).  Whether what it printed
 * to stdout went out is looked at by main.c.
 */
#ifndef HOSTD_CMD_H
#define HOSTD_CMD_H

struct command {
    const char *name;
    const char *arguments; /* as usage shows them */
    const char *summary;   /* one line, without a full stop */
    int (*run)(int argc, char **argv);
};

struct manifest;
struct plan;

/* Prints "hostd COMMAND: what" and how the command is used; returns 2. */
int cmd_wrong(const char *command, const char *what);

/* Loads, checks and plans a list; prints what is wrong with it.  0: free() the manifest after plan_free(); else the
 * exit code. */
int cmd_load(const char *command, const char *file, struct manifest **ret_manifest, struct plan **ret_plan);

int cmd_call(int argc, char **argv);
int cmd_check(int argc, char **argv);
int cmd_doctor(int argc, char **argv);
int cmd_events(int argc, char **argv);
int cmd_exec(int argc, char **argv);
int cmd_explain(int argc, char **argv);
int cmd_logs(int argc, char **argv);
int cmd_plan(int argc, char **argv);
int cmd_ps(int argc, char **argv);
int cmd_restart(int argc, char **argv);
int cmd_start(int argc, char **argv);
int cmd_stop(int argc, char **argv);
int cmd_top(int argc, char **argv);

#endif
