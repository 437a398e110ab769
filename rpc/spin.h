/*
 * spin.h - whether to look for completions before sleeping.  Pure: it counts, and knows neither times nor rings.
 *
 * Where the peer runs on another CPU, its answer may be there sooner than that CPU could wake us, and looking costs
 * less of both CPUs than sleeping; where the peer waits for our CPU, each look only keeps it waiting.  A sealed service
 * is not told which of the two it is, and either may change at any time, so the looks themselves decide: `score` is how
 * well the last ones did.  At 0 the next `pause` waits sleep at once; that doubles with each look in vain and halves
 * with each that was not.
 *
 * Invariants
 *  I1  Waits in which nothing comes while one looks cost few looks: of n waits at most 2 + log2(n), until the pause has
 *      reached SPIN_PAUSE_MAX, and then one of so many.  An idle service hardly ever looks.
 *  I2  A look is tried again after SPIN_PAUSE_MAX waits, whatever was before.
 *
 * Called by ring.c alone.
 */
#ifndef RPC_SPIN_H
#define RPC_SPIN_H

#include <stdbool.h>
#include <stdint.h>

#define SPIN_SCORE_MAX 8u    /* looks that did well, at most so many in mind */
#define SPIN_SCORE_LOST 3u   /* by one in vain: one of four may be */
#define SPIN_PAUSE_MAX 4095u /* waits; one look in so many costs less than a thousandth */

struct spin {
    uint32_t score, pause, skip;
};

/* Before a wait: is it to look first? */
static inline bool spin_wants(struct spin *spin)
{
    if (spin->skip == 0)
        return true;
    spin->skip--;
    return false;
}

/* Something came while we looked. */
static inline void spin_won(struct spin *spin)
{
    if (spin->score < SPIN_SCORE_MAX)
        spin->score++;
    else
        spin->pause /= 2; /* only now is it a rule, and no luck */
}

/* Nothing came. */
static inline void spin_lost(struct spin *spin)
{
    spin->score = spin->score > SPIN_SCORE_LOST ? spin->score - SPIN_SCORE_LOST : 0;
    if (spin->score > 0)
        return;
    spin->pause = spin->pause * 2 + 1 < SPIN_PAUSE_MAX ? spin->pause * 2 + 1 : SPIN_PAUSE_MAX;
    spin->skip = spin->pause;
}

#endif
