/*
 * people.h - user profiles in one database.  SQLite only: knows nothing of calls.
 *
 * Order of use: people_open(); per batch people_begin(), any of the functions in the middle, people_end();
 * people_close().  Nothing of a batch may be acknowledged before its people_end() returned 0.
 *
 * Invariants
 *  I1  A profile is kept byte for byte as it came, line ends too.
 *  I2  It is valid UTF-8 of at most PEOPLE_PROFILE_CHARACTERS_MAX code points.
 *
 * Callers: person.c, on its worker thread.
 */
#ifndef APPS_ZOOBAR_PERSON_PEOPLE_H
#define APPS_ZOOBAR_PERSON_PEOPLE_H

#include <stdbool.h>
#include <stddef.h>

#include "apps/zoobar/db/text.h"
#include "rpc/base/err.h"

#define PEOPLE_PROFILE_CHARACTERS_MAX 5000
#define PEOPLE_PROFILE_BYTES_MAX (4 * PEOPLE_PROFILE_CHARACTERS_MAX)

struct people;

int people_open(const char *path, struct people **ret_people, struct err *e);
void people_close(struct people *people); /* NULL is fine */

int people_begin(struct people *people);
int people_end(struct people *people);

/* I2. */
bool people_is_profile(const char *profile);

/* Makes an empty profile, or leaves the one that is there.  -EINVAL: no user name. */
int people_add(struct people *people, const char *username);

/* The caller frees it.  -ENOENT. */
int people_get(struct people *people, const char *username, char **ret_profile);

/* -ENOENT; -EINVAL (I2). */
int people_set_profile(struct people *people, const char *username, const char *profile);

#endif
