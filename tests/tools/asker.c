/*
 * asker.c - a service that calls Echo.Say of its callee again and again, and logs each answer: load, and a sign of
 * life.
 *
 * Its configuration: `peer` (default "back"), `pause_ms` between two calls (default 20), `fibres` that call (default
 * 1). One line per call: `asker: answered` or `asker: failed STATUS`.
 */
#include <stdio.h>
#include <unistd.h>

#include "apps/echo/echo.rpc.h"

#define DEADLINE_MS 1000u

static void print(const char *text, const char *status)
{
    char line[128];
    int bytes = snprintf(line, sizeof line, "asker: %s%s\n", text, status);
    (void)!write(STDOUT_FILENO, line, (size_t)bytes); /* the test misses it */
}

static void ask(void *arg)
{
    EchoSayRequest request = ECHO_SAY_REQUEST__INIT;
    EchoSayReply *reply = NULL;
    request.text = (char[]){"life"};
    rpc_set_deadline_ms(DEADLINE_MS);
    enum rpc_status status = echo_say(rpc_peer(rpc_config_string("peer", "back")), &request, &reply);
    if (status == RPC_OK)
        print("answered", "");
    else
        print("failed ", rpc_status_name(status));
    rpc_set_deadline_ms(DEADLINE_MS); /* of the sleep */
    rpc_sleep_ms((uint32_t)rpc_config_int("pause_ms", 20));
    if (rpc_spawn(ask, arg) < 0) /* a new fibre, with an empty arena */
        print("no fibre", "");
}

static int start(struct err *e)
{
    for (int64_t i = 0; i < rpc_config_int("fibres", 1); i++) {
        int result = rpc_spawn(ask, NULL);
        if (result < 0)
            return err_set(e, result, "asker: no fibre");
    }
    return 0;
}

int main(int argc, char **argv)
{
    static const struct rpc_service service = {.start = start};
    return rpc_main(argc, argv, &service);
}
