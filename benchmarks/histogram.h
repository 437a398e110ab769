/*
 * histogram.h - times in nanoseconds, counted in steps of under one percent, without allocation.  Pure.
 *
 * Step 128 * k + j holds times of k + 7 bits whose seven bits behind the first are j; times below 128 ns have steps of
 * one.
 */
#ifndef BENCHMARKS_HISTOGRAM_H
#define BENCHMARKS_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_BITS 7u
#define HISTOGRAM_STEPS (1u << HISTOGRAM_BITS)
#define HISTOGRAM_ROWS 34u /* up to 2^40 ns, a quarter of an hour */

struct histogram {
    uint64_t count;
    uint32_t steps[HISTOGRAM_ROWS * HISTOGRAM_STEPS];
};

static inline void histogram_add(struct histogram *h, uint64_t ns)
{
    uint32_t row = ns < HISTOGRAM_STEPS ? 0 : 64u - (uint32_t)__builtin_clzll(ns) - HISTOGRAM_BITS;
    if (row >= HISTOGRAM_ROWS)
        row = HISTOGRAM_ROWS - 1;
    uint64_t step = row == 0 ? ns : (ns >> (row - 1)) & (HISTOGRAM_STEPS - 1);
    h->steps[row * HISTOGRAM_STEPS + step]++;
    h->count++;
}

static inline void histogram_merge(struct histogram *h, const struct histogram *other)
{
    for (uint32_t i = 0; i < HISTOGRAM_ROWS * HISTOGRAM_STEPS; i++)
        h->steps[i] += other->steps[i];
    h->count += other->count;
}

/* The time that the given part (0 to 1) of all stays below; between two steps by their counts.  0 when empty. */
static inline double histogram_quantile(const struct histogram *h, double part)
{
    double wanted = part * (double)h->count, seen = 0;
    for (uint32_t i = 0; i < HISTOGRAM_ROWS * HISTOGRAM_STEPS; i++) {
        uint32_t row = i / HISTOGRAM_STEPS, step = i % HISTOGRAM_STEPS;
        double width = row == 0 ? 1 : (double)(1ull << (row - 1));
        double from = row == 0 ? step : (double)(HISTOGRAM_STEPS + step) * width;
        if (h->steps[i] && seen + h->steps[i] >= wanted)
            return from + width * (wanted - seen) / h->steps[i];
        seen += h->steps[i];
    }
    return 0;
}

#endif
