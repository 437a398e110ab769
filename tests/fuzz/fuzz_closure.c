/*
 * fuzz_closure.c - any bytes as programs, libraries and ld.so.cache: the closure ends, its paths are clean and each is
 * there once, everything that was mapped is given back.
 *
 * The file system has four files, made by tests/unit/elf_fixture.h; which of them a path names is decided by a hash of
 * it.  The input is laid over them and over a cache, as records: file, offset (two bytes), length, bytes.
 * Sources under test: hostd/{closure,elf,rules}.c rpc/base/err.c
 */
#include <stdio.h>
#include <stdlib.h>

#include <errno.h>

#include "hostd/closure.h"
#include "hostd/rules.h"
#include "rpc/base/hash.h"
#include "tests/unit/elf_fixture.h"

#define FILES 4u

static char files[FILES][ELF_FIXTURE_BYTES], cache[1024];
static size_t file_bytes[FILES], cache_bytes;
static int open_count;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static int map(void *context, const char *path, const void **ret_image, size_t *ret_bytes)
{
    uint32_t which = method_id(path) % (FILES + 1);
    if (which == FILES)
        return -ENOENT;
    char *image = malloc(file_bytes[which]);
    if (!image)
        return -ENOMEM;
    memcpy(image, files[which], file_bytes[which]);
    *ret_image = image;
    *ret_bytes = file_bytes[which];
    open_count++;
    return 0;
}

static void unmap(void *context, const void *image, size_t bytes)
{
    open_count--;
    free((void *)(uintptr_t)image);
}

static void reset(void)
{
    static const struct elf_fixture fixtures[FILES] = {
        {.needed = {"libb.so", "libc.so.6", "libd.so.1"},
         .interpreter = "/lib64/ld.so",
         .runpath = "$ORIGIN/../lib:/opt"},
        {.needed = {"libe.so", "libc.so.6"}, .rpath = "${ORIGIN}/x:/usr/$LIB"},
        {.needed = {"/lib/libf.so"}, .flags_1 = DF_1_NODEFLIB},
        {.needed = {NULL}},
    };
    static const struct cache_fixture entries[] = {
        {"libb.so", "/usr/local/lib/libb.so"}, {"libe.so", "/lib/libe.so"}, {"libd.so.1", "/opt/libd.so.1"}};
    for (uint32_t i = 0; i < FILES; i++)
        file_bytes[i] = elf_make(files[i], &fixtures[i]);
    cache_bytes = cache_make(cache, entries, 3);
}

static void lay_over(const uint8_t *data, size_t bytes)
{
    while (bytes >= 5) {
        uint32_t which = data[0] % (FILES + 1u);
        char *to = which == FILES ? cache : files[which];
        size_t room = which == FILES ? cache_bytes : file_bytes[which];
        size_t at = (size_t)(data[1] | data[2] << 8) % room, count = data[3] % 32u + 1;
        data += 4;
        bytes -= 4;
        for (; count > 0 && bytes > 0 && at < room; count--, bytes--)
            to[at++] = (char)*data++;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static const struct closure_io io = {.map = map, .unmap = unmap};
    static struct closure closure;
    struct err e;
    reset();
    lay_over(data, bytes);
    char *exact = malloc(cache_bytes); /* so that a byte behind it is seen */
    if (!exact)
        return 0;
    memcpy(exact, cache, cache_bytes);
    closure_begin(&closure, &io, "/own/lib", exact, cache_bytes);
    (void)closure_add(&closure, "/usr/bin/program", true, bytes & 1, &e);
    (void)closure_add(&closure, "/usr/lib/module.so", false, true, &e);
    if (open_count != 0 || closure.count > CLOSURE_OBJECTS_MAX)
        __builtin_trap();
    for (uint32_t i = 0; i < closure.count; i++) {
        if (!rule_path_inside(closure.objects[i].path))
            __builtin_trap();
        for (uint32_t k = 0; k < i; k++)
            if (strcmp(closure.objects[i].path, closure.objects[k].path) == 0)
                __builtin_trap();
    }
    free(exact);
    return 0;
}
