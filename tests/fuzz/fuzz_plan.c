/*
 * fuzz_plan.c - any bytes as a parsed block, and as an ELF image.  What manifest_verify() accepts can be planned,
 * made into contracts and printed; schema_read() reads nothing outside.
 *
 * The first byte chooses: even, the rest is a block; odd, an image.  A block of a true list is the seed that bytes are
 * laid over (offset, then bytes), so that its shape is not lost at once.
 * Sources under test: as fuzz_manifest.c, and hostd/{plan,plan_print,filter}.c
 */
#include <stdint.h>

#include "hostd/plan.h"
#include "hostd/schema.h"
#include "tests/unit/hostd_fixture.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static const char list[] =
    "[app]\nname = \"a\"\n[service.bank]\nexec = \"bank\"\ndata = [\"bank\"]\noperator = [\"Bank.Log\"]\n"
    "config = { a = 1, b = [true, \"x\"] }\n[service.front]\nexec = \"front\"\n"
    "ingress = [{ name = \"h\", listen = \"127.0.0.1:80\" }]\n"
    "files = [{ from = \"media\", to = \"/media\" }]\n"
    "[service.tool]\nkind = \"process\"\nexec = \"/usr/bin/tool\"\nargs = [\"-v\"]\nenv = { A = \"b\" }\n"
    "paths = [\"/usr/lib/tool\"]\nready = \"notify\"\nproc = true\n"
    "[service.job]\nkind = \"process\"\nexec = \"/usr/bin/static\"\n"
    "[[link]]\nfrom = \"job\"\nto = \"tool\"\nport = 80\n"
    "[[link]]\nfrom = \"front\"\nto = \"bank\"\nallow = [\"Bank.Log\", \"Bank.Open\"]\n";

static void use(const struct manifest *manifest)
{
    struct plan *plan = NULL;
    struct err e;
    if (plan_make(manifest, 65536, &plan, &e) < 0)
        return;
    for (uint32_t i = 0; i < plan->service_count; i++) {
        struct contract *contract = NULL;
        if (plan_contract(plan, i, 1, &contract, &e) < 0)
            __builtin_trap();
        if (contract->total_bytes != contract->strings_at + contract->strings_bytes)
            __builtin_trap();
        free(contract);
    }
    char *text = NULL;
    size_t text_bytes = 0;
    FILE *out = open_memstream(&text, &text_bytes);
    if (out) {
        (void)plan_print_text(plan, out);
        (void)plan_print_json(plan, out);
        (void)plan_print_dot(plan, out);
        (void)fclose(out);
    }
    free(text);
    plan_free(plan);
}

static void try_block(const uint8_t *data, size_t bytes)
{
    static struct manifest *seed;
    static char report[MANIFEST_REPORT_BYTES];
    struct err e;
    if (!seed && fixture_parse(list, &seed, report) < 0)
        __builtin_trap();
    char *block = malloc(seed->total_bytes);
    if (!block)
        return;
    memcpy(block, seed, seed->total_bytes);
    while (bytes >= 4) { /* offset, length, bytes */
        uint32_t at = (uint32_t)(data[0] | data[1] << 8) % seed->total_bytes, count = data[2] % 16u + 1;
        data += 3;
        bytes -= 3;
        for (; count > 0 && bytes > 0 && at < seed->total_bytes; count--, bytes--)
            block[at++] = (char)*data++;
    }
    if (manifest_verify((struct manifest *)(void *)block, seed->total_bytes, &e) == 0)
        use((struct manifest *)(void *)block);
    free(block);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static struct schema schema;
    struct err e;
    if (bytes == 0)
        return 0;
    if (data[0] & 1)
        (void)schema_read(data + 1, bytes - 1, &schema, &e);
    else
        try_block(data + 1, bytes - 1);
    return 0;
}
