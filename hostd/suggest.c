/* suggest.c - see suggest.h. */
#include "hostd/suggest.h"

#include <string.h>

static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

/* Damerau-Levenshtein distance, restricted form, over three rows of the table.  Both words are short. */
static unsigned distance(const char *a, size_t a_bytes, const char *b, size_t b_bytes)
{
    unsigned rows[3][SUGGEST_WORD_BYTES_MAX + 1];
    unsigned *before = rows[0], *last = rows[1], *row = rows[2];
    for (unsigned j = 0; j <= b_bytes; j++)
        last[j] = j;
    memcpy(before, last, sizeof rows[0]); /* never read before it is a real row */
    for (unsigned i = 1; i <= a_bytes; i++) {
        row[0] = i;
        for (unsigned j = 1; j <= b_bytes; j++) {
            unsigned cost = a[i - 1] != b[j - 1];
            row[j] = least(least(last[j] + 1, row[j - 1] + 1), last[j - 1] + cost);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = least(row[j], before[j - 2] + 1);
        }
        unsigned *oldest = before;
        before = last;
        last = row;
        row = oldest;
    }
    return last[b_bytes];
}

void suggest_offer(struct suggestion *suggestion, const char *name)
{
    size_t word_bytes = strlen(suggestion->word), name_bytes = strlen(name);
    if (word_bytes == 0 || word_bytes > SUGGEST_WORD_BYTES_MAX || name_bytes > SUGGEST_WORD_BYTES_MAX)
        return;
    unsigned limit = (unsigned)(word_bytes > name_bytes ? word_bytes : name_bytes) / 3;
    limit = limit < 1 ? 1 : limit > 3 ? 3 : limit;
    unsigned found = distance(suggestion->word, word_bytes, name, name_bytes);
    if (found > limit || (suggestion->best && found >= suggestion->best_distance))
        return;
    suggestion->best = name;
    suggestion->best_distance = found;
}

const char *suggest(const char *word, const char *const *names, size_t count)
{
    struct suggestion suggestion = suggest_for(word);
    for (size_t i = 0; i < count; i++)
        suggest_offer(&suggestion, names[i]);
    return suggestion.best;
}
