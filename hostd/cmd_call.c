/*
 * cmd_call.c - `hostd call`: the operator calls a method of a running service; JSON in and out.
 *
 *   as root       finds the list, asks hostd for a connection, maps the service's binary
 *   as nobody     reads the schema in the binary, makes the message, speaks frames, shows the reply
 *
 * Between the two stands confine_self(): the binary, the connection and all that comes over it are the service's, which
 * may be anybody's by now.
 *
 * Invariant: what is printed of the service's words is escaped (rpcjson_show, logtail_escape).
 */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "hostd/app.h"
#include "hostd/client.h"
#include "hostd/cmd.h"
#include "hostd/confine.h"
#include "hostd/options.h"
#include "hostd/rpcjson.h"
#include "hostd/runlist.h"
#include "hostd/suggest.h"
#include "rpc/base/clock.h"
#include "rpc/base/hash.h"
#include "rpc/base/own.h"
#include "rpc/frame.h"
#include "rpc/rpc.h"

#define TIMEOUT_S_DEFAULT 10u
#define TIMEOUT_S_MAX 300u /* longer ones librpc cuts (DEADLINE_MS_MAX) */
#define GRACE_MS 1000u     /* for the service to say itself that the deadline is over */
#define MEMORY_BYTES_MAX (1u << 30)
#define CPU_SECONDS_MAX 30u
#define SHOWN_FIELDS_MAX 100u      /* of a message in a list; a schema may name a thousand times more by nesting */
#define INPUT_BYTES_MAX (4u << 20) /* of JSON: a message of 1 MiB as base64, and room */

struct options {
    const char *app, *service, *method, *json;
    uint32_t timeout_ms;
    bool is_listing;
};

/* What is known before privileges go. */
struct target {
    const struct manifest *manifest;
    const struct manifest_service *service;
    const char *list; /* path */
    int fd;           /* the connection; -1 when only listing */
    const void *image;
    size_t image_bytes;
};

static int fail(const struct err *e, int code)
{
    (void)fprintf(stderr, "hostd call: %s\n", e->text);
    return code;
}

static int parse_options(int argc, char **argv, struct options *options)
{
    static const struct option known[] = {{"app", required_argument, NULL, 'a'},
                                          {"list", no_argument, NULL, 'l'},
                                          {"timeout", required_argument, NULL, 't'},
                                          {NULL, 0, NULL, 0}};
    for (int c; (c = option_next(argc, argv, "", known)) != -1;) {
        char *end = NULL;
        if (c == '?')
            return 2;
        unsigned long seconds = c == 't' ? strtoul(optarg, &end, 10) : 0;
        if (c == 'a')
            options->app = optarg;
        else if (c == 'l')
            options->is_listing = true;
        else if (c == 't' && *optarg >= '1' && *optarg <= '9' && !*end && seconds <= TIMEOUT_S_MAX)
            options->timeout_ms = (uint32_t)seconds * 1000;
        else
            return cmd_wrong(argv[0], "--timeout takes 1 to 300 seconds");
    }
    int words = argc - optind;
    if ((words < 1 && !options->is_listing) || words > 3)
        return cmd_wrong(argv[0], words < 1 ? "which SERVICE?" : "SERVICE, METHOD and JSON only");
    if (options->is_listing && words > 1)
        return cmd_wrong(argv[0], "--list takes a SERVICE only");
    options->service = words > 0 ? argv[optind] : NULL;
    options->method = words > 1 ? argv[optind + 1] : NULL;
    options->json = words > 2 ? argv[optind + 2] : "{}";
    options->is_listing |= words == 1;
    return 0;
}

/* ---- as root ---- */

/* The service that is meant, which must have a ring. */
static int find_service(const struct manifest *manifest, const char *app_name, const char *name,
                        const struct manifest_service **ret_service, struct err *e)
{
    int result = client_find_service(manifest, app_name, name, ret_service, e);
    if (result == 0 && (*ret_service)->kind == KIND_PROCESS)
        result = err_set(e, -EINVAL, "service '%s' is a process: it has no methods to call", name);
    return result;
}

/* Asks hostd for a connection; *ret_pid is the service's process. */
static int connect_to(const char *app_name, const char *service, int *ret_fd, pid_t *ret_pid, struct err *e)
{
    char request[NAME_BYTES * 2];
    FREE_AUTO char *answer = NULL;
    (void)snprintf(request, sizeof request, "operator %s", service);
    int result = client_ask_fd(app_name, request, &answer, ret_fd, e);
    if (result < 0)
        return result;
    json_t *object = json_loads(answer, JSON_REJECT_DUPLICATES, NULL);
    const char *error = json_string_value(json_object_get(object, "error"));
    *ret_pid = (pid_t)json_integer_value(json_object_get(object, "service_pid"));
    if (error)
        result = err_set(e, -EAGAIN, "%s", error);
    else if (*ret_fd < 0 || *ret_pid <= 0)
        result = err_set(e, -EPROTO, "answer of application '%s' cannot be read", app_name);
    json_decref(object);
    return result;
}

static int map_binary(const char *path, struct target *target, struct err *e)
{
    struct stat status;
    FD_AUTO int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 || fstat(fd, &status) < 0)
        return err_sys(e, -errno, "open %s", path);
    if (!S_ISREG(status.st_mode) || status.st_size <= 0)
        return err_set(e, -ENOEXEC, "%s is no program", path);
    void *image = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (image == MAP_FAILED)
        return err_sys(e, -errno, "map %s", path);
    target->image = image;
    target->image_bytes = (size_t)status.st_size;
    return 0;
}

/* The connection, and the program that runs at its other end. */
static int reach(const char *app_name, const struct options *options, struct target *target, struct err *e)
{
    char path[64];
    pid_t pid = 0;
    int result = connect_to(app_name, options->service, &target->fd, &pid, e);
    (void)snprintf(path, sizeof path, "/proc/%d/exe", (int)pid);
    return result < 0 ? result : map_binary(path, target, e);
}

/* JSON of the command line, or "-": of standard input, to its end. */
static int read_input(const char *word, char **ret_text, struct err *e)
{
    FREE_AUTO char *text = strcmp(word, "-") == 0 ? malloc(INPUT_BYTES_MAX) : strdup(word);
    if (!text)
        return err_set(e, -ENOMEM, "no memory for the JSON");
    size_t used = 0;
    for (ssize_t got = 1; strcmp(word, "-") == 0 && got > 0; used += (size_t)got) {
        got = read(STDIN_FILENO, text + used, INPUT_BYTES_MAX - used - 1);
        if (got < 0)
            return err_sys(e, -errno, "read standard input");
        if (used + (size_t)got == INPUT_BYTES_MAX - 1)
            return err_set(e, -E2BIG, "the JSON has more than %u bytes", INPUT_BYTES_MAX - 2);
        text[used + (size_t)got] = '\0';
    }
    *ret_text = text;
    text = NULL;
    return 0;
}

/* ---- as nobody: listing ---- */

static bool may_call(const struct target *target, const char *method)
{
    const struct manifest_method *methods = manifest_methods(target->manifest) + target->service->operator_first;
    for (uint32_t i = 0; i < target->service->operator_count; i++)
        if (strcmp(methods[i].name, method) == 0)
            return true;
    return false;
}

/* "{username: string, entries: [{...}]}"; recursion ends with the types (rpctypes.h, I2). */
static void print_type(const struct types *types, uint32_t index, uint32_t *fields_left)
{
    const struct type *type = &types->at[index];
    (void)putchar('{');
    for (uint32_t i = 0; i < type->field_count; i++) {
        if (*fields_left == 0) {
            (void)fputs("...", stdout);
            break;
        }
        *fields_left -= 1;
        const struct type_field *field = &types_fields(types, type)[i];
        (void)printf("%s%s: %s", i ? ", " : "", field->name, field->is_many ? "[" : "");
        if (field->type == FIELD_MESSAGE)
            print_type(types, field->nested, fields_left);
        else if (field->type == FIELD_ENUM)
            (void)printf("enum %s", types->at[field->nested].name);
        else
            (void)fputs(types_field_name(field->type), stdout);
        (void)fputs(field->is_many ? "]" : "", stdout);
    }
    (void)putchar('}');
}

static void print_methods(const struct target *target, const struct types *types)
{
    int width = 0;
    for (uint32_t i = 0; i < types->method_count; i++)
        width = (int)strlen(types->methods[i].name) > width ? (int)strlen(types->methods[i].name) : width;
    for (uint32_t i = 0; i < types->method_count; i++) {
        const struct type_method *method = &types->methods[i];
        uint32_t input_left = SHOWN_FIELDS_MAX, output_left = SHOWN_FIELDS_MAX;
        (void)printf("%s %-*s ", may_call(target, method->name) ? "*" : "-", width, method->name);
        print_type(types, method->input, &input_left);
        (void)fputs(" -> ", stdout);
        print_type(types, method->output, &output_left);
        (void)putchar('\n');
    }
    if (types->method_count == 0)
        (void)printf("service '%s' has no interface: nothing can be called\n", target->service->name);
    else
        (void)printf("* the operator may call it, - it is not on the service's operator list (%s:%u)\n", target->list,
                     target->service->line);
}

/* ---- as nobody: calling ---- */

static const struct type_method *find_method(const struct types *types, const char *service, const char *name,
                                             struct err *e)
{
    struct suggestion near = suggest_for(name);
    for (uint32_t i = 0; i < types->method_count; i++) {
        if (strcmp(types->methods[i].name, name) == 0)
            return &types->methods[i];
        suggest_offer(&near, types->methods[i].name);
    }
    for (uint32_t i = 0; !near.best && i < types->method_count; i++) {
        const char *dot = strchr(types->methods[i].name, '.');
        if (dot && strcmp(dot + 1, name) == 0)
            near.best = types->methods[i].name;
    }
    (void)err_set(e, -ENOENT, "service '%s' has no method '%s'", service, name);
    if (near.best)
        (void)err_hint(e, "did you mean '%s'?", near.best);
    else
        (void)err_hint(e, "hostd call --list %s shows them", service);
    return NULL;
}

/* Waits until fd is ready for events; -ETIMEDOUT. */
static int await(int fd, short events, uint64_t until_ms)
{
    for (;;) {
        uint64_t now_ms = clock_ms();
        struct pollfd poll_fd = {.fd = fd, .events = events};
        if (now_ms >= until_ms)
            return -ETIMEDOUT;
        int ready = poll(&poll_fd, 1, (int)(until_ms - now_ms));
        if (ready > 0)
            return 0;
        if (ready < 0 && errno != EINTR)
            return -errno;
    }
}

static int send_all(int fd, const uint8_t *bytes, size_t count, uint64_t until_ms)
{
    while (count > 0) {
        int result = await(fd, POLLOUT, until_ms);
        if (result < 0)
            return result;
        ssize_t sent = send(fd, bytes, count, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN && errno != EINTR)
            return -errno;
        bytes += sent > 0 ? sent : 0;
        count -= sent > 0 ? (size_t)sent : 0;
    }
    return 0;
}

/* One frame, whose payload lies in buffer.  -ETIMEDOUT, -ECONNRESET (the service closed it), -EPROTO. */
static int receive_frame(int fd, uint8_t *buffer, size_t room, uint64_t until_ms, struct frame *ret_frame)
{
    for (size_t used = 0, need = 0;;) {
        long taken = frame_decode(buffer, used, RPCJSON_BYTES_MAX, ret_frame, &need);
        if (taken < 0)
            return (int)taken;
        if (taken > 0)
            return 0;
        int result = await(fd, POLLIN, until_ms);
        if (result < 0)
            return result;
        ssize_t got = recv(fd, buffer + used, room - used, MSG_DONTWAIT);
        if (got == 0)
            return -ECONNRESET;
        if (got < 0 && errno != EAGAIN && errno != EINTR)
            return -errno;
        used += got > 0 ? (size_t)got : 0;
    }
}

/* Sends the request, waits for its answer.  A failure of the connection is a status too. */
static enum rpc_status exchange(int fd, const char *method, const uint8_t *message, size_t count, uint32_t timeout_ms,
                                uint8_t *buffer, size_t room, struct frame *ret_answer, struct err *e)
{
    uint8_t header[FRAME_HEADER_BYTES];
    const struct frame request = {.type = FRAME_REQUEST,
                                  .method = method_id(method),
                                  .id = 1,
                                  .deadline_ms = timeout_ms,
                                  .payload_bytes = (uint32_t)count};
    uint64_t until_ms = clock_ms() + timeout_ms + GRACE_MS;
    frame_encode(header, &request);
    int result = send_all(fd, header, sizeof header, until_ms);
    if (result == 0)
        result = send_all(fd, message, count, until_ms);
    /* A service that closed the connection may have said why. */
    if (result == 0 || result == -EPIPE || result == -ECONNRESET)
        result = receive_frame(fd, buffer, room, until_ms, ret_answer);
    if (result == 0 && (ret_answer->id != 1 || (ret_answer->type != FRAME_REPLY && ret_answer->type != FRAME_ERROR)))
        result = -EPROTO;
    if (result == 0)
        return RPC_OK;
    if (result == -ETIMEDOUT) {
        (void)err_set(e, result, "no answer within %u ms", timeout_ms + GRACE_MS);
        return RPC_DEADLINE_EXCEEDED;
    }
    if (result == -EPROTO) {
        (void)err_set(e, result, "the service's answer is no frame");
        return RPC_INTERNAL;
    }
    (void)err_set(e, result, "the service closed the connection: it ends, or serves as many operators as it may");
    return RPC_UNAVAILABLE;
}

static int print_status(const struct target *target, const char *method, enum rpc_status status, const char *text,
                        size_t bytes)
{
    char shown[FRAME_TEXT_BYTES_MAX * 4 + ERR_TEXT_BYTES];
    size_t shown_bytes = logtail_escape(text, bytes, shown, sizeof shown);
    (void)fprintf(stderr, "hostd call: %s of '%s': %s%s%.*s", method, target->service->name, rpc_status_name(status),
                  shown_bytes ? ": " : "", (int)shown_bytes, shown);
    if (status == RPC_PERMISSION_DENIED && !may_call(target, method))
        (void)fprintf(stderr, " (to allow it, add \"%s\" to `operator` of the service, %s:%u)", method, target->list,
                      target->service->line);
    (void)fputc('\n', stderr);
    return 1;
}

static int print_reply(const struct types *types, const struct type_method *method, const struct frame *answer)
{
    json_t *object = NULL;
    struct err e = {0};
    if (rpcjson_unpack(types, method->output, answer->payload, answer->payload_bytes, &object, &e) < 0)
        return fail(&e, 1);
    FREE_AUTO char *shown = rpcjson_show(object);
    json_decref(object);
    if (!shown) {
        (void)err_set(&e, -ENOMEM, "no memory for the reply");
        return fail(&e, 1);
    }
    (void)puts(shown);
    return 0;
}

static int call(const struct target *target, const struct types *types, const struct options *options, const char *json)
{
    struct err e = {0};
    const struct type_method *method = find_method(types, target->service->name, options->method, &e);
    if (!method)
        return fail(&e, 2);
    json_error_t where;
    json_t *input = json_loads(json, JSON_REJECT_DUPLICATES, &where);
    if (!input) {
        (void)err_set(&e, -EINVAL, "the JSON is wrong at line %d, column %d: %s", where.line, where.column, where.text);
        return fail(&e, 2);
    }
    FREE_AUTO uint8_t *message = NULL;
    size_t count = 0;
    int result = rpcjson_pack(types, method->input, input, &message, &count, &e);
    json_decref(input);
    if (result < 0)
        return fail(&e, 2);

    size_t room = FRAME_HEADER_BYTES + RPCJSON_BYTES_MAX;
    FREE_AUTO uint8_t *buffer = malloc(room);
    struct frame answer = {0};
    if (!buffer) {
        (void)err_set(&e, -ENOMEM, "no memory for the answer");
        return fail(&e, 1);
    }
    enum rpc_status status =
        exchange(target->fd, method->name, message, count, options->timeout_ms, buffer, room, &answer, &e);
    if (status != RPC_OK)
        return print_status(target, method->name, status, e.text, strlen(e.text));
    if (answer.type == FRAME_ERROR)
        return print_status(target, method->name, answer.status, (const char *)answer.payload, answer.payload_bytes);
    return print_reply(types, method, &answer);
}

static int give_up_privileges(uint64_t mapped_bytes, struct err *e)
{
    struct filter filter;
    const struct confine_limits limits = {
        .cpu_seconds = CPU_SECONDS_MAX, .memory_bytes = MEMORY_BYTES_MAX + mapped_bytes, .files = 8};
    int result = filter_client(&filter, e);
    if (result == 0 && (result = confine_self(&filter, &limits)) < 0)
        (void)err_sys(e, result, "give up privileges");
    return result;
}

static int read_types(const struct target *target, struct types **ret_types, struct err *e)
{
    int result = types_read(target->image, target->image_bytes, ret_types, e);
    return result < 0 ? err_prefix(e, "program of service '%s'", target->service->name) : 0;
}

/* The methods of count services, from the programs that the list names: nothing has to run for it. */
static int list_methods(struct target *targets, size_t count, bool with_names)
{
    struct err e = {0};
    uint64_t mapped_bytes = 0;
    int code = 0;
    for (size_t i = 0; i < count; i++) {
        struct target *target = &targets[i];
        if (map_binary(manifest_text(target->manifest, target->service->exec), target, &e) < 0)
            return fail(&e, 1);
        mapped_bytes += target->image_bytes;
    }
    if (give_up_privileges(mapped_bytes, &e) < 0)
        return fail(&e, 1);
    for (size_t i = 0; i < count; i++) {
        FREE_AUTO struct types *types = NULL;
        if (with_names)
            (void)printf("%s%s\n", i ? "\n" : "", targets[i].service->name);
        if (read_types(&targets[i], &types, &e) < 0)
            code = fail(&e, 1);
        else
            print_methods(&targets[i], types);
    }
    return code;
}

/* Of one service, or (NULL) of all that have a ring. */
static int list(const struct target *common, const char *service)
{
    const struct manifest *manifest = common->manifest;
    FREE_AUTO struct target *targets = calloc(manifest->service_count, sizeof *targets);
    struct err e = {0};
    size_t count = 0;
    if (!targets) {
        (void)err_set(&e, -ENOMEM, "no memory for %u services", manifest->service_count);
        return fail(&e, 1);
    }
    for (uint32_t i = 0; i < manifest->service_count; i++) {
        const struct manifest_service *one = &manifest_services(manifest)[i];
        if (one->kind != KIND_SEALED || (service && strcmp(one->name, service) != 0))
            continue;
        targets[count] = *common;
        targets[count++].service = one;
    }
    return list_methods(targets, count, !service);
}

static int call_as_nobody(const struct target *target, const struct options *options, const char *json)
{
    FREE_AUTO struct types *types = NULL;
    struct err e = {0};
    if (give_up_privileges(target->image_bytes, &e) < 0 || read_types(target, &types, &e) < 0)
        return fail(&e, 1);
    return call(target, types, options, json);
}

int cmd_call(int argc, char **argv)
{
    struct options options = {.timeout_ms = TIMEOUT_S_DEFAULT * 1000};
    int code = parse_options(argc, argv, &options);
    if (code)
        return code;
    char name[NAME_BYTES], path[RUNLIST_PATH_BYTES];
    struct err e = {0};
    FREE_AUTO struct manifest *manifest = NULL;
    FREE_AUTO char *json = NULL;
    int result = client_choose(options.app, name, &e);
    struct target target = {.fd = -1, .list = path};
    if (result == 0)
        result = runlist_read(name, path, &manifest, &e);
    if (result == 0 && options.service)
        result = find_service(manifest, name, options.service, &target.service, &e);
    if (result < 0)
        return client_fail(argv[0], result, &e);
    target.manifest = manifest;
    if (options.is_listing)
        return list(&target, options.service);
    result = read_input(options.json, &json, &e);
    if (result < 0)
        return fail(&e, result == -E2BIG ? 2 : 1);
    if (reach(name, &options, &target, &e) < 0)
        return fail(&e, 1);
    code = call_as_nobody(&target, &options, json);
    fd_close(&target.fd);
    return code;
}
