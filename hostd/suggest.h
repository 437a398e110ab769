/*
 * suggest.h - the near name: which of some names a misspelt word was probably meant to be.
 *
 * Pure.  Callers: manifest (keys, services, methods), main (commands), options, client (applications, services).
 */
#ifndef HOSTD_SUGGEST_H
#define HOSTD_SUGGEST_H

#include <stddef.h>

#define SUGGEST_WORD_BYTES_MAX 64u /* longer words have no near name: bounds the work */

/*
 * Keep one per search: offer each known name, then read best (NULL: none is near).  Near is an edit distance
 * (insertions, deletions, substitutions, exchanges of neighbours) of at most a third of the word, at least 1, at
 * most 3.
 */
struct suggestion {
    const char *word;
    const char *best; /* one of the names offered; borrowed */
    unsigned best_distance;
};

static inline struct suggestion suggest_for(const char *word)
{
    return (struct suggestion){.word = word};
}

void suggest_offer(struct suggestion *suggestion, const char *name);

/* Over an array of count names. */
const char *suggest(const char *word, const char *const *names, size_t count);

#endif
