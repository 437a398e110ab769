/* people.c - see people.h. */
#include "apps/zoobar/person/people.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "apps/zoobar/db/db.h"

#define PEOPLE_APPLICATION_ID 0x7a706572u /* "zper" */

struct people {
    struct db db;
    sqlite3_stmt *add, *get, *set_profile;
};

static const char *const steps[] = {
    /* 0 -> 1 */
    "CREATE TABLE person ("
    "  username TEXT PRIMARY KEY NOT NULL CHECK (length(CAST(username AS BLOB)) BETWEEN 1 AND 128),"
    "  profile TEXT NOT NULL CHECK (length(profile) <= 5000)"
    ") STRICT;",
};

static const struct db_schema schema = {PEOPLE_APPLICATION_ID, steps, sizeof steps / sizeof *steps};

int people_open(const char *path, struct people **ret_people, struct err *e)
{
    struct people *people = calloc(1, sizeof *people);
    if (!people)
        return err_set(e, -ENOMEM, "no memory for the people");
    int result = db_open(&people->db, path, &schema, DB_WRITER, e);
    if (!result)
        result = db_prepare(&people->db,
                            "INSERT INTO person (username, profile) VALUES (?1, '') ON CONFLICT (username) DO NOTHING",
                            &people->add, e);
    if (!result)
        result = db_prepare(&people->db, "SELECT profile FROM person WHERE username = ?1", &people->get, e);
    if (!result)
        result = db_prepare(&people->db, "UPDATE person SET profile = ?2 WHERE username = ?1", &people->set_profile, e);
    if (result) {
        people_close(people);
        return result;
    }
    *ret_people = people;
    return 0;
}

void people_close(struct people *people)
{
    if (!people)
        return;
    sqlite3_stmt *statements[] = {people->add, people->get, people->set_profile};
    for (size_t k = 0; k < sizeof statements / sizeof *statements; k++)
        (void)sqlite3_finalize(statements[k]); /* repeats the error of the last step */
    db_close(&people->db);
    free(people);
}

int people_begin(struct people *people)
{
    return db_begin(&people->db);
}

int people_end(struct people *people)
{
    return db_commit(&people->db);
}

bool people_is_profile(const char *profile)
{
    size_t characters = 0;
    return text_is_utf8(profile, PEOPLE_PROFILE_BYTES_MAX, &characters) && characters <= PEOPLE_PROFILE_CHARACTERS_MAX;
}

int people_add(struct people *people, const char *username)
{
    if (!text_is_user_name(username))
        return -EINVAL;
    int result = db_job_begin(&people->db);
    if (result)
        return result;
    DB_USE sqlite3_stmt *add = people->add;
    result = db_bind(add, "t", username);
    if (!result)
        result = db_run(add);
    return db_job_end(&people->db, result);
}

int people_get(struct people *people, const char *username, char **ret_profile)
{
    DB_USE sqlite3_stmt *get = people->get;
    int result = db_bind(get, "t", username);
    if (!result)
        result = db_step(get);
    if (result <= 0)
        return result ? result : -ENOENT;
    char *profile = malloc(PEOPLE_PROFILE_BYTES_MAX + 1);
    if (!profile)
        return -ENOMEM;
    result = db_column_text(get, 0, profile, PEOPLE_PROFILE_BYTES_MAX + 1);
    if (result) {
        free(profile);
        return result;
    }
    *ret_profile = profile;
    return 0;
}

int people_set_profile(struct people *people, const char *username, const char *profile)
{
    if (!people_is_profile(profile))
        return -EINVAL;
    int result = db_job_begin(&people->db);
    if (result)
        return result;
    DB_USE sqlite3_stmt *set_profile = people->set_profile;
    result = db_bind(set_profile, "tt", username, profile);
    if (!result)
        result = db_run(set_profile);
    if (!result && sqlite3_changes(people->db.handle) != 1)
        result = -ENOENT;
    return db_job_end(&people->db, result);
}
