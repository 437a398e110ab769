/* Credentials: what is kept of passwords and tokens, who is let in, and what a stolen database is worth. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include "apps/zoobar/auth/cred.h"
#include "apps/zoobar/auth/secret.h"
#include "tests/unit/db_temp.h"

static struct db_temp temp;
static struct cred *cred;
static struct secret any_secret; /* made once: hashing takes its time under sanitizers */

static int set_up_group(void **state)
{
    return secret_init(NULL) || secret_make("password", SECRET_LOG2_N_MIN, &any_secret);
}

static int set_up(void **state)
{
    return db_temp_make(&temp) || cred_open(temp.path, &cred, NULL) ? -1 : 0;
}

static int tear_down(void **state)
{
    cred_close(cred);
    cred = NULL;
    db_temp_remove(&temp);
    return 0;
}

/* Each of these is a batch of its own. */
static int add(const char *username, struct secret_token *ret_token)
{
    assert_int_equal(secret_token_make(ret_token), 0);
    assert_int_equal(cred_begin(cred), 0);
    int result = cred_add(cred, username, &any_secret, ret_token);
    assert_int_equal(cred_end(cred), 0);
    return result;
}

static int set_token(const char *username, struct secret_token *ret_token)
{
    assert_int_equal(secret_token_make(ret_token), 0);
    assert_int_equal(cred_begin(cred), 0);
    int result = cred_set_token(cred, username, ret_token);
    assert_int_equal(cred_end(cred), 0);
    return result;
}

static int clear_token(const char *username, const char *token)
{
    assert_int_equal(cred_begin(cred), 0);
    int result = cred_clear_token(cred, username, token);
    assert_int_equal(cred_end(cred), 0);
    return result;
}

/*
 * Against another program's answer: python3's
 * hashlib.scrypt(b'password', salt=bytes(range(16)), n=2**14, r=8, p=1, dklen=32).hex()
 */
static void scrypt_is_scrypt(void **state)
{
    struct secret known = {.hash = "ea23095e981e22db97492de26a5e5c794ea8f8b400d1a28803c39199396134c5",
                           .salt = "000102030405060708090a0b0c0d0e0f",
                           .log2_n = 14};
    assert_int_equal(secret_matches(&known, "password"), 0);
    assert_int_equal(secret_matches(&known, "Password"), -EACCES);
    known.salt[0] = '1';
    assert_int_equal(secret_matches(&known, "password"), -EACCES);
}

static void password_matches_itself_only(void **state)
{
    assert_int_equal(secret_matches(&any_secret, "password"), 0);
    assert_int_equal(secret_matches(&any_secret, "password "), -EACCES);
    assert_int_equal(secret_matches(&any_secret, "passwor"), -EACCES);
    struct secret again;
    assert_int_equal(secret_make("password", SECRET_LOG2_N_MIN, &again), 0);
    assert_string_not_equal(again.salt, any_secret.salt);
    assert_string_not_equal(again.hash, any_secret.hash);
    assert_null(strstr(again.hash, "password"));
}

static uint64_t now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void password_length_is_bounded(void **state)
{
    static char longest[SECRET_PASSWORD_BYTES_MAX + 2], huge[1u << 20];
    struct secret secret;
    memset(longest, 'x', SECRET_PASSWORD_BYTES_MAX);
    memset(huge, 'x', sizeof huge - 1);
    assert_int_equal(secret_make("", SECRET_LOG2_N_MIN, &secret), -EINVAL);
    assert_int_equal(secret_make(longest, SECRET_LOG2_N_MIN, &secret), 0);
    assert_int_equal(secret_matches(&secret, longest), 0);
    longest[SECRET_PASSWORD_BYTES_MAX] = 'x';
    /* Refused at once: a thousand of them take less than some ten hashes would. */
    uint64_t begin = now_ns();
    for (int k = 0; k < 500; k++) {
        assert_int_equal(secret_matches(&secret, longest), -EINVAL);
        assert_int_equal(secret_make(huge, SECRET_LOG2_N_MIN, &secret), -EINVAL);
    }
    assert_true(now_ns() - begin < 500000000u);
}

/* An unknown user is told so after as much work as a wrong password is. */
static void dummy_costs_the_same(void **state)
{
    struct secret dummy;
    assert_int_equal(secret_make_dummy(SECRET_LOG2_N_MIN, &dummy), 0);
    uint64_t best_ns[2] = {UINT64_MAX, UINT64_MAX};
    for (int k = 0; k < 6; k++) {
        uint64_t begin = now_ns();
        assert_int_equal(secret_matches(k % 2 ? &dummy : &any_secret, "wrong"), -EACCES);
        uint64_t took = now_ns() - begin;
        if (took < best_ns[k % 2])
            best_ns[k % 2] = took;
    }
    /* Wide, for a busy machine; without the dummy the ratio is some 10,000. */
    assert_true(best_ns[0] < 10 * best_ns[1] && best_ns[1] < 10 * best_ns[0]);
}

static void nonsense_secret_matches_nothing(void **state)
{
    struct secret secret = any_secret;
    secret.hash[3] = 'g';
    assert_int_equal(secret_matches(&secret, "password"), -EINVAL);
    secret = any_secret;
    secret.salt[31] = 0;
    assert_int_equal(secret_matches(&secret, "password"), -EINVAL);
    secret = any_secret;
    secret.log2_n = 40;
    assert_int_equal(secret_matches(&secret, "password"), -EINVAL);
    assert_int_equal(secret_make("password", 1, &secret), -EINVAL);
    secret.log2_n = -1;
    assert_int_equal(secret_matches(&secret, "password"), -EINVAL);
}

static int compare_tokens(const void *a, const void *b)
{
    return strcmp(((const struct secret_token *)a)->text, ((const struct secret_token *)b)->text);
}

static void tokens_differ(void **state)
{
    enum { TOKENS = 2000 };
    static struct secret_token tokens[TOKENS];
    for (int k = 0; k < TOKENS; k++) {
        assert_int_equal(secret_token_make(&tokens[k]), 0);
        assert_int_equal(strlen(tokens[k].text), 64);
        assert_int_equal(strspn(tokens[k].text, "0123456789abcdef"), 64); /* fit for a cookie as they are */
    }
    qsort(tokens, TOKENS, sizeof tokens[0], compare_tokens);
    for (int k = 1; k < TOKENS; k++)
        assert_string_not_equal(tokens[k - 1].text, tokens[k].text);
}

static void one_live_token(void **state)
{
    struct secret_token first, second, other;
    assert_int_equal(add("alice", &first), 0);
    assert_int_equal(add("bob", &other), 0);
    assert_int_equal(cred_check(cred, "alice", first.text), 0);
    assert_int_equal(cred_check(cred, "alice", other.text), -EACCES);
    assert_int_equal(cred_check(cred, "bob", first.text), -EACCES);
    assert_int_equal(cred_check(cred, "carol", first.text), -EACCES);
    assert_int_equal(set_token("alice", &second), 0);
    assert_int_equal(cred_check(cred, "alice", first.text), -EACCES);
    assert_int_equal(cred_check(cred, "alice", second.text), 0);
    assert_int_equal(clear_token("alice", first.text), -EACCES);
    assert_int_equal(clear_token("bob", second.text), -EACCES);
    assert_int_equal(cred_check(cred, "alice", second.text), 0);
    assert_int_equal(clear_token("alice", second.text), 0);
    assert_int_equal(cred_check(cred, "alice", second.text), -EACCES);
    assert_int_equal(clear_token("alice", second.text), -EACCES);
    assert_int_equal(cred_check(cred, "bob", other.text), 0);
    assert_int_equal(set_token("carol", &other), -ENOENT);
}

static void what_is_no_token_is_refused(void **state)
{
    struct secret_token token;
    struct secret_token_hash hash;
    char upper[sizeof token.text], longer[80];
    assert_int_equal(add("alice", &token), 0);
    assert_int_equal(secret_token_hash(token.text, &hash), 0);
    assert_int_equal(cred_check(cred, "alice", hash.text), -EACCES); /* what the table holds opens nothing */
    memcpy(upper, token.text, sizeof upper);
    for (size_t k = 0; upper[k]; k++)
        if (upper[k] >= 'a')
            upper[k] -= 32;
    snprintf(longer, sizeof longer, "%s0", token.text);
    const char *const wrong[] = {"", "0", upper, longer, "NULL", "' OR token IS NOT NULL --", "%"};
    for (size_t k = 0; k < sizeof wrong / sizeof *wrong; k++)
        assert_int_equal(cred_check(cred, "alice", wrong[k]), -EACCES);
    token.text[63] ^= 1;
    assert_int_equal(cred_check(cred, "alice", token.text), -EACCES);
    token.text[63] ^= 1;
    token.text[63] = 0;
    assert_int_equal(cred_check(cred, "alice", token.text), -EACCES);
}

static void name_is_taken_once(void **state)
{
    struct secret_token first, second;
    assert_int_equal(add("alice", &first), 0);
    assert_int_equal(add("alice", &second), -EEXIST);
    assert_int_equal(cred_check(cred, "alice", first.text), 0);
    assert_int_equal(cred_check(cred, "alice", second.text), -EACCES);
    assert_int_equal(add("Alice", &second), 0); /* another user */
    /* Two at once, in one batch: the second is refused, the first stays. */
    struct secret_token third;
    assert_int_equal(secret_token_make(&third), 0);
    assert_int_equal(cred_begin(cred), 0);
    assert_int_equal(cred_add(cred, "bob", &any_secret, &third), 0);
    assert_int_equal(cred_add(cred, "bob", &any_secret, &second), -EEXIST);
    assert_int_equal(cred_end(cred), 0);
    assert_int_equal(cred_check(cred, "bob", third.text), 0);
}

static void database_holds_no_secret(void **state)
{
    struct secret_token token;
    struct secret found;
    char sql[300];
    assert_int_equal(add("alice", &token), 0);
    snprintf(sql, sizeof sql, "SELECT count(*) FROM cred WHERE token = '%s' OR password LIKE '%%password%%'",
             token.text);
    assert_int_equal(db_temp_query(&temp, sql), 0);
    assert_int_equal(db_temp_query(&temp, "SELECT count(*) FROM cred WHERE username = 'alice' AND length(password) = 64"
                                          " AND length(salt) = 32 AND length(token) = 64"),
                     1);
    assert_int_equal(cred_find_secret(cred, "alice", &found), 0);
    assert_string_equal(found.hash, any_secret.hash);
    assert_int_equal(secret_matches(&found, "password"), 0);
    assert_int_equal(cred_find_secret(cred, "bob", &found), -ENOENT);
    /* Nor do its files hold the token anywhere. */
    for (int k = 0; k < 2; k++) {
        char path[96];
        snprintf(path, sizeof path, "%s%s", temp.path, k ? "-wal" : "");
        FILE *file = fopen(path, "r");
        assert_non_null(file);
        static char bytes[1u << 20];
        size_t count = fread(bytes, 1, sizeof bytes, file);
        assert_true(count > 0);
        assert_null(memmem(bytes, count, token.text, 64));
        fclose(file);
    }
}

static void odd_names_are_names(void **state)
{
    const size_t count = sizeof odd_names / sizeof *odd_names;
    struct secret_token tokens[sizeof odd_names / sizeof *odd_names];
    struct secret_token token;
    for (size_t k = 0; k < count; k++)
        assert_int_equal(add(odd_names[k], &tokens[k]), 0);
    for (size_t k = 0; k < count; k++)
        for (size_t m = 0; m < count; m++)
            assert_int_equal(cred_check(cred, odd_names[k], tokens[m].text), k == m ? 0 : -EACCES);
    for (size_t k = 0; k < sizeof bad_names / sizeof *bad_names; k++)
        assert_int_equal(add(bad_names[k], &token), -EINVAL);
}

/* The handle of the thread that answers: sees each commit at once, never writes. */
static void reader_follows_the_writer(void **state)
{
    struct cred *reader = NULL;
    struct secret_token first, second;
    assert_int_equal(cred_open_reader(temp.path, &reader, NULL), 0);
    assert_int_equal(add("alice", &first), 0);
    assert_int_equal(cred_check(reader, "alice", first.text), 0);
    assert_int_equal(secret_token_make(&second), 0);
    assert_int_equal(cred_begin(cred), 0);
    assert_int_equal(cred_set_token(cred, "alice", &second), 0);
    assert_int_equal(cred_check(reader, "alice", first.text), 0); /* not yet committed */
    assert_int_equal(cred_end(cred), 0);
    assert_int_equal(cred_check(reader, "alice", first.text), -EACCES);
    assert_int_equal(cred_check(reader, "alice", second.text), 0);
    cred_close(reader);
}

/* As in the service: one thread writes, another checks, each with its handle; a commit is never waited for. */
static void *write_tokens(void *arg)
{
    static struct secret_token token;
    for (int k = 0; k < 150; k++)
        if (secret_token_make(&token) || cred_begin(cred) || cred_set_token(cred, "bob", &token) || cred_end(cred))
            return "failed";
    return NULL;
}

static void reader_is_not_disturbed(void **state)
{
    struct cred *reader = NULL;
    struct secret_token alice, bob;
    pthread_t thread;
    void *failed = NULL;
    assert_int_equal(add("alice", &alice), 0);
    assert_int_equal(add("bob", &bob), 0);
    assert_int_equal(cred_open_reader(temp.path, &reader, NULL), 0);
    assert_int_equal(pthread_create(&thread, NULL, write_tokens, NULL), 0);
    for (int k = 0; k < 5000; k++)
        assert_int_equal(cred_check(reader, "alice", alice.text), 0);
    assert_int_equal(pthread_join(thread, &failed), 0);
    assert_null(failed);
    assert_int_equal(cred_check(reader, "bob", bob.text), -EACCES);
    cred_close(reader);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(scrypt_is_scrypt),
        TEST(password_matches_itself_only),
        TEST(password_length_is_bounded),
        TEST(dummy_costs_the_same),
        TEST(nonsense_secret_matches_nothing),
        TEST(tokens_differ),
        TEST(one_live_token),
        TEST(what_is_no_token_is_refused),
        TEST(name_is_taken_once),
        TEST(database_holds_no_secret),
        TEST(odd_names_are_names),
        TEST(reader_follows_the_writer),
        TEST(reader_is_not_disturbed),
    };
    return cmocka_run_group_tests(tests, set_up_group, NULL);
}
