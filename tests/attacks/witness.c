/*
 * witness.c - the callee of the attack rows: answers with the caller that it sees, and counts what earlier ones sent.
 */
#include "tests/attacks/witness.rpc.h"

WITNESS_SCHEMA_NOTE;

#define GENERATIONS_MAX 8u /* that a test lives through */

static uint32_t notes[GENERATIONS_MAX]; /* taken, by the generation of their caller */

static enum rpc_status note(struct rpc_call *call, const WitnessNote *request, WitnessSeen *reply)
{
    const struct rpc_caller *caller = rpc_caller(call);
    notes[caller->generation % GENERATIONS_MAX]++;
    reply->caller = rpc_strdup(caller->name);
    reply->generation = caller->generation;
    for (uint32_t older = 1; older < caller->generation && older < GENERATIONS_MAX; older++)
        reply->stale += notes[older];
    return reply->caller ? RPC_OK : RPC_RESOURCE_EXHAUSTED;
}

static enum rpc_status hold(struct rpc_call *call, const WitnessTime *request, WitnessSeen *reply)
{
    rpc_sleep_ms(request->ms);
    return note(call, &(WitnessNote)WITNESS_NOTE__INIT, reply);
}

static enum rpc_status relay(struct rpc_call *call, const WitnessNote *request, WitnessSeen *reply)
{
    WitnessSeen *seen = NULL;
    struct rpc_peer *next = rpc_peer("witness");
    enum rpc_status status = next ? witness_note(next, request, &seen) : RPC_UNAVAILABLE;
    if (status == RPC_OK)
        *reply = *seen;
    return status;
}

static enum rpc_status nest(struct rpc_call *call, const WitnessNest *request, WitnessSeen *reply)
{
    return note(call, &(WitnessNote)WITNESS_NOTE__INIT, reply);
}

int main(int argc, char **argv)
{
    static const struct witness_handlers handlers = {
        .note = note, .hidden = note, .hold = hold, .relay = relay, .nest = nest};
    const struct rpc_interface interfaces[] = {witness_interface(&handlers)};
    const struct rpc_service service = {.interfaces = interfaces, .interface_count = 1};
    return rpc_main(argc, argv, &service);
}
