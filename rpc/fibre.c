/* fibre.c - see fibre.h. */
#include "rpc/fibre.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
#define HAS_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAS_ASAN 1
#endif
#endif
#ifdef HAS_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

#define ALIGNMENT 16u
#define CHUNK_BYTES_MIN (16u << 10)
#define COLOURS 16u
#define COLOUR_BYTES 256u

struct fibre_chunk {
    struct fibre_chunk *next;
    size_t bytes;
};

static struct fibre *running;
static void *main_stack_pointer;
#ifdef HAS_ASAN
static const void *main_stack_low;
static size_t main_stack_bytes;
#endif

/* ---- the switch ---- */

/* Saves what the ABI lets a callee not change, stores the stack pointer in *save, goes on where `load` was saved. */
void fibre_switch(void **save, void *load);
/* Where a new fibre starts: calls fibre_enter() with the fibre that fibre_prepare() left in a saved register. */
void fibre_begin(void);
void fibre_enter(struct fibre *fibre);

#if defined(__x86_64__)
__asm__(".text\n"
        ".globl fibre_switch\n"
        ".hidden fibre_switch\n"
        ".type fibre_switch, @function\n"
        "fibre_switch:\n"
        "    pushq %rbp\n"
        "    pushq %rbx\n"
        "    pushq %r12\n"
        "    pushq %r13\n"
        "    pushq %r14\n"
        "    pushq %r15\n"
        "    subq $8, %rsp\n"
        "    stmxcsr (%rsp)\n"
        "    fnstcw 4(%rsp)\n"
        "    movq %rsp, (%rdi)\n"
        "    movq %rsi, %rsp\n"
        "    ldmxcsr (%rsp)\n"
        "    fldcw 4(%rsp)\n"
        "    addq $8, %rsp\n"
        "    popq %r15\n"
        "    popq %r14\n"
        "    popq %r13\n"
        "    popq %r12\n"
        "    popq %rbx\n"
        "    popq %rbp\n"
        "    ret\n"
        ".size fibre_switch, . - fibre_switch\n"
        ".globl fibre_begin\n"
        ".hidden fibre_begin\n"
        ".type fibre_begin, @function\n"
        "fibre_begin:\n"
        "    xorl %ebp, %ebp\n" /* the end of the chain, for who walks the stack */
        "    movq %r12, %rdi\n"
        "    call fibre_enter\n"
        "    ud2\n"
        ".size fibre_begin, . - fibre_begin\n");

static void prepare(struct fibre *fibre)
{
    uint64_t *top = (uint64_t *)(void *)(fibre->stack_low + fibre->stack_bytes);
    uint32_t mxcsr = 0x1f80; /* the values that a process starts with */
    uint64_t x87 = 0x037f;
    *--top = 0;
    *--top = 0; /* fibre_begin starts 16-byte aligned, as before a call */
    *--top = (uint64_t)(uintptr_t)fibre_begin;
    *--top = 0;                          /* rbp */
    *--top = 0;                          /* rbx */
    *--top = (uint64_t)(uintptr_t)fibre; /* r12 */
    *--top = 0;                          /* r13 */
    *--top = 0;                          /* r14 */
    *--top = 0;                          /* r15 */
    *--top = x87 << 32 | mxcsr;
    fibre->stack_pointer = top;
}
#elif defined(__aarch64__)
__asm__(".text\n"
        ".globl fibre_switch\n"
        ".hidden fibre_switch\n"
        ".type fibre_switch, %function\n"
        "fibre_switch:\n"
        "    sub sp, sp, #176\n"
        "    stp x19, x20, [sp, #0]\n"
        "    stp x21, x22, [sp, #16]\n"
        "    stp x23, x24, [sp, #32]\n"
        "    stp x25, x26, [sp, #48]\n"
        "    stp x27, x28, [sp, #64]\n"
        "    stp x29, x30, [sp, #80]\n"
        "    stp d8, d9, [sp, #96]\n"
        "    stp d10, d11, [sp, #112]\n"
        "    stp d12, d13, [sp, #128]\n"
        "    stp d14, d15, [sp, #144]\n"
        "    mrs x9, fpcr\n"
        "    str x9, [sp, #160]\n"
        "    mov x9, sp\n"
        "    str x9, [x0]\n"
        "    mov sp, x1\n"
        "    ldr x9, [sp, #160]\n"
        "    msr fpcr, x9\n"
        "    ldp x19, x20, [sp, #0]\n"
        "    ldp x21, x22, [sp, #16]\n"
        "    ldp x23, x24, [sp, #32]\n"
        "    ldp x25, x26, [sp, #48]\n"
        "    ldp x27, x28, [sp, #64]\n"
        "    ldp x29, x30, [sp, #80]\n"
        "    ldp d8, d9, [sp, #96]\n"
        "    ldp d10, d11, [sp, #112]\n"
        "    ldp d12, d13, [sp, #128]\n"
        "    ldp d14, d15, [sp, #144]\n"
        "    add sp, sp, #176\n"
        "    ret\n"
        ".size fibre_switch, . - fibre_switch\n"
        ".globl fibre_begin\n"
        ".hidden fibre_begin\n"
        ".type fibre_begin, %function\n"
        "fibre_begin:\n"
        "    mov x29, #0\n"
        "    mov x0, x19\n"
        "    bl fibre_enter\n"
        "    brk #1\n"
        ".size fibre_begin, . - fibre_begin\n");

static void prepare(struct fibre *fibre)
{
    uint64_t *top = (uint64_t *)(void *)(fibre->stack_low + fibre->stack_bytes) - 22;
    for (int i = 0; i < 22; i++)
        top[i] = 0;
    top[0] = (uint64_t)(uintptr_t)fibre;        /* x19 */
    top[11] = (uint64_t)(uintptr_t)fibre_begin; /* x30 */
    fibre->stack_pointer = top;
}
#else
#error "no context switch for this processor"
#endif

/* ---- the switch as the sanitizer must see it ---- */

static void to_fibre(struct fibre *fibre)
{
#ifdef HAS_ASAN
    void *main_fake_stack = NULL;
    __sanitizer_start_switch_fiber(&main_fake_stack, fibre->stack_low, fibre->stack_bytes);
#endif
    fibre_switch(&main_stack_pointer, fibre->stack_pointer);
#ifdef HAS_ASAN
    __sanitizer_finish_switch_fiber(main_fake_stack, NULL, NULL);
#endif
}

static void to_main(struct fibre *fibre)
{
#ifdef HAS_ASAN
    /* A finished fibre gives its fake stack up: NULL says so. */
    __sanitizer_start_switch_fiber(fibre->is_finished ? NULL : &fibre->asan_stack, main_stack_low, main_stack_bytes);
#endif
    fibre_switch(&fibre->stack_pointer, main_stack_pointer);
#ifdef HAS_ASAN
    __sanitizer_finish_switch_fiber(fibre->asan_stack, &main_stack_low, &main_stack_bytes);
#endif
}

void fibre_enter(struct fibre *fibre)
{
#ifdef HAS_ASAN
    __sanitizer_finish_switch_fiber(NULL, &main_stack_low, &main_stack_bytes);
#endif
    fibre->run(fibre);
    fibre->is_finished = true;
    to_main(fibre);
    abort(); /* a finished fibre was resumed */
}

bool fibre_resume(struct fibre *fibre)
{
    assert(!running && !fibre->is_finished);
    running = fibre;
    to_fibre(fibre);
    running = NULL;
    return fibre->is_finished;
}

void fibre_suspend(void)
{
    assert(running);
    to_main(running);
}

struct fibre *fibre_self(void)
{
    return running;
}

/* ---- the pool ---- */

void fibre_pool_init(struct fibre_pool *pool, uint32_t max, size_t object_bytes, size_t arena_bytes_max)
{
    *pool = (struct fibre_pool){
        .max = max,
        .object_bytes = (object_bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT,
        .arena_bytes_max = arena_bytes_max,
    };
}

static void reset_arena(struct fibre *fibre)
{
    while (fibre->chunks) {
        struct fibre_chunk *chunk = fibre->chunks;
        fibre->chunks = chunk->next;
        free(chunk);
    }
    fibre->at = fibre->first_piece;
    fibre->end = fibre->first_piece + FIBRE_ARENA_FIRST_BYTES;
    fibre->arena_bytes = FIBRE_ARENA_FIRST_BYTES;
    fibre->is_arena_full = false;
}

static struct fibre *make(struct fibre_pool *pool)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t upper = pool->object_bytes + FIBRE_ARENA_FIRST_BYTES;
    /* Not all at the same place of a page: many fibres that take turns would want the same few lines of the cache. */
    size_t colour = pool->made % COLOURS * COLOUR_BYTES;
    upper += colour;
    size_t total = page + (FIBRE_STACK_BYTES + upper + page - 1) / page * page;
    uint8_t *base =
        mmap(NULL, total, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED)
        return NULL;
    if (mprotect(base, page, PROT_NONE) < 0)
        return NULL; /* without a guard no fibre; the mapping stays, untouched, for want of munmap */
    struct fibre *fibre = (struct fibre *)(void *)(base + total - upper);
    fibre->stack_low = base + page;
    fibre->stack_bytes = (size_t)((uint8_t *)fibre - fibre->stack_low) / ALIGNMENT * ALIGNMENT;
    fibre->first_piece = (uint8_t *)fibre + pool->object_bytes;
    pool->made++;
    return fibre;
}

struct fibre *fibre_take(struct fibre_pool *pool, void (*run)(struct fibre *fibre))
{
    if (pool->running >= pool->max)
        return NULL;
    /* The one that ended last: its pages are warm. */
    struct fibre *fibre = pool->free;
    if (fibre)
        pool->free = fibre->next_free;
    else if (!(fibre = make(pool)))
        return NULL;
    pool->running++;
    fibre->run = run;
    fibre->is_finished = false;
#ifdef HAS_ASAN
    __asan_unpoison_memory_region(fibre->stack_low, fibre->stack_bytes); /* frames of its last life never returned */
#endif
    reset_arena(fibre);
    prepare(fibre);
    return fibre;
}

void fibre_give_back(struct fibre_pool *pool, struct fibre *fibre)
{
    reset_arena(fibre);
    fibre->next_free = pool->free;
    pool->free = fibre;
    pool->running--;
}

/* ---- the arena ---- */

static bool add_chunk(struct fibre_pool *pool, struct fibre *fibre, size_t bytes)
{
    size_t wanted = bytes + sizeof(struct fibre_chunk);
    size_t room = pool->arena_bytes_max - fibre->arena_bytes;
    if (pool->arena_bytes_max < fibre->arena_bytes || wanted > room)
        return false;
    size_t usual = fibre->chunks ? fibre->chunks->bytes * 2 : CHUNK_BYTES_MIN;
    if (wanted < usual)
        wanted = usual < room ? usual : room;
    struct fibre_chunk *chunk = malloc(wanted);
    if (!chunk)
        return false;
    chunk->next = fibre->chunks;
    chunk->bytes = wanted;
    fibre->chunks = chunk;
    fibre->arena_bytes += wanted;
    fibre->at = (uint8_t *)(chunk + 1);
    fibre->end = (uint8_t *)chunk + wanted;
    return true;
}

void *fibre_alloc(struct fibre_pool *pool, struct fibre *fibre, size_t bytes)
{
    if (bytes <= pool->arena_bytes_max) {
        bytes = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
        if (bytes <= (size_t)(fibre->end - fibre->at) || add_chunk(pool, fibre, bytes)) {
            void *piece = fibre->at;
            fibre->at += bytes;
            return piece;
        }
    }
    fibre->is_arena_full = true;
    return NULL;
}

_Static_assert(sizeof(struct fibre_chunk) == ALIGNMENT, "pieces of a chunk are aligned");
