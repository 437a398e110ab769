/* test_logtail.c - log files shown: merged by time, followed over emptied files, escaped, never another's word. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hostd/logtail.h"

static char run_dir[64];
static const char names[2][NAME_BYTES] = {"bank", "a"};
static char *shown;
static size_t shown_bytes;
static FILE *out;
static struct logtail *tail;

static void put(const char *file, const char *text, int flags)
{
    char path[128];
    (void)snprintf(path, sizeof path, "%s/logs/%s", run_dir, file);
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | flags, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    assert_int_equal(close(fd), 0);
}

static void begin(struct logtail_options options)
{
    struct err e;
    options.out = out = open_memstream(&shown, &shown_bytes);
    assert_non_null(out);
    assert_int_equal(logtail_open(run_dir, names, 2, &options, &tail, &e), 0);
}

/* What is new, as text. */
static const char *next(void)
{
    size_t before = shown_bytes;
    logtail_print(tail);
    return shown + before;
}

static int setup(void **state)
{
    char path[128];
    (void)snprintf(run_dir, sizeof run_dir, "/tmp/hostd-logtail-XXXXXX");
    assert_non_null(mkdtemp(run_dir));
    (void)snprintf(path, sizeof path, "%s/logs", run_dir);
    assert_int_equal(mkdir(path, 0700), 0);
    return 0;
}

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *walk)
{
    return remove(path);
}

static int teardown(void **state)
{
    logtail_free(tail);
    tail = NULL;
    assert_int_equal(fclose(out), 0);
    free(shown);
    shown = NULL;
    shown_bytes = 0;
    return nftw(run_dir, remove_one, 4, FTW_DEPTH | FTW_PHYS);
}

static void lines_of_all_files_come_in_the_order_of_their_times(void **state)
{
    put("bank.0", "1.003 three\n1.005 five\n", 0);
    put("bank.1", "1.001 one\n", 0);
    put("a.0", "1.002 two\n1.004!four\n", 0);
    begin((struct logtail_options){0});
    assert_string_equal(next(), "bank  | one\na     | two\nbank  | three\na     | initsvc: four\nbank  | five\n");
    assert_string_equal(next(), "");
    put("a.0", "1.000 late", 0);
    assert_string_equal(next(), ""); /* not whole yet */
    put("a.0", "r\n1.006 six\n", 0);
    assert_string_equal(next(), "a     | later\na     | six\n");
}

static void times_colours_and_since_are_as_asked(void **state)
{
    put("bank.0", "0.999 before\n1.000 one\n", 0);
    begin((struct logtail_options){.with_time = true, .is_colored = true, .since_ms = 1000});
    assert_string_equal(next(), "1970-01-01T00:00:01.000Z \033[36mbank \033[0m | one\n");
}

static void json_is_one_object_a_line(void **state)
{
    put("bank.0", "1.500 say \"hi\" \xff\n1.501!gone\n", 0);
    begin((struct logtail_options){.is_json = true});
    assert_string_equal(next(), "{\"time\":\"1970-01-01T00:00:01.500Z\",\"service\":\"bank\",\"own\":false,"
                                "\"text\":\"say \\\"hi\\\" \\\\xff\"}\n"
                                "{\"time\":\"1970-01-01T00:00:01.501Z\",\"service\":\"bank\",\"own\":true,"
                                "\"text\":\"gone\"}\n");
}

static void an_emptied_file_is_read_from_its_start(void **state)
{
    put("bank.0", "1.001 one\n1.002 two\n", 0);
    begin((struct logtail_options){0});
    (void)next();
    put("bank.0", "1.003 three\n", O_TRUNC);
    assert_string_equal(next(), "bank  | three\n");
}

static void what_is_no_stored_line_is_not_shown(void **state)
{
    put("bank.0", "no stamp\n1.00 short\n1.001?mark\n12345678901234.000 far\n\n1.002 good\n", 0);
    begin((struct logtail_options){0});
    assert_string_equal(next(), "bank  | good\n");
}

static void no_directory_is_an_error_that_names_it(void **state)
{
    const struct logtail_options options = {.out = stdout};
    struct err e;
    assert_true(logtail_open("/nowhere", names, 2, &options, &tail, &e) < 0);
    assert_non_null(strstr(e.text, "/nowhere/logs"));
    begin(options);
    assert_true(logtail_fd(tail) >= 0);
}

#define WITH_FILES(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_FILES(lines_of_all_files_come_in_the_order_of_their_times),
        WITH_FILES(times_colours_and_since_are_as_asked),
        WITH_FILES(json_is_one_object_a_line),
        WITH_FILES(an_emptied_file_is_read_from_its_start),
        WITH_FILES(what_is_no_stored_line_is_not_shown),
        WITH_FILES(no_directory_is_an_error_that_names_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
