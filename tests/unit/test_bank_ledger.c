/* The ledger: money is conserved, a key moves it once, and what was acknowledged survives a kill. */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include <cmocka.h>

#include "apps/zoobar/bank/ledger.h"
#include "tests/unit/db_temp.h"

#define NOW_S 1795249115 /* Sat Nov 21 08:18:35 2026 */

static struct db_temp temp;
static struct ledger *ledger;

static int set_up(void **state)
{
    return db_temp_make(&temp) || ledger_open(temp.path, 10, &ledger, NULL) ? -1 : 0;
}

static int tear_down(void **state)
{
    ledger_close(ledger);
    ledger = NULL;
    db_temp_remove(&temp);
    return 0;
}

static void reopen(void)
{
    struct err e = {0};
    ledger_close(ledger);
    ledger = NULL;
    if (ledger_open(temp.path, 10, &ledger, &e))
        fail_msg("%s", e.text);
}

/* Each of these is a batch of its own. */
static int64_t open_account(const char *username)
{
    int64_t zoobars = -1;
    assert_int_equal(ledger_begin(ledger), 0);
    assert_int_equal(ledger_open_account(ledger, username, &zoobars), 0);
    assert_int_equal(ledger_end(ledger), 0);
    return zoobars;
}

static int64_t balance(const char *username)
{
    int64_t zoobars = -1;
    int result = ledger_balance(ledger, username, &zoobars);
    return result ? result : zoobars;
}

static void make_key(uint8_t key[LEDGER_KEY_BYTES], uint64_t number)
{
    memset(key, 0x5a, LEDGER_KEY_BYTES);
    memcpy(key, &number, sizeof number);
}

/* In the batch that is open. */
static int try_transfer(const char *sender, const char *recipient, int64_t amount, uint64_t key_number, int64_t now_s,
                        int64_t *ret_zoobars)
{
    uint8_t key[LEDGER_KEY_BYTES];
    make_key(key, key_number);
    const struct ledger_transfer t = {sender, recipient, amount, key, now_s};
    return ledger_transfer(ledger, &t, ret_zoobars);
}

static int transfer(const char *sender, const char *recipient, int64_t amount, uint64_t key_number)
{
    int64_t zoobars = -1;
    assert_int_equal(ledger_begin(ledger), 0);
    int result = try_transfer(sender, recipient, amount, key_number, NOW_S, &zoobars);
    assert_int_equal(ledger_end(ledger), 0);
    if (result)
        assert_int_equal(zoobars, -1); /* results are untouched on failure */
    return result ? result : (int)zoobars;
}

static size_t log_count(const char *username)
{
    struct ledger_entry *entries = NULL;
    size_t count = 0;
    assert_int_equal(ledger_log(ledger, username, &entries, &count), 0);
    free(entries);
    return count;
}

static void account_opens_once(void **state)
{
    assert_int_equal(open_account("alice"), 10);
    assert_int_equal(transfer("alice", "alice", 3, 1), 10);
    assert_int_equal(open_account("bob"), 10);
    assert_int_equal(transfer("alice", "bob", 4, 2), 6);
    assert_int_equal(open_account("alice"), 6);
    assert_int_equal(balance("alice") + balance("bob"), 20);
}

static void transfer_moves_and_logs(void **state)
{
    struct ledger_entry *entries = NULL;
    size_t count = 0;
    open_account("alice");
    open_account("bob");
    assert_int_equal(transfer("alice", "bob", 10, 1), 0);
    assert_int_equal(transfer("bob", "alice", 1, 2), 19);
    assert_int_equal(balance("alice"), 1);
    assert_int_equal(ledger_log(ledger, "alice", &entries, &count), 0);
    assert_int_equal(count, 2);
    assert_string_equal(entries[0].sender, "alice");
    assert_string_equal(entries[0].recipient, "bob");
    assert_int_equal(entries[0].amount, 10);
    assert_string_equal(entries[0].time, "Sat Nov 21 08:18:35 2026");
    assert_string_equal(entries[1].sender, "bob");
    free(entries);
    assert_int_equal(log_count("carol"), 0);
}

/* The time column is asctime's own form for days of one and of two digits. */
static void time_is_as_asctime_prints_it(void **state)
{
    const time_t times[] = {0, NOW_S, 1794000000, 4102444800, 951782400};
    int64_t zoobars;
    open_account("alice");
    for (size_t k = 0; k < sizeof times / sizeof *times; k++) {
        struct ledger_entry *entries = NULL;
        size_t count = 0;
        struct tm when;
        char text[64];
        assert_int_equal(ledger_begin(ledger), 0);
        assert_int_equal(try_transfer("alice", "alice", 1, k, times[k], &zoobars), 0);
        assert_int_equal(ledger_end(ledger), 0);
        assert_int_equal(ledger_log(ledger, "alice", &entries, &count), 0);
        assert_non_null(asctime_r(gmtime_r(&times[k], &when), text));
        text[strcspn(text, "\n")] = 0;
        assert_string_equal(entries[count - 1].time, text);
        free(entries);
    }
}

static void refused_transfers_change_nothing(void **state)
{
    open_account("alice");
    open_account("bob");
    const struct {
        const char *sender, *recipient;
        int64_t amount;
        int result;
    } refused[] = {
        {"alice", "bob", 0, -EINVAL},     {"alice", "bob", -1, -EINVAL},        {"alice", "bob", INT64_MIN, -EINVAL},
        {"alice", "bob", 11, -EDQUOT},    {"alice", "bob", INT64_MAX, -EDQUOT}, {"alice", "alice", 11, -EDQUOT},
        {"alice", "alice", -5, -EINVAL},  {"alice", "nobody", 1, -ENOENT},      {"nobody", "bob", 1, -ENOENT},
        {"nobody", "nobody", 1, -ENOENT}, {"Alice", "bob", 1, -ENOENT},         {"alice ", "bob", 1, -ENOENT},
        {"alice", "", 1, -ENOENT},        {"alice", "b%", 1, -ENOENT},          {"alice", "' OR 1=1 --", 1, -ENOENT},
    };
    for (size_t k = 0; k < sizeof refused / sizeof *refused; k++) {
        assert_int_equal(transfer(refused[k].sender, refused[k].recipient, refused[k].amount, 7), refused[k].result);
        assert_int_equal(balance("alice"), 10);
        assert_int_equal(balance("bob"), 10);
        assert_int_equal(log_count("alice") + log_count("bob"), 0);
    }
    assert_int_equal(transfer("alice", "bob", 1, 7), 9); /* the key was not used up */
}

static void transfer_cannot_overflow(void **state)
{
    ledger_close(ledger);
    ledger = NULL;
    assert_int_equal(ledger_open(temp.path, INT64_MAX - 2, &ledger, NULL), 0);
    assert_int_equal(open_account("rich"), INT64_MAX - 2);
    assert_int_equal(open_account("richer"), INT64_MAX - 2);
    assert_int_equal(transfer("rich", "richer", 3, 1), -EOVERFLOW);
    assert_int_equal(transfer("rich", "richer", INT64_MAX - 2, 1), -EOVERFLOW);
    assert_int_equal(balance("rich"), INT64_MAX - 2);
    int64_t zoobars = -1;
    assert_int_equal(ledger_begin(ledger), 0);
    assert_int_equal(try_transfer("rich", "richer", 2, 1, NOW_S, &zoobars), 0);
    assert_int_equal(try_transfer("rich", "rich", INT64_MAX - 4, 2, NOW_S, &zoobars), 0);
    assert_int_equal(ledger_end(ledger), 0);
    assert_int_equal(balance("richer"), INT64_MAX);
    assert_int_equal(balance("rich"), INT64_MAX - 4);
}

static void opening_balance_is_not_negative(void **state)
{
    struct ledger *other = NULL;
    struct err e = {0};
    assert_int_equal(ledger_open(temp.path, -1, &other, &e), -EINVAL);
    assert_null(other);
}

static void key_moves_money_once(void **state)
{
    open_account("alice");
    open_account("bob");
    assert_int_equal(transfer("alice", "bob", 3, 1), 7);
    assert_int_equal(transfer("alice", "bob", 1, 2), 6);
    assert_int_equal(transfer("alice", "bob", 3, 1), 7); /* the answer that it got, not today's balance */
    reopen();
    assert_int_equal(transfer("alice", "bob", 3, 1), 7);
    assert_int_equal(transfer("alice", "bob", 4, 1), -EEXIST);
    assert_int_equal(transfer("alice", "alice", 3, 1), -EEXIST);
    assert_int_equal(transfer("bob", "alice", 3, 1), -EEXIST);
    assert_int_equal(balance("alice"), 6);
    assert_int_equal(balance("bob"), 14);
    assert_int_equal(log_count("alice"), 2);
    /* Twice in one batch, as when two retries arrive together. */
    int64_t first = -1, second = -1;
    assert_int_equal(ledger_begin(ledger), 0);
    assert_int_equal(try_transfer("bob", "alice", 2, 3, NOW_S, &first), 0);
    assert_int_equal(try_transfer("bob", "alice", 2, 3, NOW_S, &second), 0);
    assert_int_equal(ledger_end(ledger), 0);
    assert_int_equal(first, 12);
    assert_int_equal(second, 12);
    assert_int_equal(balance("bob"), 12);
}

static void old_keys_are_forgotten(void **state)
{
    int64_t zoobars;
    open_account("alice");
    open_account("bob");
    assert_int_equal(ledger_begin(ledger), 0);
    for (uint64_t key = 0; key < 8; key++)
        assert_int_equal(try_transfer("alice", "bob", 1, key, NOW_S, &zoobars), 0);
    /* Just in time it is still known, and a known key forgets nothing. */
    assert_int_equal(try_transfer("alice", "bob", 1, 0, NOW_S + LEDGER_KEY_SECONDS_MAX, &zoobars), 0);
    assert_int_equal(zoobars, 9);
    /* Each later transfer forgets two that are too old. */
    for (uint64_t key = 8; key < 12; key++)
        assert_int_equal(try_transfer("bob", "alice", 1, key, NOW_S + LEDGER_KEY_SECONDS_MAX + 1, &zoobars), 0);
    assert_int_equal(ledger_end(ledger), 0);
    assert_int_equal(db_temp_query(&temp, "SELECT count(*) FROM transfer_key"), 4);
    assert_int_equal(db_temp_query(&temp, "SELECT count(*) FROM transfer"), 12);
    assert_int_equal(transfer("alice", "bob", 1, 0), 5); /* a new transfer now: I5 */
}

static void keys_are_bounded_in_number(void **state)
{
    open_account("alice");
    assert_int_equal(transfer("alice", "alice", 1, 1), 10);
    /* As if a million transfers had been made since. */
    assert_int_equal(db_temp_exec(&temp, "INSERT INTO transfer VALUES (1000001, 'alice', 'alice', 1, '')"), SQLITE_OK);
    assert_int_equal(transfer("alice", "alice", 1, 2), 10);
    assert_int_equal(db_temp_query(&temp, "SELECT count(*) FROM transfer_key"), 1);
}

static void refused_job_does_not_spoil_its_batch(void **state)
{
    int64_t zoobars = -1;
    open_account("alice");
    open_account("bob");
    assert_int_equal(ledger_begin(ledger), 0);
    assert_int_equal(try_transfer("alice", "bob", 1, 1, NOW_S, &zoobars), 0);
    assert_int_equal(try_transfer("alice", "bob", 100, 2, NOW_S, &zoobars), -EDQUOT);
    assert_int_equal(try_transfer("alice", "nobody", 1, 3, NOW_S, &zoobars), -ENOENT);
    assert_int_equal(ledger_open_account(ledger, "", &zoobars), -EINVAL);
    assert_int_equal(ledger_open_account(ledger, "carol", &zoobars), 0);
    assert_int_equal(try_transfer("bob", "carol", 2, 4, NOW_S, &zoobars), 0);
    assert_int_equal(ledger_end(ledger), 0);
    assert_int_equal(balance("alice"), 9);
    assert_int_equal(balance("bob"), 9);
    assert_int_equal(balance("carol"), 12);
}

/* A job that fails after it has moved the money: undone, alone.  An index that is not ours makes its log entry fail. */
static void half_done_job_is_undone(void **state)
{
    int64_t zoobars = -1;
    open_account("alice");
    open_account("bob");
    assert_int_equal(db_temp_exec(&temp, "CREATE UNIQUE INDEX one_amount ON transfer (amount)"), SQLITE_OK);
    assert_int_equal(ledger_begin(ledger), 0);
    assert_int_equal(try_transfer("alice", "bob", 3, 1, NOW_S, &zoobars), 0);
    assert_true(try_transfer("alice", "bob", 3, 2, NOW_S, &zoobars) < 0);
    assert_int_equal(try_transfer("alice", "bob", 4, 3, NOW_S, &zoobars), 0);
    assert_int_equal(ledger_end(ledger), 0);
    assert_int_equal(balance("alice"), 3);
    assert_int_equal(balance("bob"), 17);
    assert_int_equal(log_count("alice"), 2);
}

/* Somebody on the host holds the write lock: an error, no wait without end, and all is well when it is given back. */
static void locked_database_is_an_error(void **state)
{
    int64_t zoobars = -1;
    sqlite3 *other = NULL;
    open_account("alice");
    assert_int_equal(sqlite3_open(temp.path, &other), SQLITE_OK);
    assert_int_equal(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(ledger_begin(ledger), -EBUSY);
    assert_int_equal(try_transfer("alice", "alice", 1, 1, NOW_S, &zoobars), -EIO); /* outside any batch */
    assert_int_equal(ledger_end(ledger), -EIO);
    assert_int_equal(sqlite3_exec(other, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
    (void)sqlite3_close(other);
    assert_int_equal(transfer("alice", "alice", 1, 1), 10);
}

/* Files may not grow: I/O errors in the middle of batches.  What was acknowledged is there, nothing else is. */
static void failed_batch_leaves_nothing(void **state)
{
    int64_t zoobars = -1;
    char name[32];
    int failures = 0;
    open_account("alice");
    struct sigaction ignore = {.sa_handler = SIG_IGN}, before;
    struct rlimit limit;
    assert_int_equal(sigaction(SIGXFSZ, &ignore, &before), 0);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    struct rlimit small = {.rlim_cur = 96 * 1024, .rlim_max = limit.rlim_max};
    int64_t acknowledged = 1;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    for (int batch = 0; batch < 40; batch++) {
        int made = 0, result = ledger_begin(ledger);
        for (int k = 0; !result && k < 20; k++) {
            snprintf(name, sizeof name, "user %d.%d", batch, k);
            if (ledger_open_account(ledger, name, &zoobars) == 0)
                made++;
        }
        if (!result)
            result = ledger_end(ledger);
        failures += result != 0;
        acknowledged += result ? 0 : made;
    }
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    assert_int_equal(sigaction(SIGXFSZ, &before, NULL), 0);
    assert_true(failures > 0 && acknowledged > 1);
    assert_int_equal(db_temp_query(&temp, "SELECT count(*) FROM bank"), acknowledged);
    assert_int_equal(open_account("bob"), 10);
    assert_int_equal(db_temp_query(&temp, "SELECT count(*) FROM bank"), acknowledged + 1);
}

static void odd_names_are_names(void **state)
{
    const size_t count = sizeof odd_names / sizeof *odd_names;
    for (size_t k = 0; k < count; k++)
        assert_int_equal(open_account(odd_names[k]), 10);
    for (size_t k = 0; k < count; k++)
        assert_true(transfer(odd_names[k], odd_names[(k + 1) % count], 1, k) >= 9);
    for (size_t k = 0; k < count; k++) {
        assert_int_equal(balance(odd_names[k]), 10);
        assert_int_equal(log_count(odd_names[k]), 2);
    }
    for (size_t k = 0; k < sizeof bad_names / sizeof *bad_names; k++) {
        int64_t zoobars;
        assert_int_equal(ledger_begin(ledger), 0);
        assert_int_equal(ledger_open_account(ledger, bad_names[k], &zoobars), -EINVAL);
        assert_int_equal(ledger_end(ledger), 0);
    }
    assert_int_equal(db_temp_query(&temp, "SELECT count(*) FROM bank"), count);
}

/* Thousands of random transfers, most of them foolish: the sum stays, and the log explains every balance. */
static void random_transfers_conserve(void **state)
{
    enum { USERS = 12, TRANSFERS = 6000, BATCH = 64 };
    char names[USERS + 1][16]; /* the last one has no account */
    unsigned seed = 20261121;
    int done = 0;
    for (int k = 0; k <= USERS; k++)
        snprintf(names[k], sizeof names[k], "user%d", k);
    for (int k = 0; k < USERS; k++)
        open_account(names[k]);
    for (int k = 0; k < TRANSFERS; k++) {
        static const int64_t wild[] = {0, -1, -5, INT64_MIN, INT64_MAX, INT64_MAX - 9, 1000};
        const char *sender = names[rand_r(&seed) % (USERS + 1)];
        const char *recipient = rand_r(&seed) % 8 ? names[rand_r(&seed) % (USERS + 1)] : sender;
        int64_t amount = rand_r(&seed) % 4 ? 1 + rand_r(&seed) % 8 : wild[rand_r(&seed) % 7];
        uint64_t key = (uint64_t)(rand_r(&seed) % (2 * TRANSFERS)); /* some come again */
        int64_t zoobars;
        if (k % BATCH == 0)
            assert_int_equal(ledger_begin(ledger), 0);
        int result = try_transfer(sender, recipient, amount, key, NOW_S, &zoobars);
        if (result == 0) {
            assert_true(amount >= 1 && zoobars >= 0);
            done++;
        } else {
            assert_true(result == -EINVAL || result == -ENOENT || result == -EDQUOT || result == -EEXIST);
        }
        if (k % BATCH == BATCH - 1 || k == TRANSFERS - 1)
            assert_int_equal(ledger_end(ledger), 0);
    }
    assert_true(done > TRANSFERS / 10);
    assert_int_equal(db_temp_query(&temp, "SELECT sum(zoobars) FROM bank"), 10 * USERS);
    assert_int_equal(db_temp_query(&temp, "SELECT count(*) FROM bank WHERE zoobars < 0"), 0);
    assert_int_equal(db_temp_query(&temp,
                                   "SELECT count(*) FROM bank AS b WHERE zoobars != 10"
                                   " - (SELECT coalesce(sum(amount), 0) FROM transfer WHERE sender = b.username)"
                                   " + (SELECT coalesce(sum(amount), 0) FROM transfer WHERE recipient = b.username)"),
                     0);
}

static void log_holds_the_newest(void **state)
{
    enum { MORE = 50, TRANSFERS = LEDGER_LOG_MAX + MORE };
    static const char *const names[] = {"alice", "bob"};
    struct ledger_entry *entries = NULL;
    size_t count = 0;
    int64_t zoobars;
    open_account("alice");
    open_account("bob");
    open_account("carol");
    assert_int_equal(ledger_begin(ledger), 0);
    for (int k = 0; k < TRANSFERS - 1; k++) /* to and fro */
        assert_int_equal(try_transfer(names[k % 2], names[1 - k % 2], 1, (uint64_t)k, k, &zoobars), 0);
    assert_int_equal(try_transfer("alice", "alice", 1, TRANSFERS, TRANSFERS - 1, &zoobars), 0);
    assert_int_equal(try_transfer("bob", "carol", 1, TRANSFERS + 1, TRANSFERS, &zoobars), 0); /* not alice's */
    assert_int_equal(ledger_end(ledger), 0);
    assert_int_equal(ledger_log(ledger, "alice", &entries, &count), 0);
    assert_int_equal(count, LEDGER_LOG_MAX);
    assert_string_equal(entries[0].time, "Thu Jan  1 00:00:50 1970"); /* second MORE */
    assert_string_equal(entries[0].sender, names[MORE % 2]);
    assert_string_equal(entries[count - 2].time, "Thu Jan  1 00:17:28 1970");
    assert_string_equal(entries[count - 1].time, "Thu Jan  1 00:17:29 1970");
    assert_string_equal(entries[count - 1].sender, "alice"); /* once, though it is in both indices */
    assert_string_equal(entries[count - 1].recipient, "alice");
    free(entries);
    assert_int_equal(log_count("bob"), LEDGER_LOG_MAX);
    assert_int_equal(log_count("carol"), 1);
}

/* The second handle sees a commit at once, cannot write, and reads while a batch is open. */
static void reader_sees_commits_only(void **state)
{
    struct ledger *reader = NULL;
    int64_t zoobars = -1;
    assert_int_equal(ledger_open_reader(temp.path, &reader, NULL), 0);
    assert_int_equal(ledger_balance(reader, "alice", &zoobars), -ENOENT);
    assert_int_equal(ledger_begin(ledger), 0);
    assert_int_equal(ledger_open_account(ledger, "alice", &zoobars), 0);
    assert_int_equal(ledger_balance(reader, "alice", &zoobars), -ENOENT);
    assert_int_equal(ledger_end(ledger), 0);
    assert_int_equal(ledger_balance(reader, "alice", &zoobars), 0);
    assert_int_equal(zoobars, 10);
    assert_int_equal(db_temp_query(&temp, "SELECT zoobars FROM bank WHERE username = 'alice'"), 10);
    assert_true(ledger_begin(reader) != 0);
    ledger_close(reader);
}

static void write_file(const char *path, long at, const char *bytes, size_t count)
{
    FILE *file = fopen(path, at < 0 ? "w" : "r+");
    assert_non_null(file);
    assert_int_equal(fseek(file, at < 0 ? 0 : at, SEEK_SET), 0);
    assert_int_equal(fwrite(bytes, 1, count, file), count);
    assert_int_equal(fclose(file), 0);
}

static void assert_refused(int expected, const char *text)
{
    struct err e = {0};
    struct ledger *other = NULL;
    assert_int_equal(ledger_open(temp.path, 10, &other, &e), expected);
    assert_null(other);
    assert_non_null(strstr(e.text, temp.path));
    if (!strstr(e.text, text))
        fail_msg("'%s' is not in '%s'", text, e.text);
}

static void wrong_files_are_refused(void **state)
{
    ledger_close(ledger);
    ledger = NULL;
    db_temp_remove(&temp);
    assert_int_equal(db_temp_make(&temp), 0);
    write_file(temp.path, -1,
               "this is no database, and long enough not to be taken for an empty one: "
               "its head is wrong, so nothing of it is read or written by anybody",
               130);
    assert_refused(-EIO, "not a database");
    assert_int_equal(unlink(temp.path), 0);

    /* Somebody else's database stays as it was. */
    assert_int_equal(db_temp_exec(&temp, "CREATE TABLE theirs (x); PRAGMA user_version=1;"), SQLITE_OK);
    assert_refused(-EMEDIUMTYPE, "another program's");
    sqlite3 *handle = NULL;
    sqlite3_stmt *mode = NULL;
    assert_int_equal(sqlite3_open(temp.path, &handle), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(handle, "PRAGMA journal_mode", -1, &mode, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(mode), SQLITE_ROW);
    assert_string_equal((const char *)sqlite3_column_text(mode, 0), "delete");
    (void)sqlite3_finalize(mode);
    (void)sqlite3_close(handle);
    assert_int_equal(unlink(temp.path), 0);

    /* One of ours from the future. */
    assert_int_equal(ledger_open(temp.path, 10, &ledger, NULL), 0);
    ledger_close(ledger);
    ledger = NULL;
    assert_int_equal(db_temp_exec(&temp, "PRAGMA user_version=99;"), SQLITE_OK);
    assert_refused(-EMEDIUMTYPE, "version 99");
    assert_int_equal(db_temp_exec(&temp, "PRAGMA user_version=1; DROP TABLE transfer_key;"), SQLITE_OK);
    assert_refused(-EIO, "transfer_key");
}

static void damaged_file_is_refused(void **state)
{
    char name[40], junk[600];
    int64_t zoobars;
    assert_int_equal(ledger_begin(ledger), 0);
    for (int k = 0; k < 500; k++) {
        snprintf(name, sizeof name, "a user with the number %d", k);
        assert_int_equal(ledger_open_account(ledger, name, &zoobars), 0);
    }
    assert_int_equal(ledger_end(ledger), 0);
    ledger_close(ledger);
    ledger = NULL;
    memset(junk, 0xee, sizeof junk);
    write_file(temp.path, 4096 + 8, junk, sizeof junk); /* the root of the table bank: its cell pointers */
    assert_refused(-EIO, "damaged");
}

static void link_is_not_followed(void **state)
{
    char elsewhere[96];
    ledger_close(ledger);
    ledger = NULL;
    snprintf(elsewhere, sizeof elsewhere, "%s-journal", temp.path);
    assert_int_equal(rename(temp.path, elsewhere), 0);
    assert_int_equal(symlink(elsewhere, temp.path), 0);
    struct err e = {0};
    assert_int_equal(ledger_open(temp.path, 10, &ledger, &e), -EACCES);
}

/* ---- killed in the middle ---- */

#define CRASH_USERS 6
#define CRASH_BATCH 8
#define CRASH_KEYS_MAX 200000

struct crash_note { /* of each transfer that its commit acknowledged */
    uint64_t key;
    uint32_t sender, recipient;
    int64_t amount, zoobars;
};

static void crash_name(char name[16], uint32_t user)
{
    snprintf(name, 16, "crash%u", user);
}

/* Transfers in batches, for ever; each batch's answers go out after its commit and not before. */
static _Noreturn void crash_child(int fd, uint64_t first_key)
{
    unsigned seed = (unsigned)first_key + 1;
    struct ledger *own = NULL;
    if (ledger_open(temp.path, 10, &own, NULL))
        _exit(2);
    for (uint64_t key = first_key;; key += CRASH_BATCH) {
        struct crash_note notes[CRASH_BATCH];
        size_t count = 0;
        if (ledger_begin(own))
            _exit(3);
        for (uint64_t k = 0; k < CRASH_BATCH; k++) {
            char sender[16], recipient[16];
            uint8_t bytes[LEDGER_KEY_BYTES];
            struct crash_note note = {.key = key + k,
                                      .sender = (uint32_t)rand_r(&seed) % CRASH_USERS,
                                      .recipient = (uint32_t)rand_r(&seed) % CRASH_USERS,
                                      .amount = 1 + rand_r(&seed) % 5};
            crash_name(sender, note.sender);
            crash_name(recipient, note.recipient);
            make_key(bytes, note.key);
            const struct ledger_transfer t = {sender, recipient, note.amount, bytes, NOW_S};
            if (ledger_transfer(own, &t, &note.zoobars) == 0)
                notes[count++] = note;
        }
        if (ledger_end(own))
            _exit(4);
        if (count && write(fd, notes, count * sizeof *notes) != (ssize_t)(count * sizeof *notes))
            _exit(5);
    }
}

/* Every acknowledged key is there exactly once, with its parameters, and asking again gives the same answer. */
static void check_acknowledged(const struct crash_note *notes, size_t count)
{
    assert_int_equal(ledger_begin(ledger), 0);
    for (size_t k = 0; k < count; k++) {
        char sender[16], recipient[16];
        int64_t zoobars = -1;
        crash_name(sender, notes[k].sender);
        crash_name(recipient, notes[k].recipient);
        assert_int_equal(try_transfer(sender, recipient, notes[k].amount, notes[k].key, NOW_S, &zoobars), 0);
        assert_int_equal(zoobars, notes[k].zoobars);
    }
    assert_int_equal(ledger_end(ledger), 0);
}

static void kill_loses_and_doubles_nothing(void **state)
{
    enum { KILLS = 12 };
    static struct crash_note notes[CRASH_KEYS_MAX];
    size_t count = 0;
    uint64_t next_key = 1000;
    unsigned seed = 7;
    for (uint32_t k = 0; k < CRASH_USERS; k++) {
        char name[16];
        crash_name(name, k);
        open_account(name);
    }
    for (int round = 0; round < KILLS; round++) {
        int ends[2];
        ledger_close(ledger); /* the child has the only handle: a kill leaves its log and locks as they are */
        ledger = NULL;
        assert_int_equal(pipe(ends), 0);
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            close(ends[0]);
            crash_child(ends[1], next_key);
        }
        close(ends[1]);
        /* At least one acknowledgement, then a moment that nothing is in step with. */
        struct pollfd readable = {.fd = ends[0], .events = POLLIN};
        assert_int_equal(poll(&readable, 1, 30000), 1);
        struct timespec moment = {.tv_nsec = 1000 * (rand_r(&seed) % 60000)};
        (void)nanosleep(&moment, NULL);
        assert_int_equal(kill(pid, SIGKILL), 0);
        int status;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        ssize_t got;
        size_t before = count;
        while ((got = read(ends[0], (char *)&notes[count], sizeof notes[0] * CRASH_BATCH)) > 0) {
            assert_int_equal(got % (ssize_t)sizeof notes[0], 0); /* a note is written as a whole or not */
            count += (size_t)got / sizeof notes[0];
            assert_true(count + CRASH_BATCH < CRASH_KEYS_MAX);
        }
        close(ends[0]);
        assert_true(count > before);
        next_key = notes[count - 1].key + 10 * CRASH_BATCH;
        reopen();
        int64_t transfers = db_temp_query(&temp, "SELECT count(*) FROM transfer");
        assert_true(transfers >= (int64_t)count);
        check_acknowledged(notes, count);
        assert_int_equal(db_temp_query(&temp, "SELECT count(*) FROM transfer"), transfers);
        assert_int_equal(db_temp_query(&temp, "SELECT sum(zoobars) FROM bank"), 10 * CRASH_USERS);
        assert_int_equal(db_temp_query(&temp, "SELECT count(*) FROM transfer AS t WHERE NOT EXISTS"
                                              " (SELECT 1 FROM transfer_key AS k WHERE k.transfer = t.id)"),
                         0);
    }
    print_message("%zu transfers acknowledged over %d kills\n", count, KILLS);
}

/* ---- the power goes ---- */

/*
 * What a disk holds for sure is what was synced.  This program's fdatasync(), which SQLite's library calls too, keeps a
 * copy of each file as it then was; a database put together from those copies is what is left after the worst power
 * cut.
 */
static struct {
    bool is_on;
    char directory[64];
    size_t syncs;
} power;

static void copy_file(const char *from, const char *to)
{
    static char bytes[4u << 20];
    FILE *file = fopen(from, "r");
    size_t count = file ? fread(bytes, 1, sizeof bytes, file) : 0;
    if (file)
        fclose(file);
    if (!file || count == sizeof bytes)
        fail_msg("copying %s", from);
    write_file(to, -1, bytes, count);
}

int fdatasync(int fd)
{
    char link[40], path[128], to[256];
    long result = syscall(SYS_fdatasync, fd);
    if (result == 0 && power.is_on) {
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        ssize_t bytes = readlink(link, path, sizeof path - 1);
        if (bytes > 0)
            path[bytes] = 0;
        if (bytes > 0 &&
            strncmp(path, temp.path, strlen(temp.path)) == 0) { /* not the directory, which is synced too */
            snprintf(to, sizeof to, "%s/%s", power.directory, strrchr(path, '/') + 1);
            copy_file(link, to);
            power.syncs++;
        }
    }
    return (int)result;
}

static void power_cut_loses_nothing(void **state)
{
    enum { BATCHES = 25, BATCH = 4 };
    struct db_temp left;
    uint64_t key = 0;
    unsigned seed = 3;
    open_account("alice");
    open_account("bob");
    ledger_close(ledger); /* moves everything into the one file */
    ledger = NULL;
    assert_int_equal(db_temp_make(&left), 0);
    snprintf(power.directory, sizeof power.directory, "%s", left.directory);
    copy_file(temp.path, left.path);
    power.is_on = true;
    assert_int_equal(ledger_open(temp.path, 10, &ledger, NULL), 0);
    for (int batch = 0; batch < BATCHES; batch++) {
        static int64_t answers[BATCHES * BATCH];
        static int64_t amounts[BATCHES * BATCH];
        size_t syncs_before = power.syncs;
        assert_int_equal(ledger_begin(ledger), 0);
        for (int k = 0; k < BATCH; k++, key++) {
            amounts[key] = 1 + rand_r(&seed) % 3;
            const char *sender = key % 2 ? "bob" : "alice", *recipient = key % 2 ? "alice" : "bob";
            assert_int_equal(try_transfer(sender, recipient, amounts[key], key, NOW_S, &answers[key]), 0);
        }
        assert_int_equal(ledger_end(ledger), 0);
        assert_true(power.syncs > syncs_before);
        /* Now: all that was acknowledged so far must be in what is left. */
        struct ledger *rest = NULL, *running = ledger;
        struct db_temp copy;
        char from[100], to[100];
        power.is_on = false;
        assert_int_equal(db_temp_make(&copy), 0);
        copy_file(left.path, copy.path);
        snprintf(from, sizeof from, "%s-wal", left.path);
        snprintf(to, sizeof to, "%s-wal", copy.path);
        copy_file(from, to);
        assert_int_equal(ledger_open(copy.path, 10, &rest, NULL), 0);
        ledger = rest;
        assert_int_equal(balance("alice") + balance("bob"), 20);
        assert_int_equal(db_temp_query(&copy, "SELECT count(*) FROM transfer"), key);
        assert_int_equal(ledger_begin(ledger), 0);
        for (uint64_t k = 0; k < key; k++) {
            int64_t zoobars = -1;
            assert_int_equal(
                try_transfer(k % 2 ? "bob" : "alice", k % 2 ? "alice" : "bob", amounts[k], k, NOW_S, &zoobars), 0);
            assert_int_equal(zoobars, answers[k]);
        }
        assert_int_equal(ledger_end(ledger), 0);
        ledger_close(rest);
        db_temp_remove(&copy);
        ledger = running;
        power.is_on = true;
    }
    power.is_on = false;
    db_temp_remove(&left);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(account_opens_once),
        TEST(transfer_moves_and_logs),
        TEST(time_is_as_asctime_prints_it),
        TEST(refused_transfers_change_nothing),
        TEST(transfer_cannot_overflow),
        TEST(opening_balance_is_not_negative),
        TEST(key_moves_money_once),
        TEST(old_keys_are_forgotten),
        TEST(keys_are_bounded_in_number),
        TEST(refused_job_does_not_spoil_its_batch),
        TEST(half_done_job_is_undone),
        TEST(locked_database_is_an_error),
        TEST(failed_batch_leaves_nothing),
        TEST(odd_names_are_names),
        TEST(random_transfers_conserve),
        TEST(log_holds_the_newest),
        TEST(reader_sees_commits_only),
        TEST(wrong_files_are_refused),
        TEST(damaged_file_is_refused),
        TEST(link_is_not_followed),
        TEST(kill_loses_and_doubles_nothing),
        TEST(power_cut_loses_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
