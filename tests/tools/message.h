/*
 * message.h - calls as text: "Bank.Balance username=alice" to a message, and a message to "zoobars=10".
 *
 * For the test programs that make calls by name (forge, rpcprobe): it walks the descriptors of the interfaces that
 * zoobar's services publish, so that no test knows how a message is encoded.
 */
#ifndef TESTS_TOOLS_MESSAGE_H
#define TESTS_TOOLS_MESSAGE_H

#include <protobuf-c/protobuf-c.h>
#include <stddef.h>

struct message_method {
    const char *name; /* the one that was asked for */
    const ProtobufCMessageDescriptor *input, *output;
};

/* "Interface.Method".  0, or -1 when there is no such method. */
int message_method(const char *name, struct message_method *ret_method);

/*
 * Fills a new message from "field=value" texts: strings, bytes, integers.  NULL, with a line on stderr, when a field
 * does not exist or a value is no number.  The message points into the texts and is never freed: a test program ends.
 */
ProtobufCMessage *message_make(const ProtobufCMessageDescriptor *type, char **fields, size_t count);

/* Writes " field=value" for each scalar field that is set, "field.N" for how many a repeated one has. */
void message_text(const ProtobufCMessage *message, char *out, size_t bytes);

/* The value of a scalar field as text; "" when there is none. */
void message_field(const ProtobufCMessage *message, const char *name, char *out, size_t bytes);

#endif
