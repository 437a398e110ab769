/* options.c - see options.h.  All words are looked at before getopt sees the first, so that it finds nothing wrong. */
#include "hostd/options.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "hostd/cmd.h"
#include "hostd/suggest.h"

#define NAME_BYTES_MAX 64u /* of an option; longer ones have no near name (suggest.h) */

static bool unknown(const char *command, const char *word, size_t bytes, const struct option *known)
{
    char name[NAME_BYTES_MAX], what[160];
    (void)snprintf(name, sizeof name, "%.*s", (int)(bytes < NAME_BYTES_MAX ? bytes : NAME_BYTES_MAX - 1), word);
    struct suggestion near = suggest_for(name);
    const struct option *begun = NULL; /* abbreviated */
    for (const struct option *one = known; one->name && name[0]; one++) {
        suggest_offer(&near, one->name);
        begun = !begun && strncmp(one->name, name, strlen(name)) == 0 ? one : begun;
    }
    const char *best = near.best ? near.best : begun ? begun->name : NULL;
    if (best) {
        (void)fprintf(stderr, "hostd %s: unknown option '--%s'; did you mean '--%s'?\n", command, name, best);
        return false;
    }
    (void)snprintf(what, sizeof what, "unknown option '--%s'", name);
    (void)cmd_wrong(command, what);
    return false;
}

/* "--name", "--name=value", "--name value" */
static bool check_long(const char *command, const char *word, const char *next, const struct option *known,
                       bool *ret_takes_next)
{
    size_t bytes = strcspn(word, "=");
    char what[160];
    const struct option *all = known;
    while (known->name && (strlen(known->name) != bytes || memcmp(known->name, word, bytes) != 0))
        known++;
    if (!known->name)
        return unknown(command, word, bytes, all);
    *ret_takes_next = known->has_arg == required_argument && !word[bytes];
    if (known->has_arg == no_argument && word[bytes])
        (void)snprintf(what, sizeof what, "option '--%s' takes no value", known->name);
    else if (*ret_takes_next && !next)
        (void)snprintf(what, sizeof what, "option '--%s' lacks what belongs behind it", known->name);
    else
        return true;
    (void)cmd_wrong(command, what);
    return false;
}

static bool check_short(const char *command, const char *word, const char *letters)
{
    char what[40];
    for (const char *letter = word; *letter; letter++) {
        if (*letter != '+' && *letter != ':' && strchr(letters, *letter))
            continue;
        (void)snprintf(what, sizeof what, "unknown option '-%c'", *letter);
        (void)cmd_wrong(command, what);
        return false;
    }
    return true;
}

static bool check(int argc, char **argv, const char *letters, const struct option *known)
{
    for (int i = 1; i < argc; i++) {
        const char *word = argv[i];
        bool takes_next = false;
        if (strcmp(word, "--") == 0 || (word[0] != '-' && letters[0] == '+'))
            return true;
        if (word[0] != '-' || !word[1])
            continue;
        if (word[1] != '-') {
            if (!check_short(argv[0], word + 1, letters))
                return false;
            continue;
        }
        if (!check_long(argv[0], word + 2, i + 1 < argc ? argv[i + 1] : NULL, known, &takes_next))
            return false;
        i += takes_next;
    }
    return true;
}

int option_next(int argc, char **argv, const char *letters, const struct option *known)
{
    static bool is_checked;
    if (!is_checked) {
        is_checked = true;
        optind = 1;
        opterr = 0;
        if (!check(argc, argv, letters, known))
            return '?';
    }
    return getopt_long(argc, argv, letters, known, NULL);
}
