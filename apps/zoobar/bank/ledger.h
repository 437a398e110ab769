/*
 * ledger.h - accounts, transfers and the log of transfers in one database.  SQLite only: knows nothing of calls.
 *
 * Order of use: ledger_open(); per batch ledger_begin(), any of the functions in the middle, ledger_end();
 * ledger_close(). Nothing that a batch did may be acknowledged before its ledger_end() returned 0.
 *
 * Invariants
 *  I1  A transfer moves money, writes the log and keeps its key in one commit, or does none of the three.
 *  I2  No transfer changes the sum of all balances; opening an account adds the opening balance to it.
 *  I3  No balance is below zero, no amount below one.
 *  I4  One key moves money once: asked again with the same sender, recipient and amount it gives the first answer, with
 *      others -EEXIST.  A transfer that was refused does not use its key up.
 *  I5  A key is remembered for LEDGER_KEY_SECONDS_MAX, and at most the newest LEDGER_KEYS_MAX are.  A retry comes
 * within seconds; after that time the same key would be a new transfer.
 *
 * Names are compared byte by byte.  Callers: bank.c, on its worker threads; one ledger is used by one thread at a time.
 */
#ifndef APPS_ZOOBAR_BANK_LEDGER_H
#define APPS_ZOOBAR_BANK_LEDGER_H

#include <stddef.h>
#include <stdint.h>

#include "apps/zoobar/db/text.h"
#include "rpc/base/err.h"

#define LEDGER_KEY_BYTES 16
#define LEDGER_KEY_SECONDS_MAX (24 * 3600)
#define LEDGER_KEYS_MAX 1000000 /* some 50 MB on disk */
#define LEDGER_LOG_MAX 1000     /* entries of one answer; older ones stay in the database */
#define LEDGER_TIME_BYTES 32    /* "Sat Nov 21 08:18:35 2026", the NUL, and room for a year of more digits */

struct ledger;

struct ledger_transfer {
    const char *sender, *recipient;
    int64_t amount;
    const uint8_t *key; /* LEDGER_KEY_BYTES */
    int64_t now_s;      /* since 1970; what the log and the age of keys go by */
};

struct ledger_entry {
    char sender[USER_NAME_BYTES_MAX + 1], recipient[USER_NAME_BYTES_MAX + 1];
    int64_t amount;
    char time[LEDGER_TIME_BYTES]; /* asctime form, UTC, without the line end */
};

/* Opens or makes the database.  -EIO damaged, -EMEDIUMTYPE not ours or newer, -EINVAL an opening balance below zero. */
int ledger_open(const char *path, int64_t opening_balance, struct ledger **ret_ledger, struct err *e);
/* A second ledger for another thread, after the first: ledger_balance() and ledger_log() only, without begin and end.
 */
int ledger_open_reader(const char *path, struct ledger **ret_ledger, struct err *e);
void ledger_close(struct ledger *ledger); /* NULL is fine */

int ledger_begin(struct ledger *ledger);
int ledger_end(struct ledger *ledger);

/* Makes an account, or leaves the one that is there.  -EINVAL: no user name. */
int ledger_open_account(struct ledger *ledger, const char *username, int64_t *ret_zoobars);

/* -ENOENT. */
int ledger_balance(struct ledger *ledger, const char *username, int64_t *ret_zoobars);

/*
 * The sender's balance afterwards.  -EINVAL amount or key, -ENOENT sender or recipient, -EDQUOT the sender has less,
 * -EOVERFLOW the recipient cannot hold as much, -EEXIST the key was used for another transfer.  To oneself: the balance
 * must suffice, stays as it is, and the log shows it.
 */
int ledger_transfer(struct ledger *ledger, const struct ledger_transfer *transfer, int64_t *ret_zoobars);

/* The newest LEDGER_LOG_MAX transfers from or to a user, oldest first; none for an unknown one.  The caller frees them.
 */
int ledger_log(struct ledger *ledger, const char *username, struct ledger_entry **ret_entries, size_t *ret_count);

#endif
