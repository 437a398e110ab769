/*
 * echo.c - the echo service: answers with what it was told and with who told it.
 *
 * The smallest service there is, and the first to look at.  Its caller's name comes from the listener that the call
 * came in by.
 */
#include "apps/echo/echo.rpc.h"

ECHO_SCHEMA_NOTE;

static enum rpc_status say(struct rpc_call *call, const EchoSayRequest *request, EchoSayReply *reply)
{
    const struct rpc_caller *caller = rpc_caller(call);
    reply->text = request->text;
    reply->caller = rpc_strdup(caller->name);
    reply->generation = caller->generation;
    return reply->caller ? RPC_OK : rpc_fail(call, RPC_RESOURCE_EXHAUSTED, "no memory for the caller's name");
}

int main(int argc, char **argv)
{
    static const struct echo_handlers handlers = {.say = say};
    const struct rpc_interface interfaces[] = {echo_interface(&handlers)};
    const struct rpc_service service = {.interfaces = interfaces, .interface_count = 1};
    return rpc_main(argc, argv, &service);
}
