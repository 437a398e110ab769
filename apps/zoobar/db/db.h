/*
 * db.h - one SQLite database of one service: opened safely, checked, and used in batches that share one commit.
 *
 * Order of use: db_open(), db_prepare() each statement once; then per batch db_begin(), for each job db_job_begin() ...
 * db_job_end(), and db_commit(); at the end sqlite3_finalize() of the statements and db_close().
 *
 * Invariants
 *  I1  What db_commit() returned 0 for is on disk: write-ahead log, synchronous=FULL.  After any other result of it the
 *      caller acknowledges nothing of the batch.  (A failed write may still turn up after a power cut: a caller who
 *      tries again needs an idempotency key.)
 *  I2  A job that fails leaves nothing behind, and does not disturb the other jobs of its batch.
 *  I3  Where SQLite itself ended the transaction (disk full, I/O error), every later job of the batch and its commit
 *      fail.
 *  I4  A database that is damaged, foreign, or of a newer version is refused at the start, with its path and the
 * reason. I5  A handle is used by one thread at a time.
 *
 * Locking is SQLite's normal one, with the log's index in shared memory (NAME.db-shm), and not locking_mode=EXCLUSIVE:
 * that would keep everybody else out, and an operator should be able to read a database on the host (`sqlite3 bank.db`)
 * while its service runs, and a service to have a second handle that reads without waiting for a commit.  The price is
 * one shared mapping of a file in the data directory, which nobody but the service (and the host's root) can open.
 *
 * Needs no /proc, /dev or /etc: temporary data stays in memory and SQLite's random numbers, which are guessable without
 * /dev/urandom, serve nothing but its own log's checksums.
 *
 * Callers: the bank's ledger, auth's credentials, person's people.
 */
#ifndef APPS_ZOOBAR_DB_DB_H
#define APPS_ZOOBAR_DB_DB_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rpc/base/err.h"

#define DB_BUSY_MS_MAX 2000       /* waiting for somebody on the host who holds a lock */
#define DB_VALUE_BYTES_MAX 131072 /* of one text, blob or row: no column of ours comes near */

/* What a database holds, step by step: steps[k] leads from version k to k + 1.  Steps that were released never change.
 */
struct db_schema {
    uint32_t application_id; /* PRAGMA application_id: whose file it is */
    const char *const *steps;
    size_t step_count;
};

enum db_mode {
    DB_WRITER, /* makes the file and its tables where they are missing, checks the whole of it */
    DB_READER, /* a second handle, for another thread: never writes; the writer is open already */
};

struct db {
    sqlite3 *handle;
    sqlite3_stmt *begin, *commit, *rollback, *savepoint, *release, *rollback_to;
};

/* path is absolute, without symbolic links.  On failure nothing stays open and *ret_db is as db_close() leaves it. */
int db_open(struct db *ret_db, const char *path, const struct db_schema *schema, enum db_mode mode, struct err *e);

/* Closes; the last handle moves the log into the database.  A zeroed or closed db is fine; so is NULL. */
void db_close(struct db *db);

/* The statement lives until the caller finalizes it. */
int db_prepare(struct db *db, const char *sql, sqlite3_stmt **ret_statement, struct err *e);

/* One batch: one transaction.  db_begin() takes the write lock (-EBUSY when somebody keeps it from us). */
int db_begin(struct db *db);
/* On failure everything of the batch is undone (I1). */
int db_commit(struct db *db);

/* One job of a batch. */
int db_job_begin(struct db *db);
/* result 0 keeps what the job did, any other undoes it; returns result, or the error of keeping it. */
int db_job_end(struct db *db, int result);

/*
 * Binds all parameters, one letter of `types` each: t const char *, i int64_t, b const void * and size_t.
 * Text and blobs are borrowed until db_reset().
 */
int db_bind(sqlite3_stmt *statement, const char *types, ...);

/* One step: 1 with a row, 0 at the end, or a negative errno (-EEXIST: a constraint says no). */
int db_step(sqlite3_stmt *statement);

/* Binds nothing more, steps to the end, expects no row: what INSERT and UPDATE need.  0 or a negative errno. */
int db_run(sqlite3_stmt *statement);

/* Ends a statement's use; forgets its parameters. */
void db_reset(sqlite3_stmt **statement);

/* DB_USE sqlite3_stmt *find = store->find;   reset at the end of the block, however it is left */
#define DB_USE __attribute__((cleanup(db_reset)))

/* Copies a text column with its NUL.  -EOVERFLOW when it does not fit, -EILSEQ when it holds a NUL or is no text. */
int db_column_text(sqlite3_stmt *statement, int column, char *buffer, size_t bytes);

#endif
