/*
 * schema.h - the methods that a service's binary declares, read from its ELF image without running it.
 *
 * A server's main source holds one note per interface (name "hostd", type 1) whose descriptor is text, one line per
 * method: "Bank.Balance BankBalanceRequest BankBalanceReply\n" (rpc/rpcgen.c writes it).
 *
 * Pure over (image, bytes), strict, trusts nothing in the image.  Callers: manifest_parse(); tests and fuzzers.
 */
#ifndef HOSTD_SCHEMA_H
#define HOSTD_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rpc/base/contract.h"
#include "rpc/base/err.h"

#define SCHEMA_METHODS_MAX 256u
#define SCHEMA_HEADERS_MAX 64u /* program headers of one binary; a static one has about ten */

struct schema {
    bool is_dynamic; /* asks for an interpreter: no program for a sealed root */
    uint32_t count;
    char methods[SCHEMA_METHODS_MAX][METHOD_NAME_BYTES]; /* in the order of the notes */
};

/*
 * -ENOEXEC: not an executable ELF64 file of this machine.  -EINVAL: a hostd note that is malformed, or two methods of
 * one name or number.  -E2BIG: too many methods.
 */
int schema_read(const void *image, size_t bytes, struct schema *ret_schema, struct err *e);

/* "Interface.Method": two identifiers, below METHOD_NAME_BYTES. */
bool schema_method_is_valid(const char *name, size_t bytes);

#endif
