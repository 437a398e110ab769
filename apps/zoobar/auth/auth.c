/*
 * auth.c - the only service that sees passwords and keeps tokens.
 *
 * Invariants
 *  I1  A password that is too long is refused before anything is computed.
 *  I2  A login of an unknown user costs what a wrong password costs: one scrypt, no write.
 *  I3  At most one password is hashed at a time, on a thread of its own; at most AUTH_HASH_QUEUE_MAX wait, the rest is
 *      told RESOURCE_EXHAUSTED at once: neither memory nor the answering of Check depends on how many try.
 *  I4  A token is given out, or told to be ended, only after the commit that says so.
 *
 * Who does what: the loop's thread looks up (secrets, tokens) with a handle of its own that reads and never waits for a
 * commit; `hasher` computes; `writer` writes, in batches that share one commit.
 */
#include <errno.h>
#include <string.h>

#include "apps/zoobar/api/auth.rpc.h"
#include "apps/zoobar/auth/cred.h"
#include "apps/zoobar/auth/secret.h"

AUTH_SCHEMA_NOTE;

#define CRED_PATH "/cred/cred.db"
/* Hashes waiting.  As many again may be in the batch that runs: 2 * 32 * 75 ms is below the callers' deadline of 10 s.
 */
#define AUTH_HASH_QUEUE_MAX 32
#define AUTH_WRITE_QUEUE_MAX 1024

static struct cred *cred, *cred_reader;
static struct rpc_worker *hasher, *writer;
static struct secret dummy; /* for users that do not exist (I2) */
static int log2_n;

/* ---- the jobs, on the worker threads ---- */

struct hash_job {
    const char *password;
    struct secret secret;
};

static int run_make(void *context, void *arg)
{
    struct hash_job *job = arg;
    return secret_make(job->password, log2_n, &job->secret);
}

static int run_match(void *context, void *arg)
{
    struct hash_job *job = arg;
    return secret_matches(&job->secret, job->password);
}

static int begin(void *context)
{
    return cred_begin(context);
}

static int end(void *context)
{
    return cred_end(context);
}

struct write_job {
    const char *username;
    const struct secret *secret;
    struct secret_token token;
};

static int run_add(void *context, void *arg)
{
    struct write_job *job = arg;
    return cred_add(context, job->username, job->secret, &job->token);
}

static int run_set_token(void *context, void *arg)
{
    struct write_job *job = arg;
    return cred_set_token(context, job->username, &job->token);
}

struct logout_job {
    const char *username, *token;
};

static int run_clear_token(void *context, void *arg)
{
    struct logout_job *job = arg;
    return cred_clear_token(context, job->username, job->token);
}

/* ---- the handlers, in fibres ---- */

static enum rpc_status to_status(struct rpc_call *call, int result)
{
    switch (result) {
    case 0:
        return RPC_OK;
    case -EEXIST:
        return rpc_fail(call, RPC_ALREADY_EXISTS, "the user name is taken");
    case -EINVAL:
        return rpc_fail(call, RPC_INVALID_ARGUMENT, "no such user name or password can be");
    case -ENOENT: /* not told apart from -EACCES: who asks does not learn whether the user exists */
    case -EACCES:
        return rpc_fail(call, RPC_UNAUTHENTICATED, "user name and password or token do not belong together");
    case -EAGAIN:
        return rpc_fail(call, RPC_RESOURCE_EXHAUSTED, "too many log in at once");
    default:
        return rpc_fail(call, RPC_UNAVAILABLE, "the credentials could not be used: %s", strerror(-result));
    }
}

/* Gives out the token that a job has committed. */
static enum rpc_status give_token(struct rpc_call *call, const struct secret_token *token, char **ret_text)
{
    *ret_text = rpc_strdup(token->text);
    return *ret_text ? RPC_OK : rpc_fail(call, RPC_RESOURCE_EXHAUSTED, "no memory for the token");
}

static enum rpc_status register_(struct rpc_call *call, const AuthRegisterRequest *request, AuthRegisterReply *reply)
{
    struct hash_job hash = {.password = request->password};
    struct write_job write = {.username = request->username, .secret = &hash.secret};
    if (!text_is_user_name(request->username) || !secret_is_password(request->password))
        return to_status(call, -EINVAL);
    /* Spares the hash; the insert decides. */
    int result = cred_find_secret(cred_reader, request->username, &hash.secret);
    if (result != -ENOENT)
        return to_status(call, result ? result : -EEXIST);
    result = rpc_worker_run(hasher, run_make, &hash);
    if (!result)
        result = secret_token_make(&write.token);
    if (!result)
        result = rpc_worker_run(writer, run_add, &write);
    return result ? to_status(call, result) : give_token(call, &write.token, &reply->token);
}

static enum rpc_status login(struct rpc_call *call, const AuthLoginRequest *request, AuthLoginReply *reply)
{
    struct hash_job hash = {.password = request->password};
    struct write_job write = {.username = request->username};
    if (!text_is_user_name(request->username) || !secret_is_password(request->password))
        return to_status(call, -EINVAL);
    int found = cred_find_secret(cred_reader, request->username, &hash.secret);
    if (found == -ENOENT)
        hash.secret = dummy;
    else if (found)
        return to_status(call, found);
    int result = rpc_worker_run(hasher, run_match, &hash);
    if (!result)
        result = found; /* the dummy matches nothing; were it to, the user is still unknown */
    if (!result)
        result = secret_token_make(&write.token);
    if (!result)
        result = rpc_worker_run(writer, run_set_token, &write);
    return result ? to_status(call, result) : give_token(call, &write.token, &reply->token);
}

/* On the way of each transfer: two look-ups in memory, no thread is woken. */
static enum rpc_status check(struct rpc_call *call, const AuthCheckRequest *request, AuthCheckReply *reply)
{
    if (!text_is_user_name(request->username))
        return to_status(call, -EACCES);
    return to_status(call, cred_check(cred_reader, request->username, request->token));
}

static enum rpc_status logout(struct rpc_call *call, const AuthLogoutRequest *request, AuthLogoutReply *reply)
{
    struct logout_job job = {.username = request->username, .token = request->token};
    if (!text_is_user_name(request->username))
        return to_status(call, -EACCES);
    /* Spares a commit; the writer, who sees the newest token, decides. */
    int result = cred_check(cred_reader, request->username, request->token);
    if (!result)
        result = rpc_worker_run(writer, run_clear_token, &job);
    return to_status(call, result);
}

/* ---- the program ---- */

static int start(struct err *e)
{
    static const struct rpc_worker_ops batched = {.begin = begin, .end = end};
    int64_t wanted = rpc_config_int("scrypt_log2_n", SECRET_LOG2_N_DEFAULT);
    if (wanted < SECRET_LOG2_N_MIN || wanted > SECRET_LOG2_N_MAX)
        return err_set(e, -EINVAL, "scrypt_log2_n is %lld, not within %d to %d", (long long)wanted, SECRET_LOG2_N_MIN,
                       SECRET_LOG2_N_MAX);
    log2_n = (int)wanted;
    const char *path = rpc_path(CRED_PATH);
    int result = path ? secret_init(e) : err_set(e, -ENOMEM, "no memory for a path");
    if (!result && (result = secret_make_dummy(log2_n, &dummy)))
        result = err_sys(e, result, "random numbers");
    if (!result)
        result = cred_open(path, &cred, e);
    if (!result)
        result = cred_open_reader(path, &cred_reader, e);
    if (!result)
        result = rpc_worker_start(NULL, NULL, AUTH_HASH_QUEUE_MAX, &hasher, e);
    if (!result)
        result = rpc_worker_start(&batched, cred, AUTH_WRITE_QUEUE_MAX, &writer, e);
    return result;
}

int main(int argc, char **argv)
{
    static const struct auth_handlers handlers = {
        .register_ = register_,
        .login = login,
        .check = check,
        .logout = logout,
    };
    const struct rpc_interface interfaces[] = {auth_interface(&handlers)};
    const struct rpc_service service = {.interfaces = interfaces, .interface_count = 1, .start = start};
    return rpc_main(argc, argv, &service);
}
