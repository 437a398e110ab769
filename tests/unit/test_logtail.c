/* test_logtail.c - log files shown: merged by time, followed over emptied files, escaped, never another's word. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hostd/lastlog.h"
#include "hostd/logtail.h"

static char run_dir[64];
static const char names[2][NAME_BYTES] = {"bank", "a"};
static char shown[1 << 20];
static off_t shown_bytes;
static int out_fd = -1;
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
    out_fd = memfd_create("shown", MFD_CLOEXEC);
    assert_true(out_fd >= 0);
    options.out_fd = out_fd;
    assert_int_equal(logtail_open(run_dir, names, 2, &options, &tail, &e), 0);
}

/* What is new, as text. */
static const char *next(void)
{
    assert_false(logtail_print(tail));
    ssize_t got = pread(out_fd, shown, sizeof shown - 1, shown_bytes);
    assert_true(got >= 0);
    shown[got] = '\0';
    shown_bytes += got;
    return shown;
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
    if (out_fd >= 0)
        assert_int_equal(close(out_fd), 0);
    out_fd = -1;
    shown_bytes = 0;
    return nftw(run_dir, remove_one, 4, FTW_DEPTH | FTW_PHYS);
}

static void lines_of_all_files_come_in_the_order_of_their_times(void **state)
{
    put("bank.0", "1.003 three\n1.005 five\n", 0);
    put("bank.1", "1.001 one\n", 0);
    put("a.0", "1.002 two\n1.004!four\n", 0);
    begin((struct logtail_options){0});
    assert_string_equal(next(), "bank  | one\na     | two\nbank  | three\na     ! four\nbank  | five\n");
    assert_string_equal(next(), "");
    put("a.0", "1.000 late", 0);
    assert_string_equal(next(), ""); /* not whole yet */
    put("a.0", "r\n1.006 six\n", 0);
    assert_string_equal(next(), "a     | later\na     | six\n");
}

/* Behind a service's own separator stands only its text; the last lines of it hold no other. */
static void the_mark_of_pid_1_is_nobody_elses(void **state)
{
    put("bank.0", "1.001 ! one\n1.002 1.002!two\n1.003!three\n1.004 \b\b! four\n1.005! five\n", 0);
    begin((struct logtail_options){0});
    assert_string_equal(next(), "bank  | ! one\nbank  | 1.002!two\nbank  ! three\nbank  | \\x08\\x08! four\n"
                                "bank  !  five\n");
    struct lastlog last;
    int run_fd = open(run_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(run_fd >= 0);
    lastlog_read(run_fd, "bank", &last);
    assert_int_equal(close(run_fd), 0);
    assert_int_equal(last.count, 3);
    assert_string_equal(last.lines[0], "! one");
    assert_string_equal(last.lines[1], "1.002!two");
    assert_string_equal(last.lines[2], "\\x08\\x08! four");
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

/* The file was emptied and is longer again than it was: what was read before stands there no more, and in the middle of
 * a line stands what looks like a word of PID 1's. */
static void a_place_in_the_middle_of_a_line_is_no_start_of_one(void **state)
{
    put("bank.0", "1.001 aaaa\n", 0);
    begin((struct logtail_options){0});
    assert_string_equal(next(), "bank  | aaaa\n");
    put("bank.0", "1.002 aaaaa1.003!forged\n1.004 more\n", O_TRUNC);
    assert_string_equal(next(), "bank  | aaaaa1.003!forged\nbank  | more\n");
    put("bank.0", "1.005 bbbbbbbbbbbbbbbbbbbbbbbbbbbb\n1.006 cc\n", O_TRUNC); /* a line begins at the old end */
    assert_string_equal(next(), "bank  | bbbbbbbbbbbbbbbbbbbbbbbbbbbb\nbank  | cc\n");
}

/* A pipe that nobody reads: the caller goes on, every line comes when somebody reads, hostd's own words between them.
 */
static void an_output_that_takes_nothing_is_not_waited_for(void **state)
{
    int ends[2];
    struct err e;
    char line[200];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    const struct logtail_options options = {.out_fd = ends[1], .never_blocks = true};
    assert_int_equal(logtail_open(run_dir, names, 2, &options, &tail, &e), 0);
    assert_int_equal(fcntl(ends[1], F_GETFL) & O_NONBLOCK, 0); /* the caller's is what it was */
    memset(line, 'x', sizeof line);
    for (int i = 0; i < 2000; i++) {
        (void)snprintf(line, sizeof line, "1.%03d line %d of 2000 ................................................\n",
                       i / 2, i);
        put("bank.0", line, 0);
    }
    assert_true(logtail_print(tail));
    logtail_say(tail, "own word", 8);
    put("bank.0", "3.000 the end\n", 0);
    assert_true(logtail_print(tail));

    size_t used = 0;
    ssize_t got;
    assert_int_equal(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
    for (bool is_behind = true; is_behind;) {
        is_behind = logtail_print(tail);
        while ((got = read(ends[0], shown + used, sizeof shown - 1 - used)) > 0)
            used += (size_t)got;
    }
    shown[used] = '\0';
    const char *at = shown;
    for (int i = 0; i < 2000; i++) {
        int bytes = snprintf(line, sizeof line,
                             "bank  | line %d of 2000 ................................................\n", i);
        assert_int_equal(strncmp(at, line, (size_t)bytes), 0);
        at += bytes;
    }
    assert_string_equal(at, "hostd: own word\nbank  | the end\n");
    (void)close(ends[0]);
    put("bank.0", "4.000 to nobody\n", 0);
    (void)signal(SIGPIPE, SIG_IGN);
    assert_false(logtail_print(tail)); /* dropped: nobody will ever read it */
    (void)close(ends[1]);
}

static void what_is_there_already_can_be_left_out(void **state)
{
    put("bank.0", "1.001 old\n", 0);
    put("bank.1", "1.000 older\n", 0);
    begin((struct logtail_options){.from_now = true});
    assert_string_equal(next(), "");
    put("bank.0", "1.002 new\n", 0);
    put("a.0", "1.003 of a new file\n", 0);
    assert_string_equal(next(), "bank  | new\na     | of a new file\n");
    put("bank.1", "1.004 other\n", O_TRUNC);
    assert_string_equal(next(), "bank  | other\n");
}

static void what_is_not_printable_is_shown_not_obeyed(void **state)
{
    static const char *const texts[][2] = {
        {"plain ~ \\", "plain ~ \\"},
        {"caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80", "caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80"},
        {"\t\r\n\x1b[2J\x7f\x01", "\\x09\\x0d\\x0a\\x1b[2J\\x7f\\x01"},
        {"\xc2\x9b"
         "31m",
         "\\xc2\\x9b31m"},                                              /* C1: CSI */
        {"\x80\xbf\xc0\xaf\xc1\x81", "\\x80\\xbf\\xc0\\xaf\\xc1\\x81"}, /* no start, too long a form */
        {"\xe0\x80\x80\xf0\x80\x80\x80", "\\xe0\\x80\\x80\\xf0\\x80\\x80\\x80"},
        {"\xed\xa0\x80", "\\xed\\xa0\\x80"}, /* a surrogate */
        {"\xf4\x90\x80\x80\xf5\xff", "\\xf4\\x90\\x80\\x80\\xf5\\xff"},
        {"\xe2\x82", "\\xe2\\x82"}, /* cut off */
        {"\xe2\x82x", "\\xe2\\x82x"},
        {"\xe2\x80\xae\xe2\x81\xa6\xe2\x80\x8f\xd8\x9c", /* these turn the direction of what follows */
         "\\xe2\\x80\\xae\\xe2\\x81\\xa6\\xe2\\x80\\x8f\\xd8\\x9c"},
        {"\xe2\x80\xa8\xe2\x80\xa9", "\\xe2\\x80\\xa8\\xe2\\x80\\xa9"}, /* ends of lines */
    };
    char text[64];
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        size_t bytes = logtail_escape(texts[i][0], strlen(texts[i][0]), text, sizeof text - 1);
        text[bytes] = '\0';
        assert_string_equal(text, texts[i][1]);
    }
    assert_int_equal(logtail_escape("\0", 1, text, sizeof text), 4);
    assert_int_equal(logtail_escape("abcdefgh", 8, text, 6), 3); /* room for one more \xNN at any time */
}

static void a_silenced_one_prints_nothing_more(void **state)
{
    put("bank.0", "1.001 one\n", 0);
    begin((struct logtail_options){.never_blocks = true});
    assert_string_equal(next(), "bank  | one\n");
    assert_int_equal(write(out_fd, "stderr\n", 7), 7); /* "2>&1" into a file: both go on behind each other */
    put("bank.0", "1.002 three\n", 0);
    assert_string_equal(next(), "stderr\nbank  | three\n");
    logtail_silence(tail);
    put("bank.0", "1.002 two\n", 0);
    logtail_say(tail, "x", 1);
    assert_string_equal(next(), "");
}

static void it_is_over_when_the_directory_is_removed(void **state)
{
    char path[128];
    begin((struct logtail_options){0});
    assert_false(logtail_is_over(tail));
    (void)snprintf(path, sizeof path, "%s/logs", run_dir);
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(mkdir(path, 0700), 0); /* of the next start */
    assert_true(logtail_is_over(tail));
}

static void only_terminals_that_may_have_colours(void **state)
{
    int terminal_fd = posix_openpt(O_RDWR | O_NOCTTY), pipe_ends[2];
    assert_true(terminal_fd >= 0);
    assert_int_equal(pipe(pipe_ends), 0);
    assert_int_equal(setenv("TERM", "xterm", 1), 0);
    assert_int_equal(unsetenv("NO_COLOR"), 0);
    assert_true(logtail_may_color(terminal_fd));
    assert_false(logtail_may_color(pipe_ends[1]));
    assert_int_equal(setenv("NO_COLOR", "", 1), 0);
    assert_true(logtail_may_color(terminal_fd)); /* no-color.org: when it is not empty */
    assert_int_equal(setenv("NO_COLOR", "1", 1), 0);
    assert_false(logtail_may_color(terminal_fd));
    assert_int_equal(unsetenv("NO_COLOR"), 0);
    assert_int_equal(setenv("TERM", "dumb", 1), 0);
    assert_false(logtail_may_color(terminal_fd));
    (void)close(terminal_fd);
    (void)close(pipe_ends[0]);
    (void)close(pipe_ends[1]);
}

static void what_is_no_stored_line_is_not_shown(void **state)
{
    put("bank.0", "no stamp\n1.00 short\n1.001?mark\n12345678901234.000 far\n\n1.002 good\n", 0);
    begin((struct logtail_options){0});
    assert_string_equal(next(), "bank  | good\n");
}

static void no_directory_is_an_error_that_names_it(void **state)
{
    const struct logtail_options options = {.out_fd = STDOUT_FILENO};
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
        WITH_FILES(the_mark_of_pid_1_is_nobody_elses),
        WITH_FILES(times_colours_and_since_are_as_asked),
        WITH_FILES(json_is_one_object_a_line),
        WITH_FILES(an_emptied_file_is_read_from_its_start),
        WITH_FILES(a_place_in_the_middle_of_a_line_is_no_start_of_one),
        WITH_FILES(an_output_that_takes_nothing_is_not_waited_for),
        WITH_FILES(what_is_there_already_can_be_left_out),
        cmocka_unit_test(what_is_not_printable_is_shown_not_obeyed),
        WITH_FILES(a_silenced_one_prints_nothing_more),
        WITH_FILES(it_is_over_when_the_directory_is_removed),
        cmocka_unit_test(only_terminals_that_may_have_colours),
        WITH_FILES(what_is_no_stored_line_is_not_shown),
        WITH_FILES(no_directory_is_an_error_that_names_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
