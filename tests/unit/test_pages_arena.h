/* test_pages_arena.h - an arena for tests of pages and their parts: each block apart, so that sanitizers see its ends.
 */
#ifndef TEST_PAGES_ARENA_H
#define TEST_PAGES_ARENA_H

#include <protobuf-c/protobuf-c.h>
#include <stdlib.h>

struct test_block {
    struct test_block *next;
    max_align_t bytes[];
};

static struct test_block *test_blocks;

static void *test_take(void *data, size_t bytes)
{
    struct test_block *block = calloc(1, sizeof *block + bytes);
    if (!block)
        abort();
    block->next = test_blocks;
    test_blocks = block;
    return block->bytes;
}

static void *test_take_nothing(void *data, size_t bytes)
{
    return NULL;
}

static void test_keep(void *data, void *block)
{
}

static ProtobufCAllocator test_arena __attribute__((unused)) = {.alloc = test_take, .free = test_keep};
static ProtobufCAllocator test_no_memory __attribute__((unused)) = {.alloc = test_take_nothing, .free = test_keep};

/* A teardown of cmocka. */
static int test_arena_clear(void **state)
{
    while (test_blocks) {
        struct test_block *next = test_blocks->next;
        free(test_blocks);
        test_blocks = next;
    }
    return 0;
}

#endif
