/*
 * fuzz_markup.c - whatever a user writes, the HTML of the profile holds only our tags, balanced, and escaped text.
 *
 *     clang -g -O1 -D_GNU_SOURCE -fsanitize=fuzzer,address,undefined -I. tests/fuzz/fuzz_markup.c \
 *         apps/zoobar/profile/markup.c -lgumbo
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "apps/zoobar/profile/markup.h"

static void *heap_alloc(void *data, size_t bytes)
{
    return malloc(bytes);
}

static void heap_free(void *data, void *block)
{
    free(block);
}

/* Length of the tag that begins at the "<", as we write them: a lower-case name, no attribute. */
static size_t tag_bytes(const char *at)
{
    size_t bytes = 1 + (at[1] == '/');
    bytes += strspn(at + bytes, "abcdefghijklmnopqrstuvwxyz3456");
    return at[bytes] == '>' ? bytes + 1 : 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ProtobufCAllocator heap = {.alloc = heap_alloc, .free = heap_free};
    char *html = markup_render((const char *)data, size, &heap);
    if (!html)
        abort();
    long depth = 0;
    for (const char *c = html; *c; c++) {
        if (strchr("\"'>", *c) || (*c == '&' && !strchr("alg#", c[1])))
            abort();
        if (*c != '<')
            continue;
        size_t bytes = tag_bytes(c);
        bool is_void = strncmp(c, "<br>", 4) == 0 || strncmp(c, "<hr>", 4) == 0;
        if (bytes == 0 || strncmp(c, "<div", 4) == 0 || strncmp(c, "<script", 7) == 0 || strncmp(c, "<style", 6) == 0)
            abort();
        depth += c[1] == '/' ? -1 : is_void ? 0 : 1;
        if (depth < 0 || depth > (long)MARKUP_DEPTH_MAX)
            abort();
        c += bytes - 1;
    }
    if (depth != 0)
        abort();
    free(html);
    return 0;
}
