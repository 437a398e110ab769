/* test_events.c - the event files: bounded, continued after a crash, nobody's noise drives out what happened to others.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>
#include <jansson.h>

#include "hostd/app.h"
#include "rpc/base/own.h"

#define SERVICES 3u

static struct manifest_service manifests[SERVICES] = {{.name = "front"}, {.name = "bank"}, {.name = "echo"}};
static struct plan_service services[SERVICES] = {
    {.manifest = &manifests[0]}, {.manifest = &manifests[1]}, {.manifest = &manifests[2]}};
static struct instance instances[SERVICES] = {{.generation = 1}, {.generation = 2}, {.generation = 3}};
static struct plan plan = {.services = services, .service_count = SERVICES};
static char list[] = "/srv/app.toml";
static struct app app = {.plan = &plan, .instances = instances, .list = list, .is_quiet = true};
static char run_dir[64];
static int run_fd;

static int set_up(void **state)
{
    (void)snprintf(run_dir, sizeof run_dir, "/tmp/test-events.XXXXXX");
    if (!mkdtemp(run_dir))
        return -1;
    run_fd = open(run_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct err e = {0};
    return events_open(run_fd, SERVICES, &app.events, &e);
}

static int tear_down(void **state)
{
    events_close(app.events);
    (void)unlinkat(run_fd, "events.0", 0);
    (void)unlinkat(run_fd, "events.1", 0);
    fd_close(&run_fd);
    return rmdir(run_dir);
}

static off_t size_of(const char *name)
{
    struct stat status;
    assert_int_equal(fstatat(run_fd, name, &status, 0), 0);
    return status.st_size;
}

/* Calls take for each finished line of a file; every one must be an object. */
static void each_line(const char *name, void (*take)(json_t *object))
{
    char path[128];
    static char line[8192];
    (void)snprintf(path, sizeof path, "%s/%s", run_dir, name);
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    while (fgets(line, sizeof line, file)) {
        json_t *object = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
        assert_non_null(object);
        take(object);
        json_decref(object);
    }
    (void)fclose(file);
}

static uint32_t denied_count, left_out_count, other_count;

static void count(json_t *object)
{
    const char *type = json_string_value(json_object_get(object, "type"));
    const char *text = json_string_value(json_object_get(object, "text"));
    if (strcmp(type, "denied") == 0)
        denied_count++;
    else if (strstr(text, "left out"))
        left_out_count += (uint32_t)json_integer_value(json_object_get(object, "count"));
    else
        other_count++;
    for (; *text; text++)
        assert_true((unsigned char)*text >= 0x20 && *text != 0x7f);
}

static void tell_denied(uint32_t service)
{
    const struct news denied = {.type = NEWS_DENIED,
                                .service = service,
                                .caller = 0,
                                .callee = service,
                                .method = "A.B",
                                .count = 1,
                                .line = 7};
    events_tell(&app, &denied, "denied");
}

static void an_event_has_its_fields(void **state)
{
    char path[128], line[2048];
    struct news news = {
        .type = NEWS_DENIED, .service = 1, .caller = NEWS_OPERATOR, .callee = 1, .count = 4, .line = 12};
    news.method = "Bank.Open";
    events_tell(&app, &news, "text with \"quotes\"\nhostd: and \x1b[2J more");
    (void)snprintf(path, sizeof path, "%s/events.0", run_dir);
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    assert_non_null(fgets(line, sizeof line, file));
    (void)fclose(file);
    json_t *object = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
    const char *type, *service, *caller, *callee, *method, *name, *text;
    json_int_t at_ms, generation, times, number;
    assert_int_equal(json_unpack(object, "{s:I, s:s, s:s, s:I, s:s, s:s, s:s, s:I, s:s, s:I, s:s !}", "time_ms", &at_ms,
                                 "type", &type, "service", &service, "generation", &generation, "caller", &caller,
                                 "callee", &callee, "method", &method, "count", &times, "file", &name, "line", &number,
                                 "text", &text),
                     0);
    assert_string_equal(type, "denied");
    assert_string_equal(caller, "operator");
    assert_string_equal(callee, "bank");
    assert_string_equal(name, list);
    assert_int_equal(generation, 2);
    assert_int_equal(times, 4);
    assert_int_equal(number, 12);
    assert_string_equal(text, "text with \"quotes\"\\x0ahostd: and \\x1b[2J more");
    json_decref(object);
}

static void files_have_a_bound_and_the_newest_stays(void **state)
{
    const struct news other = news_of(NEWS_OTHER, 0);
    for (uint32_t i = 0; i < 12000; i++)
        events_tell(&app, &other, "event number %u of a long, long night in which very much happened", i);
    assert_true(size_of("events.0") <= EVENTS_BYTES_MAX);
    assert_true(size_of("events.1") <= EVENTS_BYTES_MAX);
    other_count = 0;
    each_line("events.0", count);
    each_line("events.1", count);
    assert_in_range(other_count, 3000, 11999);
    char path[128], line[2048] = "";
    bool has_newest = false;
    for (int i = 0; i < 2; i++) {
        (void)snprintf(path, sizeof path, "%s/events.%d", run_dir, i);
        FILE *file = fopen(path, "re");
        while (file && fgets(line, sizeof line, file))
            has_newest |= strstr(line, "number 11999 of") != NULL;
        (void)fclose(file);
    }
    assert_true(has_newest);
}

static void the_next_hostd_goes_on(void **state)
{
    struct err e = {0};
    const struct news other = news_of(NEWS_OTHER, 0);
    events_tell(&app, &other, "of the first");
    events_close(app.events);
    FD_AUTO int fd = openat(run_fd, "events.0", O_WRONLY | O_APPEND | O_CLOEXEC);
    assert_int_equal(write(fd, "{\"torn", 6), 6);
    assert_int_equal(events_open(run_fd, SERVICES, &app.events, &e), 0);
    events_tell(&app, &other, "of the second");
    char text[4096] = "";
    FD_AUTO int read_fd = openat(run_fd, "events.0", O_RDONLY | O_CLOEXEC);
    assert_true(read(read_fd, text, sizeof text - 1) > 0);
    assert_non_null(strstr(text, "of the first"));
    assert_non_null(strstr(text, "{\"torn\n{\"time_ms\""));
    assert_non_null(strstr(text, "of the second"));
}

static void noise_of_one_is_limited(void **state)
{
    for (uint32_t i = 0; i < 5000; i++)
        tell_denied(1);
    tell_denied(2);
    denied_count = left_out_count = 0;
    each_line("events.0", count);
    assert_in_range(denied_count, 101, 400); /* on a slow machine some drip in */
    usleep(200000);
    tell_denied(1);
    denied_count = left_out_count = 0;
    each_line("events.0", count);
    assert_int_equal(denied_count + left_out_count, 5002); /* every one was told or counted */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_event_has_its_fields, set_up, tear_down),
        cmocka_unit_test_setup_teardown(files_have_a_bound_and_the_newest_stays, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_next_hostd_goes_on, set_up, tear_down),
        cmocka_unit_test_setup_teardown(noise_of_one_is_limited, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
