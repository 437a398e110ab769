/* test_logs.c - PID 1's log files: bounded, whole lines, the last ones always there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "initsvc/init.h"
#include "rpc/base/clock.h"

static void open_two(struct logs *logs, uint64_t bytes_max)
{
    int fds[2];
    for (int i = 0; i < 2; i++) {
        char path[] = "/tmp/hostd-logs-XXXXXX";
        fds[i] = mkostemp(path, O_APPEND);
        assert_true(fds[i] >= 0);
        assert_int_equal(unlink(path), 0);
    }
    logs_open(logs, fds[0], fds[1], bytes_max);
}

static void close_two(struct logs *logs)
{
    (void)close(logs->fd[0]);
    (void)close(logs->fd[1]);
}

static size_t content(int fd, char *text, size_t room)
{
    ssize_t got = pread(fd, text, room - 1, 0);
    assert_true(got >= 0);
    text[got] = '\0';
    return (size_t)got;
}

static void lines_are_stamped_and_whole(void **state)
{
    (void)state;
    struct logs logs;
    char text[1024];
    open_two(&logs, 1 << 16);
    logs_write(&logs, "one\ntw", 6);
    logs_write(&logs, "o\nthree", 7);
    (void)content(logs.fd[0], text, sizeof text);
    long long seconds;
    char first[16], second[16];
    assert_int_equal(sscanf(text, "%lld.%*3d %15s\n%*d.%*3d %15s\n", &seconds, first, second), 3);
    assert_string_equal(first, "one");
    assert_string_equal(second, "two");
    assert_null(strstr(text, "three"));
    logs_flush(&logs);
    (void)content(logs.fd[0], text, sizeof text);
    assert_non_null(strstr(text, " three\n"));
    close_two(&logs);
}

static void a_long_line_is_cut_not_grown(void **state)
{
    (void)state;
    struct logs logs;
    static char text[64 << 10], longline[10000];
    open_two(&logs, 1 << 20);
    memset(longline, 'x', sizeof longline);
    logs_write(&logs, longline, sizeof longline);
    logs_write(&logs, "\n", 1);
    size_t bytes = content(logs.fd[0], text, sizeof text);
    size_t newlines = 0, marks = 0;
    for (size_t i = 0; i < bytes; i++) {
        newlines += text[i] == '\n';
        marks += text[i] == 'x';
    }
    assert_int_equal(marks, sizeof longline);
    assert_int_equal(newlines, 3); /* 4096 + 4096 + 1808 */
    close_two(&logs);
}

static void files_stay_bounded_and_keep_the_last_lines(void **state)
{
    (void)state;
    struct logs logs;
    static char text[64 << 10];
    const uint64_t bytes_max = 4096;
    open_two(&logs, bytes_max);
    for (int i = 0; i < 5000; i++) {
        char line[32];
        int bytes = snprintf(line, sizeof line, "line %d\n", i);
        logs_write(&logs, line, (size_t)bytes);
        for (int k = 0; k < 2; k++) {
            struct stat status;
            assert_int_equal(fstat(logs.fd[k], &status), 0);
            assert_true((uint64_t)status.st_size <= bytes_max);
        }
    }
    (void)content(logs.fd[logs.current], text, sizeof text);
    assert_non_null(strstr(text, " line 4999\n"));
    /* Nothing between the oldest line still there and the last one is missing. */
    int seen = 0;
    for (int k = 0; k < 2; k++) {
        (void)content(logs.fd[k], text, sizeof text);
        for (char *at = text; (at = strstr(at, " line ")); at++)
            seen++;
    }
    assert_true(seen > (int)(bytes_max / 32));
    close_two(&logs);
}

struct counts {
    size_t kept, told;
    unsigned dropped; /* the sum of what was told */
};

static struct counts counted(const struct logs *logs)
{
    static char text[1 << 20];
    struct counts counts = {0};
    (void)content(logs->fd[0], text, sizeof text);
    for (char *line = text; *line; line = strchr(line, '\n') + 1) {
        char mark = 0;
        unsigned number = 0;
        assert_int_equal(sscanf(line, "%*d.%*3d%c%u", &mark, &number), 2);
        if (mark == '!') {
            counts.told++;
            counts.dropped += number;
        } else {
            assert_int_equal(mark, ' ');
            counts.kept++;
        }
    }
    return counts;
}

static void flood(struct logs *logs)
{
    for (int i = 0; i < (int)LOG_LINES_BURST * 3; i++)
        logs_write(logs, "0123456789.000!forged\n", 22);
}

static void a_flood_is_capped_and_said(void **state)
{
    (void)state;
    struct logs logs;
    open_two(&logs, 1 << 20);
    flood(&logs);
    logs_flush(&logs);
    struct counts counts = counted(&logs);
    assert_true(counts.kept >= LOG_LINES_BURST && counts.kept < LOG_LINES_BURST * 2);
    assert_int_equal(counts.kept + counts.dropped, LOG_LINES_BURST * 3); /* none is missing without a word */
    assert_true(counts.told >= 1 && counts.told < 20);
    close_two(&logs);
}

/* What was dropped is told in time though no line follows, and never twice within the pause. */
static void a_flood_is_said_when_silence_follows(void **state)
{
    (void)state;
    struct logs logs;
    open_two(&logs, 1 << 20);
    assert_int_equal(logs_next_ms(&logs), 0);
    logs.told_ms = clock_ms(); /* so that the flood ends within the pause */
    flood(&logs);
    logs.told_ms = clock_ms();
    uint64_t at_ms = logs_next_ms(&logs);
    assert_in_range(at_ms, clock_ms() + 1, clock_ms() + 1000);
    struct counts before = counted(&logs);
    assert_true(before.kept + before.dropped < LOG_LINES_BURST * 3);
    logs_run(&logs, at_ms - 1);
    assert_int_equal(counted(&logs).told, before.told);
    logs_run(&logs, at_ms);
    struct counts after = counted(&logs);
    assert_int_equal(after.kept + after.dropped, LOG_LINES_BURST * 3);
    assert_int_equal(after.told, before.told + 1);
    assert_int_equal(logs_next_ms(&logs), 0);
    close_two(&logs);
}

/* Of a service that is started again: its newest lines stay, whichever file they are in. */
static void the_next_run_goes_on_in_the_newer_file(void **state)
{
    static char text[8192];
    for (int round = 0; round < 2; round++) {
        struct logs logs, again;
        open_two(&logs, 1000);
        for (int i = 0; i < (round == 0 ? 40 : 60); i++) /* fills the first, and in the second round both */
            logs_write(&logs, "a line of thirty bytes or more\n", 31);
        uint32_t newer = logs.current;
        assert_int_equal(newer, round == 0 ? 1 : 0);
        (void)usleep(10000); /* the clock of the files is a coarse one */
        logs_write(&logs, "last\n", 5);
        logs_open(&again, logs.fd[0], logs.fd[1], 1000);
        assert_int_equal(again.current, newer);
        assert_int_equal(again.bytes[newer], logs.bytes[newer]);
        logs_write(&again, "next\n", 5);
        (void)content(logs.fd[newer], text, sizeof text);
        assert_non_null(strstr(text, " last\n"));
        assert_non_null(strstr(text, " next\n"));
        close_two(&logs);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_are_stamped_and_whole),
        cmocka_unit_test(a_long_line_is_cut_not_grown),
        cmocka_unit_test(files_stay_bounded_and_keep_the_last_lines),
        cmocka_unit_test(a_flood_is_capped_and_said),
        cmocka_unit_test(a_flood_is_said_when_silence_follows),
        cmocka_unit_test(the_next_run_goes_on_in_the_newer_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
