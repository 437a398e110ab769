/* session.c - see session.h. */
#include "apps/zoobar/api/session.h"

#include <errno.h>

#include "apps/zoobar/api/auth.rpc.h"

static struct rpc_peer *auth;

int session_init(struct err *e)
{
    auth = rpc_peer("auth");
    return auth ? 0 : err_set(e, -ENOLINK, "no link to auth: tokens could not be checked");
}

enum rpc_status session_check(struct rpc_call *call, const char *username, const char *token)
{
    AuthCheckRequest request = AUTH_CHECK_REQUEST__INIT;
    AuthCheckReply *reply = NULL;
    request.username = (char *)username;
    request.token = (char *)token;
    enum rpc_status status = auth_check(auth, &request, &reply);
    switch (status) {
    case RPC_OK:
        return RPC_OK;
    case RPC_UNAUTHENTICATED:
    case RPC_INVALID_ARGUMENT:
        return rpc_fail(call, RPC_UNAUTHENTICATED, "the token is not the user's");
    case RPC_DEADLINE_EXCEEDED:
    case RPC_CANCELLED:
        return rpc_fail(call, status, "auth did not answer in time");
    default: /* no answer is a refusal */
        return rpc_fail(call, RPC_UNAVAILABLE, "auth could not be asked: %s: %s", rpc_status_name(status),
                        rpc_error_text());
    }
}
