/*
 * fuzz_control.c - any bytes as a request of the control socket: what is taken is one line that says again the same,
 * and nothing is read behind the bytes.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "hostd/control_parse.h"
#include "hostd/rules.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct control_request request = {.word_count = SIZE_MAX};
    struct err e = {0};
    char *bytes = malloc(size > 0 ? size : 1); /* of its own size: the sanitizer sees a read behind it */
    if (!bytes)
        return 0;
    memcpy(bytes, data, size);
    int result = control_parse(bytes, size, &request, &e);
    if (result == 0) {
        if (size == 0 || size > CONTROL_REQUEST_BYTES_MAX || memchr(data, '\n', size) != data + size - 1 ||
            memchr(data, '\0', size) || request.verb >= CONTROL_VERB_COUNT || request.word_count > CONTROL_WORDS_MAX)
            abort();
        /* From the end: the words are the last ones of the line, in their order. */
        const char *end = bytes + size - 1;
        for (size_t i = request.word_count; i-- > 0;) {
            size_t word_bytes = strlen(request.words[i]);
            if (!rule_name(request.words[i]) || (size_t)(end - bytes) < word_bytes + 1 ||
                memcmp(end - word_bytes, request.words[i], word_bytes) != 0 || end[-(long)word_bytes - 1] != ' ')
                abort();
            end -= word_bytes + 1;
        }
    } else if (result != -EINVAL || !e.text[0] || request.word_count != SIZE_MAX) {
        abort();
    }
    free(bytes);
    return 0;
}
