/*
 * control_parse.h - what a client of the control socket may say: one line, a verb and its words.  Pure.
 *
 *     ps\n        stop\n        operator bank\n
 *
 * Strict: one space between words, one newline at the end and nothing behind it, a verb of the table, exactly its
 * words, each of the form that the table says.  Callers: control.c (both sides use the verbs), its test and fuzzer.
 */
#ifndef HOSTD_CONTROL_PARSE_H
#define HOSTD_CONTROL_PARSE_H

#include <stddef.h>

#include "rpc/base/contract.h"
#include "rpc/base/err.h"

#define CONTROL_REQUEST_BYTES_MAX 256u /* with its newline */
#define CONTROL_WORDS_MAX 2u           /* behind the verb */

enum control_verb {
    CONTROL_PS,              /* the application as JSON */
    CONTROL_OPERATOR,        /* SERVICE: a connection to it, for `hostd call` */
    CONTROL_STOP,            /* an orderly stop; the answer ends when everything has ended */
    CONTROL_STOP_SERVICE,    /* service: stopped when the answer comes, and it stays so */
    CONTROL_RESTART_SERVICE, /* service: ready in a new generation when the answer comes */
    CONTROL_VERB_COUNT
};

struct control_request {
    enum control_verb verb;
    size_t word_count;
    char words[CONTROL_WORDS_MAX][NAME_BYTES]; /* behind the verb */
};

/* -EINVAL: not a request; e says what is wrong with it. */
int control_parse(const char *bytes, size_t count, struct control_request *ret_request, struct err *e);

#endif
