/*
 * person.c - user profiles: the one service that writes them.
 *
 * Invariants
 *  I1  Only the user changes a profile: Open and SetProfile go on only after auth said that the token is the user's.
 *  I2  An answer leaves after the commit that it speaks of.
 *
 * The database runs on one worker thread; what waits shares one commit.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "apps/zoobar/api/person.rpc.h"
#include "apps/zoobar/api/session.h"
#include "apps/zoobar/person/people.h"

PERSON_SCHEMA_NOTE;

#define PERSON_PATH "/person/person.db"
#define PERSON_QUEUE_MAX 1024

static struct people *people;
static struct rpc_worker *worker;

/* ---- the jobs, on the worker thread ---- */

static int begin(void *context)
{
    return people_begin(context);
}

static int end(void *context)
{
    return people_end(context);
}

static int run_add(void *context, void *arg)
{
    return people_add(context, arg);
}

struct profile_job {
    const char *username;
    const char *profile; /* to set */
    char *got;
};

static int run_get(void *context, void *arg)
{
    struct profile_job *job = arg;
    return people_get(context, job->username, &job->got);
}

static int run_set_profile(void *context, void *arg)
{
    struct profile_job *job = arg;
    return people_set_profile(context, job->username, job->profile);
}

/* ---- the handlers, in fibres ---- */

static enum rpc_status to_status(struct rpc_call *call, int result)
{
    switch (result) {
    case 0:
        return RPC_OK;
    case -ENOENT:
        return rpc_fail(call, RPC_NOT_FOUND, "there is no profile of that name");
    case -EINVAL:
        return rpc_fail(call, RPC_INVALID_ARGUMENT, "no such user name or profile can be");
    case -EAGAIN:
        return rpc_fail(call, RPC_RESOURCE_EXHAUSTED, "too many wait for the profiles");
    default:
        return rpc_fail(call, RPC_UNAVAILABLE, "the profiles could not be used: %s", strerror(-result));
    }
}

static enum rpc_status open_profile(struct rpc_call *call, const PersonOpenRequest *request, PersonOpenReply *reply)
{
    if (!text_is_user_name(request->username))
        return to_status(call, -EINVAL);
    enum rpc_status status = session_check(call, request->username, request->token);
    return status ? status : to_status(call, rpc_worker_run(worker, run_add, request->username));
}

static enum rpc_status get(struct rpc_call *call, const PersonGetRequest *request, PersonGetReply *reply)
{
    struct profile_job job = {.username = request->username};
    if (!text_is_user_name(request->username))
        return to_status(call, -ENOENT);
    enum rpc_status status = to_status(call, rpc_worker_run(worker, run_get, &job));
    if (!status && !(reply->profile = rpc_strdup(job.got)))
        status = rpc_fail(call, RPC_RESOURCE_EXHAUSTED, "no memory for the profile");
    free(job.got);
    return status;
}

static enum rpc_status set_profile(struct rpc_call *call, const PersonSetProfileRequest *request,
                                   PersonSetProfileReply *reply)
{
    struct profile_job job = {.username = request->username, .profile = request->profile};
    enum rpc_status status;
    if (!text_is_user_name(request->username))
        return to_status(call, -ENOENT);
    if (!people_is_profile(request->profile))
        return rpc_fail(call, RPC_INVALID_ARGUMENT, "a profile is UTF-8 of up to %d characters",
                        PEOPLE_PROFILE_CHARACTERS_MAX);
    if ((status = session_check(call, request->username, request->token)))
        return status;
    return to_status(call, rpc_worker_run(worker, run_set_profile, &job));
}

/* ---- the program ---- */

static int start(struct err *e)
{
    static const struct rpc_worker_ops batched = {.begin = begin, .end = end};
    const char *path = rpc_path(PERSON_PATH);
    int result = path ? session_init(e) : err_set(e, -ENOMEM, "no memory for a path");
    if (!result)
        result = people_open(path, &people, e);
    if (!result)
        result = rpc_worker_start(&batched, people, PERSON_QUEUE_MAX, &worker, e);
    return result;
}

int main(int argc, char **argv)
{
    static const struct person_handlers handlers = {.open = open_profile, .get = get, .set_profile = set_profile};
    const struct rpc_interface interfaces[] = {person_interface(&handlers)};
    const struct rpc_service service = {.interfaces = interfaces, .interface_count = 1, .start = start};
    return rpc_main(argc, argv, &service);
}
