/*
 * cred.h - the table of credentials.  SQLite only: knows nothing of calls, and of secrets only their stored form.
 *
 * Invariants
 *  I1  One live token per user at most: a login replaces it, a logout clears it.
 *  I2  Neither a password nor a token is in the table, only what secret.h keeps of them.
 *
 * Two handles: the writer, for batches on its own thread (cred_begin, functions, cred_end), and a reader for the thread
 * that answers: a look-up of some microseconds in pages that are in memory, which waits for no commit.
 * Callers: auth.c.
 */
#ifndef APPS_ZOOBAR_AUTH_CRED_H
#define APPS_ZOOBAR_AUTH_CRED_H

#include "apps/zoobar/auth/secret.h"
#include "apps/zoobar/db/text.h"
#include "rpc/base/err.h"

struct cred;

int cred_open(const char *path, struct cred **ret_cred, struct err *e);
int cred_open_reader(const char *path, struct cred **ret_cred, struct err *e); /* after the writer */
void cred_close(struct cred *cred);                                            /* NULL is fine */

/* ---- either handle ---- */

/* What is kept of a user's password.  -ENOENT. */
int cred_find_secret(struct cred *cred, const char *username, struct secret *ret_secret);

/* 0: token is the live one of username; -EACCES: it is not, or there is no such user. */
int cred_check(struct cred *cred, const char *username, const char *token);

/* ---- the writer, in a batch ---- */

int cred_begin(struct cred *cred);
int cred_end(struct cred *cred);

/* A new user with a first token.  -EEXIST; -EINVAL: no user name. */
int cred_add(struct cred *cred, const char *username, const struct secret *secret, const struct secret_token *token);

/* Replaces the live token.  -ENOENT. */
int cred_set_token(struct cred *cred, const char *username, const struct secret_token *token);

/* Ends the live token.  -EACCES when token is not it. */
int cred_clear_token(struct cred *cred, const char *username, const char *token);

#endif
