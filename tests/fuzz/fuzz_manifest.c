/*
 * fuzz_manifest.c - any text as a service list: a report or a block, and a block passes manifest_verify().
 *
 * Sources under test: hostd/{manifest,manifest_parse,rules,report,suggest,schema}.c hostd/toml.cpp rpc/base/err.c
 */
#include <stdint.h>

#include "tests/unit/hostd_fixture.h"

#define TEXT_BYTES_MAX (64u << 10) /* deeper nesting than a text of this size allows is the child's to survive */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static char report[MANIFEST_REPORT_BYTES];
    struct manifest *manifest = NULL;
    struct err e;
    if (bytes > TEXT_BYTES_MAX)
        return 0;
    report[0] = '\0';
    int r =
        manifest_parse((const char *)data, bytes, "app.toml", FIXTURE_DIR, FIXTURE_BIN, &fixture_io, &manifest, report);
    if (r == 0 && (!manifest || manifest_verify(manifest, manifest->total_bytes, &e) < 0))
        __builtin_trap(); /* what we emit, we accept */
    if (r < 0 && (manifest || !report[0]))
        __builtin_trap(); /* a refusal says why */
    for (const char *c = report; *c; c++)
        if (((unsigned char)*c < 0x20 && *c != '\n') || *c == 0x7F)
            __builtin_trap();
    free(manifest);
    return 0;
}
