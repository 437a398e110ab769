/*
 * session.h - asks auth whether a token is the user's live one, for the services that act for users.
 *
 * Each service asks for itself, over its own link to auth: what its caller says about a token counts for nothing.
 * Callers: bank, person.
 */
#ifndef APPS_ZOOBAR_API_SESSION_H
#define APPS_ZOOBAR_API_SESSION_H

#include "rpc/rpc.h"

/* In start(): -ENOLINK when the service list has no link to auth. */
int session_init(struct err *e);

/*
 * Blocks the fibre.  RPC_OK, RPC_UNAUTHENTICATED, or, when auth gives no answer, RPC_UNAVAILABLE or
 * RPC_DEADLINE_EXCEEDED; the call's text is set.
 */
enum rpc_status session_check(struct rpc_call *call, const char *username, const char *token);

#endif
