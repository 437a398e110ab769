/*
 * options.h - options of a command: as getopt_long(3) finds them, but each written in full, and each mistake said in
 * one line with the near name.
 *
 *     for (int c; (c = option_next(argc, argv, "f", known)) != -1;)
 *         if (c == '?')
 *             return 2; // said already
 *
 * letters: short options, as getopt's; "+" in front: the first word that is no option ends them.  An abbreviation is
 * refused: it would mean something else, or nothing, with the next option that a release adds.
 * -h and --help never come here (main.c).
 *
 * Callers: cmd_*.c, each once in the life of the process.
 */
#ifndef HOSTD_OPTIONS_H
#define HOSTD_OPTIONS_H

#include <getopt.h>

int option_next(int argc, char **argv, const char *letters, const struct option *known);

#endif
