/* db_temp.h - a temporary directory with one database, and other programs' view of it.  For the tests of the databases.
 */
#ifndef TESTS_UNIT_DB_TEMP_H
#define TESTS_UNIT_DB_TEMP_H

#include <sqlite3.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct db_temp {
    char directory[64], path[80];
};

static inline int db_temp_make(struct db_temp *temp)
{
    strcpy(temp->directory, "/tmp/zoobar-db-XXXXXX");
    if (!mkdtemp(temp->directory))
        return -1;
    snprintf(temp->path, sizeof temp->path, "%s/test.db", temp->directory);
    return 0;
}

static inline void db_temp_remove(const struct db_temp *temp)
{
    static const char *const suffixes[] = {"", "-wal", "-shm", "-journal"};
    for (size_t k = 0; k < sizeof suffixes / sizeof *suffixes; k++) {
        char path[96];
        snprintf(path, sizeof path, "%s%s", temp->path, suffixes[k]);
        (void)unlink(path); /* most are not there */
    }
    (void)rmdir(temp->directory);
}

/* What another program sees, as `sqlite3 FILE` would: the first column of the first row, -1 on any failure. */
static inline int64_t db_temp_query(const struct db_temp *temp, const char *sql)
{
    sqlite3 *handle = NULL;
    sqlite3_stmt *statement = NULL;
    int64_t value = -1;
    if (sqlite3_open_v2(temp->path, &handle, SQLITE_OPEN_READONLY, NULL) == SQLITE_OK &&
        sqlite3_prepare_v2(handle, sql, -1, &statement, NULL) == SQLITE_OK && sqlite3_step(statement) == SQLITE_ROW)
        value = sqlite3_column_int64(statement, 0);
    (void)sqlite3_finalize(statement);
    (void)sqlite3_close(handle);
    return value;
}

/* Another program writes.  0 when it could. */
static inline int db_temp_exec(const struct db_temp *temp, const char *sql)
{
    sqlite3 *handle = NULL;
    int code = sqlite3_open(temp->path, &handle);
    if (!code)
        code = sqlite3_exec(handle, sql, NULL, NULL, NULL);
    (void)sqlite3_close(handle);
    return code;
}

#define NAME_64_BYTES "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

/* User names that other programs stumbled over.  All are fine here. */
static const char *const odd_names[] = {
    "..",
    ".",
    "a/b",
    "a#b",
    "'; drop table bank; --",
    "\"",
    "%s%n",
    "a+b%20;c",
    "\n",
    "a\nb",
    "\x01\x7f",
    " ",
    "é",
    "\xF0\x9F\x98\x80",
    "null",
    "NULL",
    "1",
    "?1",
    "\\",
    /* 128 bytes */
    NAME_64_BYTES NAME_64_BYTES,
};

/* None of these is a user name: empty, 129 bytes, and text that is no UTF-8. */
static const char *const bad_names[] = {
    "",
    NAME_64_BYTES NAME_64_BYTES "+",
    "\xff",
    "a\xc3",
    "\xc0\x80",
    "\xed\xa0\x80",
    "\xf4\x90\x80\x80",
    "\xe0\x80\xaf",
    "\x80",
};

#endif
