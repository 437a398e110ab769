/*
 * rpcgen.c - the stub generator: walks the descriptors of one `service` block and writes BASE.rpc.h and BASE.rpc.c.
 *
 * The build compiles it once per .proto, linked with the descriptors that protobuf-c made:
 *   -DRPCGEN_SERVICE=bank__descriptor -DRPCGEN_BASE='"apps/zoobar/api/bank"'
 * and runs it with the output path without ".h" or ".c".  Written for `service Bank` of bank.proto:
 *   - a client stub per method:
 *         enum rpc_status bank_transfer(struct rpc_peer *, const BankTransferRequest *, BankTransferReply **)
 *   - a table of handlers: struct bank_handlers { enum rpc_status (*transfer)(struct rpc_call *, ...); ... }
 *   - the interface to serve: struct rpc_interface bank_interface(const struct bank_handlers *)
 *   - the schema notes of a server, BANK_SCHEMA_NOTE, once at file scope of its main source: hostd reads the methods of
 *     a binary (type 1), and the fields of their messages (type 2), from these ELF notes without running it
 *
 * Invariants
 *  I1  Two methods with one number (method_id) are refused: a call could reach the wrong handler.
 *  I2  Message types that contain themselves are refused: what decoding a message costs in stack is bounded by its
 *      schema, never by the bytes that a peer sends.
 *  I3  A handler named like a word of C gets a trailing underscore (Auth.Register is `register_`).
 *
 * Runs at build time only; part of no service.
 */
#include <ctype.h>
#include <protobuf-c/protobuf-c.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rpc/base/hash.h"
#include "rpc/base/weaken.h"
#include "rpc/codec.h"

#define IDENTIFIER_BYTES 128 /* of a made C name; protobuf names are far shorter */
#define NESTING_MAX 32       /* levels of messages in messages; also what finds a cycle */
#define MESSAGES_MAX 256     /* of one interface */

extern const ProtobufCServiceDescriptor RPCGEN_SERVICE;

static const ProtobufCServiceDescriptor *service = &RPCGEN_SERVICE;
static char prefix[IDENTIFIER_BYTES]; /* "bank" */

static _Noreturn void __attribute__((format(printf, 1, 2))) refuse(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fprintf(stderr, "rpcgen: %s.proto: ", RPCGEN_BASE);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    exit(1);
}

/* "TransferAsOwner" -> "transfer_as_owner"; "package.Name" -> "package__name", as protobuf-c names things. */
static void snake(char out[IDENTIFIER_BYTES], const char *name)
{
    size_t used = 0;
    bool was_upper = true; /* no underscore in front of the first letter */
    for (; *name; name++) {
        if (used + 3 >= IDENTIFIER_BYTES)
            refuse("the name %s is too long", name);
        if (*name == '.') {
            out[used++] = '_';
            out[used++] = '_';
            was_upper = true;
            continue;
        }
        bool is_upper = isupper((unsigned char)*name);
        if (is_upper && !was_upper)
            out[used++] = '_';
        out[used++] = (char)tolower((unsigned char)*name);
        was_upper = is_upper;
    }
    out[used] = '\0';
}

static void handler_name(char out[IDENTIFIER_BYTES], const char *method)
{
    static const char *const words[] = {
        "auto",   "break",    "case",     "char",     "const", "continue", "default", "do",     "double",
        "else",   "enum",     "extern",   "float",    "for",   "goto",     "if",      "inline", "int",
        "long",   "register", "restrict", "return",   "short", "signed",   "sizeof",  "static", "struct",
        "switch", "typedef",  "union",    "unsigned", "void",  "volatile", "while",   "asm",    "typeof",
    };
    snake(out, method);
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strcmp(out, words[i]) == 0) {
            strcat(out, "_"); /* snake() left room for it */
            return;
        }
}

static void check_nesting(const ProtobufCMessageDescriptor *message, const char *method, unsigned depth)
{
    if (depth > NESTING_MAX) {
        if (weakened("nesting"))
            return;
        refuse("method %s: message %s contains itself or is nested too deeply", method, message->name);
    }
    for (unsigned i = 0; i < message->n_fields; i++)
        if (message->fields[i].type == PROTOBUF_C_TYPE_MESSAGE)
            check_nesting(message->fields[i].descriptor, method, depth + 1);
}

static uint32_t id_of(unsigned method)
{
    char name[IDENTIFIER_BYTES * 2];
    (void)snprintf(name, sizeof name, "%s.%s", service->short_name, service->methods[method].name);
    return method_id(name);
}

static void check_methods(void)
{
    for (unsigned i = 0; i < service->n_methods; i++) {
        const ProtobufCMethodDescriptor *method = &service->methods[i];
        for (unsigned j = 0; j < i; j++)
            if (id_of(i) == id_of(j))
                refuse("methods %s and %s have the same number: rename one", method->name, service->methods[j].name);
        check_nesting(method->input, method->name, 0);
        check_nesting(method->output, method->name, 0);
    }
}

static void write_upper(FILE *out, const char *text)
{
    for (; *text; text++)
        fputc(toupper((unsigned char)*text), out);
}

/* ---- schema notes (hostd/schema.h, hostd/rpctypes.h) ---- */

struct text {
    char *at;
    size_t bytes;
};

static void __attribute__((format(printf, 2, 3))) add(struct text *text, const char *format, ...)
{
    char line[4 * IDENTIFIER_BYTES];
    va_list args;
    va_start(args, format);
    int bytes = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    char *larger = realloc(text->at, text->bytes + sizeof line);
    if (bytes < 0 || (size_t)bytes >= sizeof line || !larger)
        refuse("a line of the schema note is too long");
    memcpy(larger + text->bytes, line, (size_t)bytes + 1);
    text->at = larger;
    text->bytes += (size_t)bytes;
}

/* What is described already: messages and enums, each once. */
static const void *described[MESSAGES_MAX];
static size_t described_count;

static bool is_described(const void *descriptor)
{
    for (size_t i = 0; i < described_count; i++)
        if (described[i] == descriptor)
            return true;
    if (described_count == MESSAGES_MAX)
        refuse("more than %d messages", MESSAGES_MAX);
    described[described_count++] = descriptor;
    return false;
}

static void describe_enum(struct text *text, const ProtobufCEnumDescriptor *type)
{
    if (is_described(type))
        return;
    add(text, "enum %s\n", type->name);
    for (unsigned i = 0; i < type->n_values; i++)
        add(text, "%d %s\n", type->values[i].value, type->values[i].name);
}

/* "message NAME", then per field "NUMBER NAME one|many TYPE", with the name of the type behind "message" and "enum". */
static void describe_message(struct text *text, const ProtobufCMessageDescriptor *message)
{
    static const char *const types[] = {
        [PROTOBUF_C_TYPE_INT32] = "int32",       [PROTOBUF_C_TYPE_SINT32] = "sint32",
        [PROTOBUF_C_TYPE_SFIXED32] = "sfixed32", [PROTOBUF_C_TYPE_INT64] = "int64",
        [PROTOBUF_C_TYPE_SINT64] = "sint64",     [PROTOBUF_C_TYPE_SFIXED64] = "sfixed64",
        [PROTOBUF_C_TYPE_UINT32] = "uint32",     [PROTOBUF_C_TYPE_FIXED32] = "fixed32",
        [PROTOBUF_C_TYPE_UINT64] = "uint64",     [PROTOBUF_C_TYPE_FIXED64] = "fixed64",
        [PROTOBUF_C_TYPE_FLOAT] = "float",       [PROTOBUF_C_TYPE_DOUBLE] = "double",
        [PROTOBUF_C_TYPE_BOOL] = "bool",         [PROTOBUF_C_TYPE_ENUM] = "enum",
        [PROTOBUF_C_TYPE_STRING] = "string",     [PROTOBUF_C_TYPE_BYTES] = "bytes",
        [PROTOBUF_C_TYPE_MESSAGE] = "message",
    };
    if (is_described(message))
        return;
    add(text, "message %s\n", message->name);
    for (unsigned i = 0; i < message->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &message->fields[i];
        const char *nested = "";
        if (field->type == PROTOBUF_C_TYPE_MESSAGE)
            nested = ((const ProtobufCMessageDescriptor *)field->descriptor)->name;
        else if (field->type == PROTOBUF_C_TYPE_ENUM)
            nested = ((const ProtobufCEnumDescriptor *)field->descriptor)->name;
        add(text, "%u %s %s %s%s%s\n", field->id, field->name,
            field->label == PROTOBUF_C_LABEL_REPEATED ? "many" : "one", types[field->type], *nested ? " " : "", nested);
    }
    for (unsigned i = 0; i < message->n_fields; i++) {
        if (message->fields[i].type == PROTOBUF_C_TYPE_MESSAGE)
            describe_message(text, message->fields[i].descriptor);
        else if (message->fields[i].type == PROTOBUF_C_TYPE_ENUM)
            describe_enum(text, message->fields[i].descriptor);
    }
}

static void write_note(FILE *out, const char *what, unsigned type, const struct text *text)
{
    fprintf(out,
            "    static const struct { \\\n"
            "        uint32_t name_bytes, text_bytes, type; \\\n"
            "        char name[8], text[%zu]; \\\n"
            "    } %s_schema_%s __attribute__((section(\".note.hostd.schema\"), used, aligned(4))) = { \\\n"
            "        6, %zu, %u, \"hostd\", \\\n",
            (text->bytes + 3) / 4 * 4, prefix, what, text->bytes, type);
    for (const char *line = text->at, *newline; (newline = strchr(line, '\n')); line = newline + 1)
        fprintf(out, "        \"%.*s\\n\" \\\n", (int)(newline - line), line);
    fprintf(out, "    }");
}

static void write_notes(FILE *out)
{
    struct text methods = {0}, messages = {0};
    for (unsigned i = 0; i < service->n_methods; i++) {
        const ProtobufCMethodDescriptor *method = &service->methods[i];
        add(&methods, "%s.%s %s %s\n", service->short_name, method->name, method->input->name, method->output->name);
        describe_message(&messages, method->input);
        describe_message(&messages, method->output);
    }
    fputs("/* Once at file scope of the server's main source: the methods it serves and their messages, readable "
          "without running it. */\n#define ",
          out);
    write_upper(out, prefix);
    fputs("_SCHEMA_NOTE \\\n", out);
    write_note(out, "methods", 1, &methods);
    fputs("; \\\n", out);
    write_note(out, "messages", 2, &messages);
    fputs("\n\n", out);
    free(methods.at);
    free(messages.at);
}

static void write_header(FILE *out)
{
    char guard[IDENTIFIER_BYTES + 16];
    (void)snprintf(guard, sizeof guard, "RPCGEN_%s_RPC_H", prefix);
    fprintf(out, "/* Made by rpcgen from %s.proto: stubs of interface %s. */\n#ifndef ", RPCGEN_BASE,
            service->short_name);
    write_upper(out, guard);
    fprintf(out, "\n#define ");
    write_upper(out, guard);
    fprintf(out, "\n\n#include \"%s.pb-c.h\"\n#include \"rpc/rpc.h\"\n\n", RPCGEN_BASE);

    fprintf(out,
            "/* Calling.  Each blocks the fibre; *ret_reply is of the fibre's arena and untouched on failure. */\n");
    for (unsigned i = 0; i < service->n_methods; i++) {
        const ProtobufCMethodDescriptor *method = &service->methods[i];
        char name[IDENTIFIER_BYTES];
        snake(name, method->name);
        fprintf(out, "enum rpc_status %s_%s(struct rpc_peer *peer, const %s *request, %s **ret_reply);\n", prefix, name,
                method->input->c_name, method->output->c_name);
    }

    fprintf(out,
            "\n/* Serving.  A handler that is NULL answers UNIMPLEMENTED; reply comes initialized. */\nstruct "
            "%s_handlers {\n",
            prefix);
    for (unsigned i = 0; i < service->n_methods; i++) {
        const ProtobufCMethodDescriptor *method = &service->methods[i];
        char name[IDENTIFIER_BYTES];
        handler_name(name, method->name);
        fprintf(out, "    enum rpc_status (*%s)(struct rpc_call *call, const %s *request, %s *reply);\n", name,
                method->input->c_name, method->output->c_name);
    }
    fprintf(out,
            "};\n\n/* handlers is kept, not copied. */\nstruct rpc_interface %s_interface(const struct %s_handlers "
            "*handlers);\n\n",
            prefix, prefix);
    write_notes(out);
    fprintf(out, "#endif\n");
}

static void write_source(FILE *out)
{
    fprintf(
        out,
        "/* Made by rpcgen from %s.proto. */\n#include \"%s.rpc.h\"\n\nstatic const struct rpc_method methods[] = {\n",
        RPCGEN_BASE, RPCGEN_BASE);
    for (unsigned i = 0; i < service->n_methods; i++) {
        const ProtobufCMethodDescriptor *method = &service->methods[i];
        char input[IDENTIFIER_BYTES], output[IDENTIFIER_BYTES];
        snake(input, method->input->name);
        snake(output, method->output->name);
        fprintf(out, "    {0x%08xu, \"%s.%s\", &%s__descriptor, &%s__descriptor, %d, %d},\n", id_of(i),
                service->short_name, method->name, input, output, codec_is_flat(method->input),
                codec_is_flat(method->output));
    }
    fprintf(out, "};\n\n");

    for (unsigned i = 0; i < service->n_methods; i++) {
        const ProtobufCMethodDescriptor *method = &service->methods[i];
        char name[IDENTIFIER_BYTES];
        snake(name, method->name);
        fprintf(out,
                "enum rpc_status %s_%s(struct rpc_peer *peer, const %s *request, %s **ret_reply)\n{\n"
                "    ProtobufCMessage *reply;\n"
                "    enum rpc_status status = rpc_invoke(peer, &methods[%u], &request->base, &reply);\n"
                "    if (status == RPC_OK)\n        *ret_reply = (%s *)reply;\n    return status;\n}\n\n",
                prefix, name, method->input->c_name, method->output->c_name, i, method->output->c_name);
    }

    fprintf(out,
            "static enum rpc_status dispatch(const void *table, size_t method, struct rpc_call *call,\n"
            "                                const ProtobufCMessage *request, ProtobufCMessage *reply)\n{\n"
            "    const struct %s_handlers *handlers = table;\n    switch (method) {\n",
            prefix);
    for (unsigned i = 0; i < service->n_methods; i++) {
        const ProtobufCMethodDescriptor *method = &service->methods[i];
        char name[IDENTIFIER_BYTES];
        handler_name(name, method->name);
        fprintf(out,
                "    case %u:\n        if (handlers->%s)\n            return handlers->%s(call, (const %s *)request, "
                "(%s *)reply);\n"
                "        break;\n",
                i, name, name, method->input->c_name, method->output->c_name);
    }
    fprintf(
        out,
        "    }\n    return rpc_fail(call, RPC_UNIMPLEMENTED, \"this service does not implement the method\");\n}\n\n"
        "struct rpc_interface %s_interface(const struct %s_handlers *handlers)\n{\n"
        "    return (struct rpc_interface){methods, %u, handlers, dispatch};\n}\n",
        prefix, prefix, service->n_methods);
}

static void write_file(const char *base, const char *suffix, void (*write)(FILE *))
{
    char path[4096];
    if ((size_t)snprintf(path, sizeof path, "%s%s", base, suffix) >= sizeof path)
        refuse("the output path is too long");
    FILE *out = fopen(path, "w");
    if (!out) {
        perror(path);
        exit(1);
    }
    write(out);
    bool is_bad = ferror(out);
    if (fclose(out) != 0 || is_bad) {
        perror(path);
        exit(1);
    }
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: rpcgen OUTPUT_BASE\n");
        return 2;
    }
    const char *slash = strrchr(RPCGEN_BASE, '/');
    snake(prefix, slash ? slash + 1 : RPCGEN_BASE);
    check_methods();
    write_file(argv[1], ".h", write_header);
    write_file(argv[1], ".c", write_source);
    return 0;
}
