/*
 * rpc.h - the whole of librpc that a service sees.
 *
 * A service in four steps:
 *   1. describe its interface in a .proto file (one `service` block); the build makes NAME.pb-c.h (messages) and
 *      NAME.rpc.h (stubs) from it;
 *   2. write one handler per method: enum rpc_status say(struct rpc_call *, const EchoSayRequest *, EchoSayReply *);
 *   3. call other services through their stubs: status = bank_balance(rpc_peer("bank"), &request, &reply);
 *   4. int main(int argc, char **argv) { return rpc_main(argc, argv, &service); }
 *
 * Each call and each stream runs in a fibre of its own: a call to another service, a sleep or a job on a worker blocks
 * only that fibre.  There is one ring and one thread; handlers never run at the same time, and switch only inside the
 * functions marked "blocks the fibre".
 *
 * Memory: what rpc_alloc() and the stubs give belongs to the running fibre's arena, is bounded (RPC_ARENA_BYTES_MAX)
 * and is gone when the handler returns.  Nothing of it is ever freed one by one.
 *
 * Errors: statuses with the names and numbers of gRPC (google.rpc.Code).  A failed call also has a text for people.
 */
#ifndef RPC_RPC_H
#define RPC_RPC_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rpc/base/err.h"

#define RPC_ARENA_BYTES_MAX (4u << 20) /* per fibre: what one call may make of its messages */
#define RPC_DEADLINE_MS_DEFAULT 10000u /* of a call made outside any call */

enum rpc_status {
    RPC_OK = 0,
    RPC_CANCELLED = 1,
    RPC_UNKNOWN = 2,
    RPC_INVALID_ARGUMENT = 3,
    RPC_DEADLINE_EXCEEDED = 4,
    RPC_NOT_FOUND = 5,
    RPC_ALREADY_EXISTS = 6,
    RPC_PERMISSION_DENIED = 7,
    RPC_RESOURCE_EXHAUSTED = 8,
    RPC_FAILED_PRECONDITION = 9,
    RPC_ABORTED = 10,
    RPC_OUT_OF_RANGE = 11,
    RPC_UNIMPLEMENTED = 12,
    RPC_INTERNAL = 13,
    RPC_UNAVAILABLE = 14,
    RPC_DATA_LOSS = 15,
    RPC_UNAUTHENTICATED = 16,
    RPC_STATUS_COUNT
};

/* "OK", "NOT_FOUND", ...; "UNKNOWN" for a number that is none. */
const char *rpc_status_name(enum rpc_status status);

/* ---- serving ---- */

struct rpc_call; /* one call being served, in its own fibre */

/* Who calls.  From the listener that the connection came in by, and from nothing else. */
struct rpc_caller {
    const char *name;    /* service name of the TOML */
    uint32_t generation; /* which start of it, from 1 */
    bool is_verified;    /* false only in plain mode, where no kernel vouches for the name */
};

/* Never NULL, valid as long as the call. */
const struct rpc_caller *rpc_caller(const struct rpc_call *call);

/* Sets the text (printf form, cut at 200 bytes) that goes with the status; returns status: `return rpc_fail(call,
 * RPC_NOT_FOUND, ...)`. */
enum rpc_status rpc_fail(struct rpc_call *call, enum rpc_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* ---- calling ---- */

struct rpc_peer; /* a callee that the TOML links this service to */

/* NULL when there is no link to a service of that name.  Cheap; keep it or ask again. */
struct rpc_peer *rpc_peer(const char *name);

/* Text that came with the last failed call of this fibre ("" if none).  Valid until the fibre's next call. */
const char *rpc_error_text(void);

/*
 * Deadline of the calls that this fibre makes from now on, in ms from now.  Never later than the deadline of the call
 * being served, which is what a handler starts with.
 */
void rpc_set_deadline_ms(uint32_t ms);

/* Blocks the fibre for ms milliseconds, or until the deadline of the call being served. */
void rpc_sleep_ms(uint32_t ms);

/* Starts a fibre of our own, with an arena of its own.  -EAGAIN when fibres_max are running. */
int rpc_spawn(void (*run)(void *arg), void *arg);

/* ---- memory of the running fibre ---- */

void *rpc_alloc(size_t bytes);                     /* zeroed; NULL when the arena is full */
char *rpc_strndup(const char *text, size_t bytes); /* NULL when the arena is full */
char *rpc_strdup(const char *text);
char *rpc_printf(const char *format, ...) __attribute__((format(printf, 1, 2)));
ProtobufCAllocator *rpc_allocator(void); /* the same arena, for protobuf-c */

/* ---- paths: the service's data directories and files ---- */

/*
 * Where `path` of the service's root ("/bank/bank.db") can be opened: path itself, but in plain mode, where there is no
 * root of its own, the place on the host.  Without symbolic links on the way.  Of the fibre's arena; NULL when that is
 * full.
 */
const char *rpc_path(const char *path);

/* ---- configuration: [service.NAME.config] of the TOML ---- */

/* key with dots: "routes.0.pattern".  fallback when the key is not there. */
const char *rpc_config_string(const char *key, const char *fallback);
int64_t rpc_config_int(const char *key, int64_t fallback);
bool rpc_config_bool(const char *key, bool fallback);
/* Number of elements of an array: rpc_config_count("routes") is 2 when there are keys routes.0... and routes.1... */
size_t rpc_config_count(const char *key);

/* ---- streams: raw bytes from an ingress ---- */

struct rpc_stream;

/* Blocks the fibre until at least one byte is there.  Returns the number read, 0 at the end, -ETIMEDOUT, -ECONNRESET,
 * -ECANCELED ... */
long rpc_stream_read(struct rpc_stream *stream, void *buffer, size_t bytes, uint32_t timeout_ms);
/* Blocks the fibre until all is sent.  0 or a negative errno (-ETIMEDOUT: the peer does not read). */
int rpc_stream_write(struct rpc_stream *stream, const void *buffer, size_t bytes, uint32_t timeout_ms);
/* The stream is closed when the function that was given it returns. */

/* ---- workers: a thread for what blocks (a database, a slow hash) ---- */

struct rpc_worker;

struct rpc_worker_ops {
    /*
     * A worker takes all jobs that wait as one batch: begin, each job, end.  Jobs of a batch are answered only after
     * end(): a database opens a transaction in begin and commits in end, and concurrent calls share one commit.
     * begin and end may be NULL; without both, each job is answered as soon as it is done.  A negative errno of begin
     * or end becomes the result of every job of the batch.
     */
    int (*begin)(void *context);
    int (*end)(void *context);
};

#define RPC_WORKER_BATCH_MAX 64 /* jobs in one batch: bounds how long the first one waits for the commit */

/* Starts a thread.  ops may be NULL.  queue_max: jobs that may wait; more get -EAGAIN.  context is passed to all
 * functions. */
int rpc_worker_start(const struct rpc_worker_ops *ops, void *context, size_t queue_max, struct rpc_worker **ret_worker,
                     struct err *e);

/*
 * Runs job(context, arg) on the worker; blocks the fibre until it is done (a deadline does not end it: what was begun
 * is finished).  Returns the job's result, or -EAGAIN when queue_max jobs wait.  In the job only arg may be used: none
 * of the functions above.
 */
int rpc_worker_run(struct rpc_worker *worker, int (*job)(void *context, void *arg), void *arg);

/* ---- the program ---- */

struct rpc_method {
    uint32_t id;      /* method_id(name), rpc/base/hash.h */
    const char *name; /* "Bank.Balance" */
    const ProtobufCMessageDescriptor *input, *output;
    bool is_input_flat, is_output_flat; /* rpc/codec.h; false is always right, and slower */
};

/* Made by the generator: NAME_interface(&handlers). */
struct rpc_interface {
    const struct rpc_method *methods;
    size_t method_count;
    const void *handlers; /* the table of handlers that the user filled */
    enum rpc_status (*dispatch)(const void *handlers, size_t method, struct rpc_call *call,
                                const ProtobufCMessage *request, ProtobufCMessage *reply);
};

struct rpc_service {
    const struct rpc_interface *interfaces;
    size_t interface_count;
    /* Runs in a fibre before READY: opens databases, reads the configuration.  Not 0: the program ends with e on
     * stderr.  May be NULL. */
    int (*start)(struct err *e);
    /* Serves one accepted connection of an ingress.  NULL for services without one. */
    void (*stream)(const char *ingress, struct rpc_stream *stream);
};

/* Runs the service until PID 1 says stop.  Returns the exit code of the program. */
int rpc_main(int argc, char **argv, const struct rpc_service *service);

/* What generated client stubs call.  Blocks the fibre.  *ret_reply is of the fibre's arena. */
enum rpc_status rpc_invoke(struct rpc_peer *peer, const struct rpc_method *method, const ProtobufCMessage *request,
                           ProtobufCMessage **ret_reply);

#endif
