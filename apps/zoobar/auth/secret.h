/*
 * secret.h - passwords and tokens: what is kept of them, and comparing them.  OpenSSL only: knows no database and no
 * call.
 *
 * Invariants
 *  I1  A password is kept as scrypt (RFC 7914) of it with 16 random bytes of its own; a token as its SHA-256: who
 *      steals the database can log in as nobody and holds no live session.
 *  I2  Comparing takes the same time wherever the difference is.
 *  I3  Random bytes are OpenSSL's RAND_bytes (getrandom), never SQLite's, which are guessable without /dev/urandom.
 *  I4  Nothing longer than SECRET_PASSWORD_BYTES_MAX is ever hashed.
 *
 * secret_make() and secret_matches() take tens of milliseconds and SECRET_MEMORY_BYTES(log2_n) of memory on purpose:
 * they belong on a worker thread, one at a time.  Callers: auth.c, cred.c (the token's hash).
 */
#ifndef APPS_ZOOBAR_AUTH_SECRET_H
#define APPS_ZOOBAR_AUTH_SECRET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rpc/base/err.h"

#define SECRET_PASSWORD_BYTES_MAX 4096
#define SECRET_SALT_BYTES 16
#define SECRET_HASH_BYTES 32
#define SECRET_TOKEN_BYTES 32
#define SECRET_HEX(bytes) (2 * (bytes) + 1) /* with the NUL */

/* scrypt's N is 2^log2_n, r = 8, p = 1: some 75 ms and 32 MiB at 15. */
#define SECRET_LOG2_N_MIN 14
#define SECRET_LOG2_N_MAX 16
#define SECRET_LOG2_N_DEFAULT 15
#define SECRET_MEMORY_BYTES(log2_n) ((uint64_t)1024 << (log2_n)) /* 128 * r * N */

/* What is kept of a password, in lower-case hex, as the database holds it. */
struct secret {
    char hash[SECRET_HEX(SECRET_HASH_BYTES)];
    char salt[SECRET_HEX(SECRET_SALT_BYTES)];
    int log2_n;
};

struct secret_token {
    char text[SECRET_HEX(SECRET_TOKEN_BYTES)]; /* the client's: never stored */
};

struct secret_token_hash {
    char text[SECRET_HEX(SECRET_HASH_BYTES)]; /* ours: never leaves */
};

/* Once, before the others; afterwards they may run on any thread.  Reads no configuration file, loads no module. */
int secret_init(struct err *e);

/* 1 to SECRET_PASSWORD_BYTES_MAX bytes. */
bool secret_is_password(const char *password);

/* A new salt and the hash.  -EINVAL: no password (I4). */
int secret_make(const char *password, int log2_n, struct secret *ret_secret);

/* 0 the same, -EACCES another password, -EINVAL a password or secret that is none, other: it could not be computed. */
int secret_matches(const struct secret *secret, const char *password);

/* A secret that no password has, with the cost of a real one: for users that do not exist. */
int secret_make_dummy(int log2_n, struct secret *ret_secret);

int secret_token_make(struct secret_token *ret_token);

/* -EINVAL: no token of ours has that form. */
int secret_token_hash(const char *token, struct secret_token_hash *ret_hash);

bool secret_token_hash_equal(const struct secret_token_hash *a, const struct secret_token_hash *b);

#endif
