/*
 * schema.h - the methods that a service's binary declares, read from its ELF image without running it.
 *
 * A server's main source holds one note per interface (name "hostd", type 1) whose descriptor is text, one line per
 * method: "Bank.Balance BankBalanceRequest BankBalanceReply\n" (rpc/rpcgen.c writes it).  A second note (type 2) has
 * the fields of those messages: rpctypes.h reads it.
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
#define SCHEMA_TYPE_NAME_BYTES 128u /* of a message or enum, with its NUL */
#define SCHEMA_HEADERS_MAX 64u      /* program headers of one binary; a static one has about ten */

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

enum schema_note { SCHEMA_METHODS = 1, SCHEMA_MESSAGES = 2 };

/* Takes one line of a note, without its newline; a negative errno ends the reading. */
typedef int schema_take(void *context, const char *line, size_t bytes, struct err *e);

/* Gives every line of every note of that type (enum schema_note) to take.  -ENOEXEC and -EINVAL as above. */
int schema_lines(const void *image, size_t bytes, uint32_t type, schema_take *take, void *context, struct err *e);

struct schema_word {
    const char *at;
    size_t bytes;
};

/* Takes a line apart at single spaces; the number of words, or -EINVAL: an empty one, or more than words_max. */
int schema_words(const char *line, size_t bytes, size_t words_max, struct schema_word *words);

/* [A-Za-z_][A-Za-z0-9_]*; one or more of them joined with dots, below SCHEMA_TYPE_NAME_BYTES. */
bool schema_identifier_is_valid(const char *name, size_t bytes);
bool schema_type_is_valid(const char *name, size_t bytes);

/* "Interface.Method": two identifiers, below METHOD_NAME_BYTES. */
bool schema_method_is_valid(const char *name, size_t bytes);

#endif
