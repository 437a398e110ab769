/*
 * pages.h - the pages below /zoobar/index.cgi: what is asked of whom, and what is shown.
 *
 * Doing: straight-line code over the stubs of auth, bank, person, profile and echo.  It touches nothing else: a unit
 * test gives it other stubs.  Called by dynamic.c, one fibre per request.
 *
 * Invariants
 *  I1  A page for members is shown only after auth has said, for this request, that the cookie's token is live.
 *  I2  A POST that a browser made for another site is refused before anything is asked of anyone.
 *  I3  A transfer is shown as sent only after the bank has said so.
 *  I4  What came from outside reaches a page only through the escapes of the templates; only the profile service's
 *      HTML goes in as it is.
 */
#ifndef ZOOBAR_DYNAMIC_PAGES_H
#define ZOOBAR_DYNAMIC_PAGES_H

#include "apps/zoobar/api/web.rpc.h"

/* Looks up the callees.  -ENOLINK when the service list has no link to one of them; -errno without random numbers. */
int pages_start(struct err *e);

/* Blocks the fibre.  Failures are pages too; not RPC_OK only when there is no memory for one. */
enum rpc_status pages_handle(struct rpc_call *call, const WebHandleRequest *request, WebHandleReply *reply);

#endif
