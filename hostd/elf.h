/*
 * elf.h - what the dynamic loader would read of an ELF file: its interpreter, the libraries it needs, where it says
 * they are.
 *
 * Pure over (image, bytes), strict, trusts nothing in the image.  The texts point into the image.
 * Callers: closure.c; tests and fuzzers.
 */
#ifndef HOSTD_ELF_H
#define HOSTD_ELF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rpc/base/err.h"

#define ELF_HEADERS_MAX 64u /* program headers; a program has about a dozen */
#define ELF_NEEDED_MAX 128u /* DT_NEEDED of one file */

struct elf {
    const char *interpreter;     /* NULL: none */
    const char *rpath, *runpath; /* NULL: none */
    bool is_no_default;          /* DF_1_NODEFLIB: neither the cache nor the default directories */
    uint32_t needed_count;
    const char *needed[ELF_NEEDED_MAX];
};

/* -ENOEXEC: no ELF file that this machine can load.  -EINVAL: malformed.  -E2BIG: needs too many libraries. */
int elf_read(const void *image, size_t bytes, struct elf *ret_elf, struct err *e);

#endif
