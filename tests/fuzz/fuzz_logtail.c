/*
 * fuzz_logtail.c - any bytes as a stored log line: what is shown holds no control character and fits its room.
 */
#include <stdint.h>
#include <stdlib.h>

#include "hostd/logtail.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char shown[4096];
    const char *text = (const char *)data;
    size_t bytes = size;
    uint64_t at_ms = 0;
    bool is_own = false;
    if (logtail_parse((const char *)data, size, &at_ms, &is_own, &text, &bytes) &&
        text + bytes != (const char *)data + size)
        abort();
    size_t room = size % sizeof shown;
    size_t used = logtail_escape(text, bytes, shown, room);
    if (used > room)
        abort();
    for (size_t i = 0; i < used; i++)
        if ((unsigned char)shown[i] < 0x20 || shown[i] == 0x7f)
            abort();
    return 0;
}
