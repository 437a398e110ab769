/* fuzz_ledger.c - the ledger of a hostd that died, whatever its file holds: parsed, printed, and parsed to the same. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "hostd/ledger.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *print(const struct ledger *ledger, size_t *ret_bytes)
{
    char *text = NULL;
    FILE *out = open_memstream(&text, ret_bytes);
    if (!out)
        abort();
    ledger_print(ledger, out);
    if (fclose(out) != 0)
        abort();
    return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ledger *ledger = NULL, *again = NULL;
    struct err e;
    if (ledger_parse((const char *)data, size, &ledger, &e) < 0)
        return 0;
    size_t bytes = 0, bytes_again = 0;
    char *text = print(ledger, &bytes);
    if (ledger_parse(text, bytes, &again, &e) < 0)
        abort();
    char *text_again = print(again, &bytes_again);
    if (bytes != bytes_again || memcmp(text, text_again, bytes) != 0)
        abort();
    free(text);
    free(text_again);
    free(ledger);
    free(again);
    return 0;
}
