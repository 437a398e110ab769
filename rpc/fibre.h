/*
 * fibre.h - straight-line code on a stack of its own, and the memory that goes with it.
 *
 * One main context resumes fibres; a fibre suspends itself back to it.  Fibres never resume each other.  The switch is
 * our own: ucontext's asks the kernel for the signal mask each time, which costs a system call that a sealed service
 * does not even have.
 *
 * One mapping per fibre, from low to high:   guard page | stack | object | first piece of the arena
 * "object" is the pool user's struct, which begins with a struct fibre.  A stack that overflows meets the guard page.
 *
 * Invariants
 *  I1  A pool makes at most `max` fibres and never unmaps one: sealed services have no munmap.  Memory is bounded by
 *      the most fibres that ran at once.
 *  I2  What fibre_alloc() gave is valid until the fibre ends; a fibre's arena never holds more than its limit.
 *
 * Called by task.c alone.
 */
#ifndef RPC_FIBRE_H
#define RPC_FIBRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FIBRE_STACK_BYTES                                                                                              \
    (256u << 10) /* virtual: only pages that were used count; glibc's regexec takes up to 64 KiB */
#define FIBRE_ARENA_FIRST_BYTES (8u << 10)

struct fibre_chunk;

struct fibre {
    void *stack_pointer; /* while it does not run */
    void (*run)(struct fibre *fibre);
    struct fibre *next_free;
    uint8_t *stack_low;
    size_t stack_bytes;
    bool is_finished;
    /* arena */
    uint8_t *first_piece, *at, *end;
    struct fibre_chunk *chunks;
    size_t arena_bytes;
    bool is_arena_full; /* a request for memory was refused */
    void *asan_stack;
};

struct fibre_pool {
    struct fibre *free;
    uint32_t made, running, max;
    size_t object_bytes, arena_bytes_max;
};

/* object_bytes: of the user's struct.  Makes no fibre yet. */
void fibre_pool_init(struct fibre_pool *pool, uint32_t max, size_t object_bytes, size_t arena_bytes_max);

/* A fibre that will run `run` when first resumed; its object behind struct fibre is as its last user left it (zero at
 * first).  NULL: max are running, or no memory. */
struct fibre *fibre_take(struct fibre_pool *pool, void (*run)(struct fibre *fibre));

/* From the main context: runs it until it suspends (false) or its function returned (true: give it back). */
bool fibre_resume(struct fibre *fibre);

/* Its memory is gone; the fibre may be taken again. */
void fibre_give_back(struct fibre_pool *pool, struct fibre *fibre);

/* From inside a fibre: back to the main context until resumed. */
void fibre_suspend(void);

/* The running one, NULL in the main context. */
struct fibre *fibre_self(void);

/* 16-byte aligned, not zeroed.  NULL when the arena's limit is reached. */
void *fibre_alloc(struct fibre_pool *pool, struct fibre *fibre, size_t bytes);

#endif
