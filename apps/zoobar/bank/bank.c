/*
 * bank.c - the bank: who may ask for what, and when an answer may be given.  The money itself is in ledger.c.
 *
 * Invariants
 *  I1  Only the sender sends: Transfer and Open go on only after auth said that the token is the user's live one.
 *  I2  TransferAsOwner, which wants no token, is for the caller named "profile", whatever the link's allow list says.
 *  I3  An answer leaves after the commit that it speaks of: the ledger's batch has ended.
 *
 * Two threads beside the loop's: one writes, and all transfers that wait share one commit; one reads, and waits for no
 * commit.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "apps/zoobar/api/bank.rpc.h"
#include "apps/zoobar/api/session.h"
#include "apps/zoobar/bank/ledger.h"
#include "rpc/base/weaken.h"

BANK_SCHEMA_NOTE;

#define BANK_PATH "/bank/bank.db"
#define BANK_OWNER_CALLER "profile" /* runs the programs of owners, and knows which owner's it runs */
#define BANK_OPENING_BALANCE 10
#define BANK_QUEUE_MAX 1024 /* jobs waiting, as many as there are fibres: 16 commits */

static struct ledger *ledger, *ledger_reader;
static struct rpc_worker *writer, *reader;

/* ---- the jobs, on the worker threads ---- */

static int begin(void *context)
{
    return ledger_begin(context);
}

static int end(void *context)
{
    return ledger_end(context);
}

struct account_job {
    const char *username;
    int64_t zoobars;
};

static int run_open(void *context, void *arg)
{
    struct account_job *job = arg;
    return ledger_open_account(context, job->username, &job->zoobars);
}

static int run_balance(void *context, void *arg)
{
    struct account_job *job = arg;
    return ledger_balance(context, job->username, &job->zoobars);
}

struct transfer_job {
    struct ledger_transfer transfer;
    int64_t zoobars;
};

static int run_transfer(void *context, void *arg)
{
    struct transfer_job *job = arg;
    job->transfer.now_s = time(NULL);
    return ledger_transfer(context, &job->transfer, &job->zoobars);
}

struct log_job {
    const char *username;
    struct ledger_entry *entries;
    size_t count;
};

static int run_log(void *context, void *arg)
{
    struct log_job *job = arg;
    return ledger_log(context, job->username, &job->entries, &job->count);
}

/* ---- the handlers, in fibres ---- */

/* A job's result as a status with its text. */
static enum rpc_status to_status(struct rpc_call *call, int result)
{
    switch (result) {
    case 0:
        return RPC_OK;
    case -ENOENT:
        return rpc_fail(call, RPC_NOT_FOUND, "there is no account of that name");
    case -EINVAL:
        return rpc_fail(call, RPC_INVALID_ARGUMENT, "no such user name or amount can be");
    case -EDQUOT:
        return rpc_fail(call, RPC_FAILED_PRECONDITION, "the sender does not have that many");
    case -EOVERFLOW:
        return rpc_fail(call, RPC_OUT_OF_RANGE, "the recipient cannot hold that many");
    case -EEXIST:
        return rpc_fail(call, RPC_ALREADY_EXISTS, "the key was used for another transfer");
    case -EAGAIN:
        return rpc_fail(call, RPC_RESOURCE_EXHAUSTED, "too many wait for the bank");
    default: /* the disk: whether it was done shows when the same key is tried again */
        return rpc_fail(call, RPC_UNAVAILABLE, "the ledger could not be used: %s", strerror(-result));
    }
}

static enum rpc_status open_account(struct rpc_call *call, const BankOpenRequest *request, BankOpenReply *reply)
{
    struct account_job job = {.username = request->username};
    enum rpc_status status;
    if (!text_is_user_name(request->username))
        return to_status(call, -EINVAL);
    if ((status = session_check(call, request->username, request->token)))
        return status;
    status = to_status(call, rpc_worker_run(writer, run_open, &job));
    reply->zoobars = job.zoobars;
    return status;
}

static enum rpc_status balance(struct rpc_call *call, const BankBalanceRequest *request, BankBalanceReply *reply)
{
    struct account_job job = {.username = request->username};
    if (!text_is_user_name(request->username))
        return to_status(call, -ENOENT);
    enum rpc_status status = to_status(call, rpc_worker_run(reader, run_balance, &job));
    reply->zoobars = job.zoobars;
    return status;
}

/* Everything that can be refused without asking anybody. */
static enum rpc_status check_transfer(struct rpc_call *call, const char *sender, const char *recipient, int64_t zoobars,
                                      const ProtobufCBinaryData *key)
{
    if (key->len != LEDGER_KEY_BYTES)
        return rpc_fail(call, RPC_INVALID_ARGUMENT, "a key has %d bytes, not %zu", LEDGER_KEY_BYTES, key->len);
    if (zoobars < 1)
        return rpc_fail(call, RPC_INVALID_ARGUMENT, "%" PRId64 " zoobars cannot be sent", zoobars);
    if (!text_is_user_name(sender) || !text_is_user_name(recipient))
        return to_status(call, -ENOENT);
    return RPC_OK;
}

static enum rpc_status move(struct rpc_call *call, const char *sender, const char *recipient, int64_t zoobars,
                            const ProtobufCBinaryData *key, int64_t *ret_zoobars)
{
    struct transfer_job job = {
        .transfer = {.sender = sender, .recipient = recipient, .amount = zoobars, .key = key->data}};
    enum rpc_status status = to_status(call, rpc_worker_run(writer, run_transfer, &job));
    *ret_zoobars = job.zoobars;
    return status;
}

static enum rpc_status transfer(struct rpc_call *call, const BankTransferRequest *request, BankTransferReply *reply)
{
    enum rpc_status status = check_transfer(call, request->sender, request->recipient, request->zoobars, &request->key);
    if (!status && !weakened("token"))
        status = session_check(call, request->sender, request->token);
    if (!status)
        status = move(call, request->sender, request->recipient, request->zoobars, &request->key, &reply->zoobars);
    return status;
}

static enum rpc_status transfer_as_owner(struct rpc_call *call, const BankTransferAsOwnerRequest *request,
                                         BankTransferAsOwnerReply *reply)
{
    /* First of all, and by the name that came with the wire (I2). */
    if (strcmp(rpc_caller(call)->name, BANK_OWNER_CALLER) != 0)
        return rpc_fail(call, RPC_PERMISSION_DENIED, "only %s sends without a token", BANK_OWNER_CALLER);
    enum rpc_status status = check_transfer(call, request->owner, request->recipient, request->zoobars, &request->key);
    if (!status)
        status = move(call, request->owner, request->recipient, request->zoobars, &request->key, &reply->zoobars);
    return status;
}

/* Entries of the job's own memory into the reply's. */
static int copy_log(const struct log_job *job, BankLogReply *reply)
{
    if (job->count == 0)
        return 0;
    BankLogEntry *entries = rpc_alloc(job->count * sizeof *entries);
    reply->entries = rpc_alloc(job->count * sizeof *reply->entries);
    if (!entries || !reply->entries)
        return -ENOMEM;
    for (size_t k = 0; k < job->count; k++) {
        bank_log_entry__init(&entries[k]);
        entries[k].sender = rpc_strdup(job->entries[k].sender);
        entries[k].recipient = rpc_strdup(job->entries[k].recipient);
        entries[k].time = rpc_strdup(job->entries[k].time);
        entries[k].amount = job->entries[k].amount;
        if (!entries[k].sender || !entries[k].recipient || !entries[k].time)
            return -ENOMEM;
        reply->entries[k] = &entries[k];
    }
    reply->n_entries = job->count;
    return 0;
}

static enum rpc_status log_(struct rpc_call *call, const BankLogRequest *request, BankLogReply *reply)
{
    struct log_job job = {.username = request->username};
    if (!text_is_user_name(request->username))
        return RPC_OK; /* nobody of that name has sent or got anything */
    enum rpc_status status = to_status(call, rpc_worker_run(reader, run_log, &job));
    if (!status && copy_log(&job, reply))
        status = rpc_fail(call, RPC_RESOURCE_EXHAUSTED, "no memory for the log");
    free(job.entries);
    return status;
}

/* ---- the program ---- */

static int start(struct err *e)
{
    static const struct rpc_worker_ops batched = {.begin = begin, .end = end};
    const char *path = rpc_path(BANK_PATH);
    int result = path ? session_init(e) : err_set(e, -ENOMEM, "no memory for a path");
    if (!result)
        result = ledger_open(path, rpc_config_int("opening_balance", BANK_OPENING_BALANCE), &ledger, e);
    if (!result)
        result = ledger_open_reader(path, &ledger_reader, e);
    if (!result)
        result = rpc_worker_start(&batched, ledger, BANK_QUEUE_MAX, &writer, e);
    if (!result)
        result = rpc_worker_start(NULL, ledger_reader, BANK_QUEUE_MAX, &reader, e);
    return result;
}

int main(int argc, char **argv)
{
    static const struct bank_handlers handlers = {
        .open = open_account,
        .balance = balance,
        .transfer = transfer,
        .transfer_as_owner = transfer_as_owner,
        .log = log_,
    };
    const struct rpc_interface interfaces[] = {bank_interface(&handlers)};
    const struct rpc_service service = {.interfaces = interfaces, .interface_count = 1, .start = start};
    return rpc_main(argc, argv, &service);
}
