/*
 * rpcprobe.c - a sealed service that makes the calls which its configuration lists, and logs what each got.
 *
 * A test puts it in the place of a service of the TOML and so speaks as that service, over its own links:
 *
 *     [service.profile]
 *     exec = "/path/to/rpcprobe"
 *     [service.profile.config]
 *     calls = ["auth Auth.Register username=alice password=secret",
 *              "bank Bank.Open username=alice token=$token",
 *              "until bank Bank.Balance username=bob"]
 *
 * One line per call: `rpcprobe: Bank.Open OK zoobars=10`, `rpcprobe: Bank.Balance PERMISSION_DENIED TEXT`; at the end
 * `rpcprobe: done`.  $FIELD is that field of the last reply that had it; a call marked `until` is repeated until it is
 * OK (UNTIL_MS_MAX), for what another service has to do first.
 *
 * Beside a service (`hostd exec --wires SERVICE -- rpcprobe CALL...`) it makes the calls that are its arguments, and
 * ends.
 *
 * It also answers Profile.Render, with the calling service's name and, in plain mode, that it is not verified, so that
 * it may stand where the profile service does.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apps/zoobar/api/profile.rpc.h"
#include "rpc/base/hash.h"
#include "rpc/rpc.h"
#include "tests/tools/message.h"

#define UNTIL_MS_MAX 20000u
#define UNTIL_PAUSE_MS 50u
#define WORDS_MAX 16
#define VARIABLES_MAX 8

static struct {
    char name[32], value[256];
} variables[VARIABLES_MAX];

/* Remembers the text fields of a reply under their names. */
static void variables_take(const ProtobufCMessage *reply)
{
    for (unsigned i = 0; i < reply->descriptor->n_fields; i++) {
        const char *name = reply->descriptor->fields[i].name;
        char value[256];
        message_field(reply, name, value, sizeof value);
        for (size_t k = 0; value[0] != 0 && k < VARIABLES_MAX; k++)
            if (variables[k].name[0] == 0 || strcmp(variables[k].name, name) == 0) {
                (void)snprintf(variables[k].name, sizeof variables[k].name, "%s", name); /* field names are short */
                memcpy(variables[k].value, value, sizeof value);
                break;
            }
    }
}

/* "token=$token" with its value. */
static char *substitute(char *word)
{
    char *dollar = strstr(word, "=$");
    for (size_t k = 0; dollar != NULL && k < VARIABLES_MAX; k++)
        if (variables[k].name[0] != 0 && strcmp(dollar + 2, variables[k].name) == 0) {
            char *out = NULL;
            if (asprintf(&out, "%.*s=%s", (int)(dollar - word), word, variables[k].value) < 0)
                abort(); /* no memory: the test must not go on */
            return out;
        }
    return word;
}

static void call_one(const char *line)
{
    char *copy = strdup(line), *words[WORDS_MAX], *save = NULL, text[600];
    size_t count = 0;
    bool is_until = false;
    uint32_t waited_ms = 0;
    enum rpc_status status;
    ProtobufCMessage *reply = NULL;
    struct message_method method;

    for (char *word = strtok_r(copy, " ", &save); word != NULL && count < WORDS_MAX; word = strtok_r(NULL, " ", &save))
        if (count == 0 && strcmp(word, "until") == 0)
            is_until = true;
        else
            words[count++] = substitute(word);
    if (count < 2 || message_method(words[1], &method) != 0) {
        printf("rpcprobe: not a call: %s\n", line);
        return;
    }
    ProtobufCMessage *request = message_make(method.input, words + 2, count - 2);
    struct rpc_peer *peer = rpc_peer(words[0]);
    if (request == NULL || peer == NULL) {
        printf("rpcprobe: %s %s\n", words[1], request == NULL ? "not a request" : "NO_LINK");
        return;
    }
    const struct rpc_method rpc_method = {
        .id = method_id(words[1]), .name = words[1], .input = method.input, .output = method.output};
    for (;;) {
        rpc_set_deadline_ms(RPC_DEADLINE_MS_DEFAULT);
        status = rpc_invoke(peer, &rpc_method, request, &reply);
        if (status == RPC_OK || !is_until || waited_ms >= UNTIL_MS_MAX)
            break;
        rpc_sleep_ms(UNTIL_PAUSE_MS);
        waited_ms += UNTIL_PAUSE_MS;
    }
    if (status == RPC_OK) {
        variables_take(reply);
        message_text(reply, text, sizeof text);
        printf("rpcprobe: %s OK%s\n", words[1], text);
    } else {
        printf("rpcprobe: %s %s %s\n", words[1], rpc_status_name(status), rpc_error_text());
    }
}

static void call_all(void *arg)
{
    for (size_t i = 0; i < rpc_config_count("calls"); i++) {
        char key[32];
        (void)snprintf(key, sizeof key, "calls.%zu", i); /* always fits */
        call_one(rpc_config_string(key, ""));
    }
    puts("rpcprobe: done");
}

static char **given_calls; /* NULL at the end */

static int start(struct err *e)
{
    (void)setvbuf(stdout, NULL, _IOLBF, BUFSIZ); /* a pipe would be buffered until the end; cannot fail before output */
    for (char **call = given_calls; *call != NULL; call++)
        call_one(*call);
    if (*given_calls != NULL)
        exit(0);
    int r = rpc_spawn(call_all, NULL);
    return r == 0 ? 0 : err_set(e, r, "rpcprobe: no fibre for the calls");
}

static enum rpc_status render(struct rpc_call *call, const ProfileRenderRequest *request, ProfileRenderReply *reply)
{
    const struct rpc_caller *caller = rpc_caller(call);
    reply->html = rpc_printf("called by %s%s", caller->name, caller->is_verified ? "" : ", not verified");
    return reply->html != NULL ? RPC_OK : RPC_RESOURCE_EXHAUSTED;
}

PROFILE_SCHEMA_NOTE;

int main(int argc, char **argv)
{
    static const struct profile_handlers handlers = {.render = render};
    static struct rpc_interface interfaces[1];
    given_calls = argv + 1;
    interfaces[0] = profile_interface(&handlers);
    static const struct rpc_service service = {.interfaces = interfaces, .interface_count = 1, .start = start};
    return rpc_main(1, argv, &service);
}
