/*
 * fuzz_rpcjson.c - any schema note, then any bytes as a reply of its first message: neither reads outside, and what
 * became JSON can be packed again and is the same then.
 *
 * The input: length of the note's text (two bytes, little endian), the text, the reply.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "hostd/rpcjson.h"
#include "rpc/base/own.h"
#include "tests/unit/rpctypes.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_reply(const struct types *types, const uint8_t *bytes, size_t count)
{
    json_t *object = NULL, *again = NULL;
    struct err e = {0};
    uint8_t *packed = NULL;
    size_t packed_count = 0;
    if (rpcjson_unpack(types, 0, bytes, count, &object, &e) < 0) {
        if (object || !e.text[0])
            abort();
        return;
    }
    char *shown = rpcjson_show(object);
    if (!shown || strpbrk(shown, "\x1b\x7f"))
        abort();
    free(shown);
    /* A large reply may become larger: numbers come packed, and go one by one. */
    int result = rpcjson_pack(types, 0, object, &packed, &packed_count, &e);
    if (result < 0 && result != -E2BIG)
        abort();
    if (result == 0 && (rpcjson_unpack(types, 0, packed, packed_count, &again, &e) < 0 || !json_equal(object, again)))
        abort();
    json_decref(again);
    json_decref(object);
    free(packed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char image[FIXTURE_ELF_BYTES];
    if (size < 2)
        return 0;
    size_t text_bytes = data[0] | (size_t)data[1] << 8;
    if (text_bytes > size - 2)
        text_bytes = size - 2;
    if (text_bytes > sizeof image - 1024)
        return 0;
    size_t bytes = fixture_typed_elf(image, "", data + 2, text_bytes);
    FREE_AUTO struct types *types = NULL;
    struct err e = {0};
    if (types_read(image, bytes, &types, &e) < 0) {
        if (!e.text[0])
            abort();
        return 0;
    }
    if (types->count > 0 && !types->at[0].is_enum) {
        size_t count = size - 2 - text_bytes;
        uint8_t *copy = malloc(count + (count == 0)); /* of its own size: the sanitizer sees a read behind it */
        if (!copy)
            return 0;
        memcpy(copy, data + 2 + text_bytes, count);
        check_reply(types, copy, count);
        free(copy);
    }
    return 0;
}
