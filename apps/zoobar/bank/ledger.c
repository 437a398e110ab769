/* ledger.c - see ledger.h. */
#include "apps/zoobar/bank/ledger.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "apps/zoobar/db/db.h"
#include "rpc/base/weaken.h"

#define LEDGER_APPLICATION_ID 0x7a62616eu /* "zban" */
#define LOG_GROW 64                       /* entries to begin with; doubled as needed */

struct ledger {
    struct db db;
    int64_t opening_balance;
    sqlite3_stmt *balance, *log; /* a reader has only these */
    sqlite3_stmt *open, *add, *write_log, *find_key, *keep_key, *forget_keys;
};

static const char *const steps[] = {
    /* 0 -> 1.  A key points to the log entry of its transfer, which says what it was used for. */
    "CREATE TABLE bank ("
    "  username TEXT PRIMARY KEY NOT NULL CHECK (length(CAST(username AS BLOB)) BETWEEN 1 AND 128),"
    "  zoobars INTEGER NOT NULL CHECK (zoobars >= 0)"
    ") STRICT;"
    "CREATE TABLE transfer ("
    "  id INTEGER PRIMARY KEY,"
    "  sender TEXT NOT NULL REFERENCES bank (username),"
    "  recipient TEXT NOT NULL REFERENCES bank (username),"
    "  amount INTEGER NOT NULL CHECK (amount >= 1),"
    "  time TEXT NOT NULL"
    ") STRICT;"
    "CREATE INDEX transfer_by_sender ON transfer (sender);"
    "CREATE INDEX transfer_by_recipient ON transfer (recipient);"
    "CREATE TABLE transfer_key ("
    "  transfer INTEGER PRIMARY KEY REFERENCES transfer (id),"
    "  key BLOB NOT NULL UNIQUE CHECK (length(key) = 16),"
    "  zoobars INTEGER NOT NULL," /* the answer that was given */
    "  made_s INTEGER NOT NULL"
    ") STRICT;",
};

static const struct db_schema schema = {LEDGER_APPLICATION_ID, steps, sizeof steps / sizeof *steps};

static int prepare_all(struct ledger *ledger, enum db_mode mode, struct err *e);
static int transfer_once(struct ledger *ledger, const struct ledger_transfer *t, int64_t *ret_zoobars);

static int open_mode(const char *path, enum db_mode mode, int64_t opening_balance, struct ledger **ret_ledger,
                     struct err *e)
{
    struct ledger *ledger = calloc(1, sizeof *ledger);
    if (!ledger)
        return err_set(e, -ENOMEM, "no memory for the ledger");
    ledger->opening_balance = opening_balance;
    int result = db_open(&ledger->db, path, &schema, mode, e);
    if (!result)
        result = prepare_all(ledger, mode, e);
    if (result) {
        ledger_close(ledger);
        return result;
    }
    *ret_ledger = ledger;
    return 0;
}

int ledger_open(const char *path, int64_t opening_balance, struct ledger **ret_ledger, struct err *e)
{
    if (opening_balance < 0)
        return err_set(e, -EINVAL, "an opening balance of %lld is below zero", (long long)opening_balance);
    return open_mode(path, DB_WRITER, opening_balance, ret_ledger, e);
}

int ledger_open_reader(const char *path, struct ledger **ret_ledger, struct err *e)
{
    return open_mode(path, DB_READER, 0, ret_ledger, e);
}

static int prepare_all(struct ledger *ledger, enum db_mode mode, struct err *e)
{
    const struct {
        const char *sql;
        sqlite3_stmt **statement;
    } all[] = {
        {"SELECT zoobars FROM bank WHERE username = ?1", &ledger->balance},
        /* Two walks down the indices instead of one over the table; UNION joins what is in both (to oneself). */
        {"SELECT sender, recipient, amount, time FROM ("
         "  SELECT * FROM (SELECT * FROM transfer WHERE sender = ?1 ORDER BY id DESC LIMIT ?2)"
         "  UNION"
         "  SELECT * FROM (SELECT * FROM transfer WHERE recipient = ?1 ORDER BY id DESC LIMIT ?2)"
         "  ORDER BY id DESC LIMIT ?2"
         ") ORDER BY id",
         &ledger->log},
        {"INSERT INTO bank (username, zoobars) VALUES (?1, ?2) ON CONFLICT (username) DO NOTHING", &ledger->open},
        {"UPDATE bank SET zoobars = zoobars + ?2 WHERE username = ?1", &ledger->add},
        {"INSERT INTO transfer (sender, recipient, amount, time) VALUES (?1, ?2, ?3, ?4)", &ledger->write_log},
        {"SELECT t.sender = ?2 AND t.recipient = ?3 AND t.amount = ?4, k.zoobars"
         " FROM transfer_key AS k JOIN transfer AS t ON t.id = k.transfer WHERE k.key = ?1",
         &ledger->find_key},
        {"INSERT INTO transfer_key (transfer, key, zoobars, made_s) VALUES (?1, ?2, ?3, ?4)", &ledger->keep_key},
        /* The two oldest are looked at: each transfer adds one, so the table cannot outgrow its bound. */
        {"DELETE FROM transfer_key WHERE transfer IN ("
         "  SELECT transfer FROM (SELECT transfer, made_s FROM transfer_key ORDER BY transfer LIMIT 2)"
         "  WHERE transfer <= ?1 OR made_s < ?2)",
         &ledger->forget_keys},
    };
    size_t count = mode == DB_READER ? 2 : sizeof all / sizeof *all;
    for (size_t k = 0; k < count; k++) {
        int result = db_prepare(&ledger->db, all[k].sql, all[k].statement, e);
        if (result)
            return result;
    }
    return 0;
}

void ledger_close(struct ledger *ledger)
{
    if (!ledger)
        return;
    sqlite3_stmt *statements[] = {ledger->balance,   ledger->log,      ledger->open,     ledger->add,
                                  ledger->write_log, ledger->find_key, ledger->keep_key, ledger->forget_keys};
    for (size_t k = 0; k < sizeof statements / sizeof *statements; k++)
        (void)sqlite3_finalize(statements[k]); /* repeats the error of the last step */
    db_close(&ledger->db);
    free(ledger);
}

int ledger_begin(struct ledger *ledger)
{
    return db_begin(&ledger->db);
}

int ledger_end(struct ledger *ledger)
{
    return db_commit(&ledger->db);
}

int ledger_open_account(struct ledger *ledger, const char *username, int64_t *ret_zoobars)
{
    if (!text_is_user_name(username))
        return -EINVAL;
    int result = db_job_begin(&ledger->db);
    if (result)
        return result;
    DB_USE sqlite3_stmt *open = ledger->open;
    result = db_bind(open, "ti", username, ledger->opening_balance);
    if (!result)
        result = db_run(open);
    if (!result)
        result = ledger_balance(ledger, username, ret_zoobars);
    return db_job_end(&ledger->db, result);
}

int ledger_balance(struct ledger *ledger, const char *username, int64_t *ret_zoobars)
{
    DB_USE sqlite3_stmt *balance = ledger->balance;
    int result = db_bind(balance, "t", username);
    if (!result)
        result = db_step(balance);
    if (result < 0)
        return result;
    if (!result)
        return -ENOENT;
    *ret_zoobars = sqlite3_column_int64(balance, 0);
    return 0;
}

int ledger_transfer(struct ledger *ledger, const struct ledger_transfer *transfer, int64_t *ret_zoobars)
{
    int64_t zoobars = 0;
    if (transfer->amount < 1)
        return -EINVAL;
    int result = db_job_begin(&ledger->db);
    if (result)
        return result;
    result = db_job_end(&ledger->db, transfer_once(ledger, transfer, &zoobars));
    if (!result)
        *ret_zoobars = zoobars;
    return result;
}

/* Was the key used?  1: for this very transfer, with *ret_zoobars as the answer; 0: no. */
static int find_key(struct ledger *ledger, const struct ledger_transfer *t, int64_t *ret_zoobars)
{
    DB_USE sqlite3_stmt *find = ledger->find_key;
    int result = db_bind(find, "btti", t->key, (size_t)LEDGER_KEY_BYTES, t->sender, t->recipient, t->amount);
    if (!result)
        result = db_step(find);
    if (result <= 0)
        return result;
    if (!sqlite3_column_int(find, 0))
        return -EEXIST;
    *ret_zoobars = sqlite3_column_int64(find, 1);
    return 1;
}

static int add(struct ledger *ledger, const char *username, int64_t zoobars)
{
    DB_USE sqlite3_stmt *statement = ledger->add;
    int result = db_bind(statement, "ti", username, zoobars);
    if (!result)
        result = db_run(statement);
    if (!result && sqlite3_changes(ledger->db.handle) != 1)
        result = -EIO; /* the account was there a moment ago, in this transaction */
    return result;
}

static int write_log(struct ledger *ledger, const struct ledger_transfer *t)
{
    char text[LEDGER_TIME_BYTES];
    struct tm when;
    time_t now = (time_t)t->now_s;
    /* As asctime() prints it, without its line end; UTC, whatever zone the machine is in. */
    if (!gmtime_r(&now, &when) || !strftime(text, sizeof text, "%a %b %e %H:%M:%S %Y", &when))
        return -EINVAL;
    DB_USE sqlite3_stmt *statement = ledger->write_log;
    int result = db_bind(statement, "ttit", t->sender, t->recipient, t->amount, text);
    return result ? result : db_run(statement);
}

static int keep_key(struct ledger *ledger, const struct ledger_transfer *t, int64_t transfer_id, int64_t zoobars)
{
    DB_USE sqlite3_stmt *keep = ledger->keep_key;
    DB_USE sqlite3_stmt *forget = ledger->forget_keys;
    int result = db_bind(keep, "ibii", transfer_id, t->key, (size_t)LEDGER_KEY_BYTES, zoobars, t->now_s);
    if (!result)
        result = db_run(keep);
    if (!result)
        result = db_bind(forget, "ii", transfer_id - LEDGER_KEYS_MAX, t->now_s - LEDGER_KEY_SECONDS_MAX);
    return result ? result : db_run(forget);
}

/* The transfer itself, inside its savepoint: a failure on any line is undone by the caller. */
static int transfer_once(struct ledger *ledger, const struct ledger_transfer *t, int64_t *ret_zoobars)
{
    int64_t sender_zoobars = 0, recipient_zoobars = 0, sum;
    int result = weakened("replay") ? 0 : find_key(ledger, t, ret_zoobars);
    if (result)
        return result < 0 ? result : 0;
    if ((result = ledger_balance(ledger, t->sender, &sender_zoobars)) ||
        (result = ledger_balance(ledger, t->recipient, &recipient_zoobars)))
        return result;
    if (sender_zoobars < t->amount)
        return -EDQUOT;
    bool is_to_self = strcmp(t->sender, t->recipient) == 0;
    if (!is_to_self) {
        if (__builtin_add_overflow(recipient_zoobars, t->amount, &sum))
            return -EOVERFLOW;
        if ((result = add(ledger, t->sender, -t->amount)) || (result = add(ledger, t->recipient, t->amount)))
            return result;
        sender_zoobars -= t->amount;
    }
    if ((result = write_log(ledger, t)) ||
        (result = weakened("replay")
                      ? 0
                      : keep_key(ledger, t, sqlite3_last_insert_rowid(ledger->db.handle), sender_zoobars)))
        return result;
    *ret_zoobars = sender_zoobars;
    return 0;
}

int ledger_log(struct ledger *ledger, const char *username, struct ledger_entry **ret_entries, size_t *ret_count)
{
    struct ledger_entry *entries = NULL;
    size_t count = 0, room = 0;
    DB_USE sqlite3_stmt *log = ledger->log;
    int result = db_bind(log, "ti", username, (int64_t)LEDGER_LOG_MAX);
    while (!result && (result = db_step(log)) > 0) {
        if (count == room) {
            room = room ? 2 * room : LOG_GROW;
            void *grown = realloc(entries, room * sizeof *entries);
            if (!grown) {
                result = -ENOMEM;
                break;
            }
            entries = grown;
        }
        struct ledger_entry *entry = &entries[count++];
        entry->amount = sqlite3_column_int64(log, 2);
        result = db_column_text(log, 0, entry->sender, sizeof entry->sender);
        if (!result)
            result = db_column_text(log, 1, entry->recipient, sizeof entry->recipient);
        if (!result)
            result = db_column_text(log, 3, entry->time, sizeof entry->time);
    }
    if (result) {
        free(entries);
        return result;
    }
    *ret_entries = entries;
    *ret_count = count;
    return 0;
}
