/* cred.c - see cred.h. */
#include "apps/zoobar/auth/cred.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "apps/zoobar/db/db.h"

#define CRED_APPLICATION_ID 0x7a637265u /* "zcre" */

struct cred {
    struct db db;
    sqlite3_stmt *find_secret, *find_token; /* a reader has only these */
    sqlite3_stmt *add, *set_token, *clear_token;
};

static const char *const steps[] = {
    /* 0 -> 1 */
    "CREATE TABLE cred ("
    "  username TEXT PRIMARY KEY NOT NULL CHECK (length(CAST(username AS BLOB)) BETWEEN 1 AND 128),"
    "  password TEXT NOT NULL," /* scrypt with salt, log2_n, r = 8, p = 1; hex */
    "  salt TEXT NOT NULL,"     /* hex */
    "  token TEXT,"             /* SHA-256 of the live token, hex; NULL: logged out */
    "  log2_n INTEGER NOT NULL"
    ") STRICT;",
};

static const struct db_schema schema = {CRED_APPLICATION_ID, steps, sizeof steps / sizeof *steps};

static int open_mode(const char *path, enum db_mode mode, struct cred **ret_cred, struct err *e)
{
    struct cred *cred = calloc(1, sizeof *cred);
    if (!cred)
        return err_set(e, -ENOMEM, "no memory for the credentials");
    int result = db_open(&cred->db, path, &schema, mode, e);
    if (!result)
        result =
            db_prepare(&cred->db, "SELECT password, salt, log2_n FROM cred WHERE username = ?1", &cred->find_secret, e);
    if (!result)
        result = db_prepare(&cred->db, "SELECT token FROM cred WHERE username = ?1 AND token IS NOT NULL",
                            &cred->find_token, e);
    if (!result && mode == DB_WRITER)
        result = db_prepare(&cred->db,
                            "INSERT INTO cred (username, password, salt, log2_n, token) VALUES (?1, ?2, ?3, ?4, ?5)",
                            &cred->add, e);
    if (!result && mode == DB_WRITER)
        result = db_prepare(&cred->db, "UPDATE cred SET token = ?2 WHERE username = ?1", &cred->set_token, e);
    if (!result && mode == DB_WRITER)
        result = db_prepare(&cred->db, "UPDATE cred SET token = NULL WHERE username = ?1", &cred->clear_token, e);
    if (result) {
        cred_close(cred);
        return result;
    }
    *ret_cred = cred;
    return 0;
}

int cred_open(const char *path, struct cred **ret_cred, struct err *e)
{
    return open_mode(path, DB_WRITER, ret_cred, e);
}

int cred_open_reader(const char *path, struct cred **ret_cred, struct err *e)
{
    return open_mode(path, DB_READER, ret_cred, e);
}

void cred_close(struct cred *cred)
{
    if (!cred)
        return;
    sqlite3_stmt *statements[] = {cred->find_secret, cred->find_token, cred->add, cred->set_token, cred->clear_token};
    for (size_t k = 0; k < sizeof statements / sizeof *statements; k++)
        (void)sqlite3_finalize(statements[k]); /* repeats the error of the last step */
    db_close(&cred->db);
    free(cred);
}

int cred_begin(struct cred *cred)
{
    return db_begin(&cred->db);
}

int cred_end(struct cred *cred)
{
    return db_commit(&cred->db);
}

int cred_find_secret(struct cred *cred, const char *username, struct secret *ret_secret)
{
    struct secret secret;
    DB_USE sqlite3_stmt *find = cred->find_secret;
    int result = db_bind(find, "t", username);
    if (!result)
        result = db_step(find);
    if (result <= 0)
        return result ? result : -ENOENT;
    if ((result = db_column_text(find, 0, secret.hash, sizeof secret.hash)) ||
        (result = db_column_text(find, 1, secret.salt, sizeof secret.salt)))
        return result;
    secret.log2_n = sqlite3_column_int(find, 2);
    *ret_secret = secret;
    return 0;
}

int cred_check(struct cred *cred, const char *username, const char *token)
{
    struct secret_token_hash live = {0}, asked = {0};
    int result = secret_token_hash(token, &asked);
    if (result)
        return result == -EINVAL ? -EACCES : result;
    DB_USE sqlite3_stmt *find = cred->find_token;
    result = db_bind(find, "t", username);
    if (!result)
        result = db_step(find);
    if (result <= 0)
        return result ? result : -EACCES;
    if ((result = db_column_text(find, 0, live.text, sizeof live.text)))
        return result;
    return secret_token_hash_equal(&live, &asked) ? 0 : -EACCES;
}

/* One statement that changes one row, as a job of its own; no row changed is -ENOENT. */
static int change_one(struct cred *cred, sqlite3_stmt *statement)
{
    int result = db_job_begin(&cred->db);
    if (result)
        return result;
    result = db_run(statement);
    if (!result && sqlite3_changes(cred->db.handle) != 1)
        result = -ENOENT;
    return db_job_end(&cred->db, result);
}

int cred_add(struct cred *cred, const char *username, const struct secret *secret, const struct secret_token *token)
{
    struct secret_token_hash hash;
    if (!text_is_user_name(username))
        return -EINVAL;
    int result = secret_token_hash(token->text, &hash);
    DB_USE sqlite3_stmt *add = cred->add;
    if (!result)
        result = db_bind(add, "tttit", username, secret->hash, secret->salt, (int64_t)secret->log2_n, hash.text);
    return result ? result : change_one(cred, add);
}

int cred_set_token(struct cred *cred, const char *username, const struct secret_token *token)
{
    struct secret_token_hash hash;
    int result = secret_token_hash(token->text, &hash);
    DB_USE sqlite3_stmt *set_token = cred->set_token;
    if (!result)
        result = db_bind(set_token, "tt", username, hash.text);
    return result ? result : change_one(cred, set_token);
}

int cred_clear_token(struct cred *cred, const char *username, const char *token)
{
    int result = cred_check(cred, username, token);
    if (result)
        return result;
    DB_USE sqlite3_stmt *clear_token = cred->clear_token;
    result = db_bind(clear_token, "t", username);
    return result ? result : change_one(cred, clear_token);
}
