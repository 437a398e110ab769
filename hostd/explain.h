/*
 * explain.h - may FROM call TO, and which line of the list says so.  Pure, over a checked manifest.
 *
 * Two layers decide, and the answer names the one that did: the wire (a [[link]] of the two, or none), then the method
 * (the link's `allow`).  Two callers are no services: "operator" (the service's `operator` list) and an ingress, by its
 * name, which brings bytes of the outside to the one service that has it, and no calls.
 *
 * Callers: `hostd explain`; its test.
 */
#ifndef HOSTD_EXPLAIN_H
#define HOSTD_EXPLAIN_H

#include <stdbool.h>
#include <stdio.h>

#include "hostd/manifest.h"

#define EXPLAIN_NONE UINT32_MAX
#define EXPLAIN_TO_BYTES (NAME_BYTES + METHOD_NAME_BYTES)

enum explain_layer {
    EXPLAIN_WIRE,     /* there is none */
    EXPLAIN_METHOD,   /* the link, and its allow list */
    EXPLAIN_OPERATOR, /* the callee's operator list */
    EXPLAIN_INGRESS,  /* an ingress: of the callee, or of another service */
    EXPLAIN_LAYER_COUNT
};

struct verdict {
    bool is_allowed;
    enum explain_layer layer;       /* the one that decided */
    uint32_t line;                  /* of the list: the [[link]], or the [service]; 0: no line says anything */
    uint32_t from, to;              /* services; from is EXPLAIN_NONE for the operator and an ingress */
    uint32_t link;                  /* or EXPLAIN_NONE */
    uint32_t ingress;               /* or EXPLAIN_NONE */
    char method[METHOD_NAME_BYTES]; /* "" where the question named none */
};

/*
 * to: "SERVICE" or "SERVICE.Interface.Method".  -ENOENT: one of the names is none of this list; e has the near one.
 */
int explain_decide(const struct manifest *manifest, const char *from, const char *to, struct verdict *ret_verdict,
                   struct err *e);

/* One line with the answer, then what it rests on; file: how the list is called in "FILE:LINE". */
void explain_print(const struct manifest *manifest, const char *file, const struct verdict *verdict, FILE *out);

/* "wire", "method", "operator", "ingress" */
const char *explain_layer_name(enum explain_layer layer);

#endif
