/*
 * wire.h - a link to a witness, and frames on it by hand: what librpc would refuse to send.
 *
 * Through the sealed ring as a service, by a socket of our own (argument peer) as root of its namespaces.
 */
#ifndef TESTS_ATTACKS_WIRE_H
#define TESTS_ATTACKS_WIRE_H

#include "rpc/frame.h"
#include "tests/attacks/attack.h"

#define PAYLOAD_BYTES_MAX 1024u
#define ANSWER_MS_MAX 3000

/* One end of a link: a slot of the sealed ring, or a socket. */
struct wire {
    int slot, fd;
};

struct answer {
    uint8_t type, status;
    uint32_t id;
    char text[PAYLOAD_BYTES_MAX]; /* of an error */
    char caller[NAME_BYTES];
    uint32_t generation, stale;
};

struct wire wire_open(const char *callee);
bool is_open(const struct wire *wire);
/* Bytes moved, 0 at the end of what comes, or a negative errno. */
long wire_send(const struct wire *wire, const void *bytes, size_t count);
long wire_receive(const struct wire *wire, void *bytes, size_t count);

/* The bytes that were written.  No payload: its bytes are there already, or come later. */
size_t put_frame(uint8_t *at, uint8_t type, const char *method, uint32_t id, const void *payload, size_t bytes);
/* WitnessNote { text }, of less than 128 bytes */
size_t put_note(uint8_t *at, const char *text);
/* The next frame; 0, -EPIPE when the other side closed, or another errno. */
long await_frame(const struct wire *wire, struct answer *answer);
/* A request with a note, and its answer. */
long call(const struct wire *wire, const char *method, const char *text, struct answer *answer);
/* Calls a method that should not be answered, and notes what came of it. */
void try_method(struct attempt *a, const char *method);

#endif
