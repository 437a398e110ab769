/* db.c - see db.h. */
#include "apps/zoobar/db/db.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

#define SQL_BYTES_MAX 16384       /* of one statement */
#define WAL_BYTES_KEPT (4u << 20) /* the log is cut to this after a checkpoint */
#define CACHE_KIB 1024            /* pages of one handle; services have 64 MiB and more */

static const char *const settings_all = "PRAGMA foreign_keys=ON;"
                                        "PRAGMA trusted_schema=OFF;"
                                        "PRAGMA cell_size_check=ON;"
                                        "PRAGMA temp_store=MEMORY;" /* there is no directory for temporary files */
                                        "PRAGMA mmap_size=0;";      /* an I/O error is an error, not a SIGBUS */

static int set_switches(sqlite3 *handle);
static int set_pragmas(sqlite3 *handle, enum db_mode mode);
static int claim_file(sqlite3 *handle, const char *path, const struct db_schema *schema, struct err *e);
static int prepare_transaction(struct db *db, struct err *e);

/* SQLite's code as an errno: few, because callers can do little more than tell these apart. */
static int to_errno(int code)
{
    switch (code & 0xff) {
    case SQLITE_OK:
    case SQLITE_DONE:
    case SQLITE_ROW:
        return 0;
    case SQLITE_CONSTRAINT: /* any other constraint would be our own mistake */
        return code == SQLITE_CONSTRAINT_UNIQUE || code == SQLITE_CONSTRAINT_PRIMARYKEY ? -EEXIST : -EIO;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return -EBUSY;
    case SQLITE_NOMEM:
        return -ENOMEM;
    case SQLITE_FULL:
        return -ENOSPC;
    case SQLITE_TOOBIG:
        return -EMSGSIZE;
    case SQLITE_READONLY:
        return -EROFS;
    case SQLITE_PERM:
    case SQLITE_AUTH:
    case SQLITE_CANTOPEN:
        return -EACCES;
    default:
        return -EIO;
    }
}

static int fail(sqlite3 *handle, int code, const char *path, const char *what, struct err *e)
{
    return err_set(e, to_errno(code) ? to_errno(code) : -EIO, "%s: %s: %s", path, what,
                   handle ? sqlite3_errmsg(handle) : sqlite3_errstr(code));
}

int db_open(struct db *ret_db, const char *path, const struct db_schema *schema, enum db_mode mode, struct err *e)
{
    struct db db = {0};
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW | SQLITE_OPEN_PRIVATECACHE |
                SQLITE_OPEN_EXRESCODE | (mode == DB_WRITER ? SQLITE_OPEN_CREATE : 0);
    int code = sqlite3_open_v2(path, &db.handle, flags, NULL);
    int result = 0;

    *ret_db = (struct db){0};
    if (code)
        result = fail(db.handle, code, path, "cannot be opened", e);
    if (!result && (code = set_switches(db.handle)))
        result = fail(db.handle, code, path, "cannot be made safe", e);
    if (!result && (code = sqlite3_busy_timeout(db.handle, mode == DB_WRITER ? DB_BUSY_MS_MAX : 0)))
        result = fail(db.handle, code, path, "busy timeout", e);
    if (!result && (code = set_pragmas(db.handle, mode)))
        result = fail(db.handle, code, path, "cannot be set up", e);
    if (!result && mode == DB_WRITER)
        result = claim_file(db.handle, path, schema, e);
    if (!result)
        result = prepare_transaction(&db, e);
    if (result) {
        db_close(&db);
        return result;
    }
    *ret_db = db;
    return 0;
}

void db_close(struct db *db)
{
    if (!db)
        return;
    sqlite3_stmt *statements[] = {db->begin, db->commit, db->rollback, db->savepoint, db->release, db->rollback_to};
    for (size_t k = 0; k < sizeof statements / sizeof *statements; k++)
        (void)sqlite3_finalize(statements[k]); /* repeats the error of the last step, which was reported then */
    (void)sqlite3_close_v2(db->handle); /* cannot fail; a forgotten statement would keep the handle, not break it */
    *db = (struct db){0};
}

/* What an attacker who can write the file could make us do is switched off: triggers, views, extensions, odd schemas.
 */
static int set_switches(sqlite3 *handle)
{
    static const struct {
        int option, value;
    } switches[] = {
        {SQLITE_DBCONFIG_DEFENSIVE, 1},      {SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0},
        {SQLITE_DBCONFIG_ENABLE_FKEY, 1},    {SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0},
        {SQLITE_DBCONFIG_ENABLE_TRIGGER, 0}, {SQLITE_DBCONFIG_ENABLE_VIEW, 0},
        {SQLITE_DBCONFIG_DQS_DML, 0},        {SQLITE_DBCONFIG_DQS_DDL, 0},
    };
    for (size_t k = 0; k < sizeof switches / sizeof *switches; k++) {
        int code = sqlite3_db_config(handle, switches[k].option, switches[k].value, NULL);
        if (code)
            return code;
    }
    (void)sqlite3_limit(handle, SQLITE_LIMIT_LENGTH, DB_VALUE_BYTES_MAX);
    (void)sqlite3_limit(handle, SQLITE_LIMIT_SQL_LENGTH, SQL_BYTES_MAX);
    (void)sqlite3_limit(handle, SQLITE_LIMIT_ATTACHED, 0);
    (void)sqlite3_limit(handle, SQLITE_LIMIT_WORKER_THREADS, 0);
    return SQLITE_OK;
}

/* One row, one column, as text. */
static int query_text(sqlite3 *handle, const char *sql, char *buffer, size_t bytes)
{
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(handle, sql, -1, &statement, NULL);
    if (!code)
        code = sqlite3_step(statement);
    if (code == SQLITE_ROW) {
        const char *text = (const char *)sqlite3_column_text(statement, 0);
        sqlite3_snprintf((int)bytes, buffer, "%s", text ? text : "");
        code = SQLITE_OK;
    } else if (code == SQLITE_DONE) {
        code = SQLITE_CORRUPT; /* a PRAGMA without its answer */
    }
    (void)sqlite3_finalize(statement);
    return code;
}

static int query_int(sqlite3 *handle, const char *sql, int64_t *ret_value)
{
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(handle, sql, -1, &statement, NULL);
    if (!code)
        code = sqlite3_step(statement);
    if (code == SQLITE_ROW) {
        *ret_value = sqlite3_column_int64(statement, 0);
        code = SQLITE_OK;
    } else if (code == SQLITE_DONE) {
        code = SQLITE_CORRUPT;
    }
    (void)sqlite3_finalize(statement);
    return code;
}

/* Those of the handle; nothing here touches the file. */
static int set_pragmas(sqlite3 *handle, enum db_mode mode)
{
    char sql[120];
    int code = sqlite3_exec(handle, settings_all, NULL, NULL, NULL);
    sqlite3_snprintf(sizeof sql, sql, "PRAGMA cache_size=-%d; PRAGMA journal_size_limit=%u; PRAGMA query_only=%d;",
                     CACHE_KIB, WAL_BYTES_KEPT, mode == DB_READER);
    if (!code)
        code = sqlite3_exec(handle, sql, NULL, NULL, NULL);
    return code;
}

/* Whose file is it, and of which version?  Read only: another program's database is left as it was. */
static int check_identity(sqlite3 *handle, const char *path, const struct db_schema *schema, int64_t *ret_version,
                          struct err *e)
{
    int64_t application_id = 0, version = 0, objects = 0;
    int code = query_int(handle, "PRAGMA application_id", &application_id);
    if (!code)
        code = query_int(handle, "PRAGMA user_version", &version);
    if (!code)
        code = query_int(handle, "SELECT count(*) FROM sqlite_schema", &objects);
    if (code)
        return fail(handle, code, path, "is damaged or no database", e);
    if (application_id != schema->application_id && (application_id || version || objects))
        return err_set(e, -EMEDIUMTYPE, "%s: is another program's database (application id 0x%08x, not 0x%08x)", path,
                       (unsigned)application_id, schema->application_id);
    if (version < 0 || (uint64_t)version > schema->step_count)
        return err_set(e, -EMEDIUMTYPE, "%s: has version %lld, this program knows up to %zu", path, (long long)version,
                       schema->step_count);
    *ret_version = version;
    return 0;
}

/* Reads the whole file once, which takes its time with a big one; better than to acknowledge money in a damaged one. */
static int check_pages(sqlite3 *handle, const char *path, struct err *e)
{
    char answer[200] = "";
    int code = query_text(handle, "PRAGMA quick_check(1)", answer, sizeof answer);
    if (code)
        return fail(handle, code, path, "is damaged", e);
    if (strcmp(answer, "ok") != 0)
        return err_set(e, -EIO, "%s: is damaged: %s", path, answer);
    return 0;
}

static int set_durable(sqlite3 *handle, const char *path, struct err *e)
{
    char answer[16] = "";
    int code = query_text(handle, "PRAGMA journal_mode=WAL", answer, sizeof answer);
    /* A file system that cannot do it answers with the mode that stays, not with an error. */
    if (!code && strcmp(answer, "wal") != 0)
        return err_set(e, -EOPNOTSUPP, "%s: no write-ahead log on this file system (journal mode stays '%s')", path,
                       answer);
    if (!code)
        code = sqlite3_exec(handle, "PRAGMA synchronous=FULL", NULL, NULL, NULL);
    return code ? fail(handle, code, path, "cannot be made durable", e) : 0;
}

/* Makes a new database, or leads an old one to today's version, in one transaction. */
static int raise_version(sqlite3 *handle, const char *path, const struct db_schema *schema, struct err *e)
{
    int64_t version = 0;
    char sql[80];
    int code = sqlite3_exec(handle, "BEGIN IMMEDIATE", NULL, NULL, NULL);
    int result = code ? fail(handle, code, path, "is locked", e) : check_identity(handle, path, schema, &version, e);
    if (result)
        return result; /* closing the handle ends the transaction */
    for (size_t k = (size_t)version; !code && k < schema->step_count; k++)
        code = sqlite3_exec(handle, schema->steps[k], NULL, NULL, NULL);
    if (!code && (uint64_t)version < schema->step_count) {
        sqlite3_snprintf(sizeof sql, sql, "PRAGMA application_id=%d; PRAGMA user_version=%d;",
                         (int)schema->application_id, (int)schema->step_count);
        code = sqlite3_exec(handle, sql, NULL, NULL, NULL);
    }
    if (!code)
        code = sqlite3_exec(handle, "COMMIT", NULL, NULL, NULL);
    return code ? fail(handle, code, path, "its tables cannot be made", e) : 0;
}

static int claim_file(sqlite3 *handle, const char *path, const struct db_schema *schema, struct err *e)
{
    int64_t version;
    int result = check_identity(handle, path, schema, &version, e);
    if (!result)
        result = check_pages(handle, path, e);
    if (!result)
        result = set_durable(handle, path, e);
    if (!result)
        result = raise_version(handle, path, schema, e);
    return result;
}

static int prepare_transaction(struct db *db, struct err *e)
{
    /* IMMEDIATE: a batch takes the write lock at its start; taking it later can fail in the middle. */
    int result = db_prepare(db, "BEGIN IMMEDIATE", &db->begin, e);
    if (!result)
        result = db_prepare(db, "COMMIT", &db->commit, e);
    if (!result)
        result = db_prepare(db, "ROLLBACK", &db->rollback, e);
    if (!result)
        result = db_prepare(db, "SAVEPOINT job", &db->savepoint, e);
    if (!result)
        result = db_prepare(db, "RELEASE job", &db->release, e);
    if (!result)
        result = db_prepare(db, "ROLLBACK TO job", &db->rollback_to, e);
    return result;
}

int db_prepare(struct db *db, const char *sql, sqlite3_stmt **ret_statement, struct err *e)
{
    int code = sqlite3_prepare_v3(db->handle, sql, -1, SQLITE_PREPARE_PERSISTENT, ret_statement, NULL);
    return code ? fail(db->handle, code, sqlite3_db_filename(db->handle, "main"), sql, e) : 0;
}

static bool is_in_transaction(const struct db *db)
{
    return !sqlite3_get_autocommit(db->handle);
}

static int run_once(sqlite3_stmt *statement)
{
    int code = sqlite3_step(statement);
    (void)sqlite3_reset(statement); /* repeats the error of the step */
    return to_errno(code);
}

int db_begin(struct db *db)
{
    if (is_in_transaction(db) && run_once(db->rollback)) /* left by a batch whose end went wrong */
        return -EIO;
    return run_once(db->begin);
}

int db_commit(struct db *db)
{
    if (!is_in_transaction(db))
        return -EIO; /* SQLite undid the batch when one of its jobs met an I/O error or a full disk */
    int result = run_once(db->commit);
    if (result && is_in_transaction(db))
        (void)run_once(db->rollback); /* the commit's error is the one to report */
    return result;
}

int db_job_begin(struct db *db)
{
    return is_in_transaction(db) ? run_once(db->savepoint) : -EIO;
}

int db_job_end(struct db *db, int result)
{
    if (!is_in_transaction(db))
        return result ? result : -EIO;
    if (!result)
        return run_once(db->release);
    int undone = run_once(db->rollback_to);
    if (!undone)
        undone = run_once(db->release);
    /* Never seen; but what could not be undone must not be committed with the others. */
    if (undone && is_in_transaction(db))
        (void)run_once(db->rollback);
    return result;
}

int db_bind(sqlite3_stmt *statement, const char *types, ...)
{
    int code = SQLITE_OK;
    va_list args;
    va_start(args, types);
    for (int index = 1; !code && types[index - 1]; index++) {
        switch (types[index - 1]) {
        case 't':
            code = sqlite3_bind_text(statement, index, va_arg(args, const char *), -1, SQLITE_STATIC);
            break;
        case 'i':
            code = sqlite3_bind_int64(statement, index, va_arg(args, int64_t));
            break;
        case 'b': {
            const void *blob = va_arg(args, const void *);
            code = sqlite3_bind_blob64(statement, index, blob, va_arg(args, size_t), SQLITE_STATIC);
            break;
        }
        default:
            code = SQLITE_MISUSE;
        }
    }
    va_end(args);
    return to_errno(code);
}

int db_step(sqlite3_stmt *statement)
{
    int code = sqlite3_step(statement);
    return code == SQLITE_ROW ? 1 : to_errno(code);
}

int db_run(sqlite3_stmt *statement)
{
    int result = db_step(statement);
    return result > 0 ? -EIO : result;
}

void db_reset(sqlite3_stmt **statement)
{
    if (*statement) {
        (void)sqlite3_reset(*statement); /* repeats the error of the last step */
        (void)sqlite3_clear_bindings(*statement);
    }
}

int db_column_text(sqlite3_stmt *statement, int column, char *buffer, size_t bytes)
{
    if (sqlite3_column_type(statement, column) != SQLITE_TEXT)
        return -EILSEQ;
    const char *text = (const char *)sqlite3_column_text(statement, column);
    size_t used = (size_t)sqlite3_column_bytes(statement, column);
    if (!text)
        return -ENOMEM;
    if (memchr(text, 0, used))
        return -EILSEQ;
    if (used >= bytes)
        return -EOVERFLOW;
    memcpy(buffer, text, used);
    buffer[used] = 0;
    return 0;
}
