/* test_http_static.c - files by exact name, and what is not loaded cannot be named. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "apps/zoobar/static/media.h"

static char folder[] = "/tmp/test_http_static.XXXXXX";
static struct media media;

static const char *path_of(const char *name)
{
    static char path[512];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void put(const char *name, const char *text, off_t bytes)
{
    int fd = open(path_of(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    if (bytes)
        assert_int_equal(ftruncate(fd, bytes), 0);
    assert_int_equal(close(fd), 0);
}

static int make_folder(void **state)
{
    if (!mkdtemp(folder))
        return -1;
    put("b.css", "body{}", 0);
    put("a.png", "png", 0);
    put("empty.txt", "", 0);
    return mkdir(path_of("inner"), 0755) || (put("inner/secret.txt", "s", 0), 0);
}

static int remove_folder(void **state)
{
    static const char *const names[] = {"b.css", "a.png", "empty.txt", "inner/secret.txt"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        (void)unlink(path_of(names[i]));
    (void)rmdir(path_of("inner"));
    return rmdir(folder);
}

static void test_load(void **state)
{
    struct err e = {0};
    assert_int_equal(media_load(folder, &media, &e), 0);
    assert_int_equal(media.count, 3);
    assert_int_equal(media.bytes, 9);
    const struct media_file *file = media_find(&media, "b.css");
    assert_non_null(file);
    assert_int_equal(file->bytes, 6);
    assert_memory_equal(file->data, "body{}", 6);
    assert_string_equal(file->type, "text/css; charset=utf-8");
    assert_int_equal(media_find(&media, "empty.txt")->bytes, 0);
    /* W05: nothing but exact names */
    static const char *const others[] = {
        "",      ".",      "..",     "B.css",      "b.css/", "b.cs",        "../b.css", "./b.css", "inner/secret.txt",
        "inner", "/b.css", "b.css ", "secret.txt", "%2e%2e", "/etc/passwd", "a.png\n",  "b.cssx"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        assert_null(media_find(&media, others[i]));
    media_free(&media);
    assert_null(media_find(&media, "b.css"));
}

static void test_refusals(void **state)
{
    struct err e = {0};
    assert_int_equal(symlink("/etc/passwd", path_of("link.txt")), 0);
    assert_int_equal(media_load(folder, &media, &e), -ELOOP);
    assert_non_null(strstr(e.text, "link.txt"));
    assert_int_equal(unlink(path_of("link.txt")), 0);

    assert_int_equal(mkfifo(path_of("pipe"), 0600), 0);
    assert_int_equal(media_load(folder, &media, &e), -EINVAL);
    assert_int_equal(unlink(path_of("pipe")), 0);

    put("huge.png", "x", MEDIA_FILE_BYTES_MAX + 1);
    assert_int_equal(media_load(folder, &media, &e), -EFBIG);
    assert_non_null(strstr(e.text, "huge.png"));
    assert_int_equal(unlink(path_of("huge.png")), 0);

    char name[32];
    for (int i = 0; i < 18; i++) {
        (void)snprintf(name, sizeof name, "part%d.png", i);
        put(name, "x", MEDIA_FILE_BYTES_MAX);
    }
    assert_int_equal(media_load(folder, &media, &e), -EFBIG);
    for (int i = 0; i < 18; i++) {
        (void)snprintf(name, sizeof name, "part%d.png", i);
        assert_int_equal(unlink(path_of(name)), 0);
    }

    assert_int_equal(media_load(path_of("missing"), &media, &e), -ENOENT);
    assert_int_equal(media_load(path_of("b.css"), &media, &e), -ENOTDIR);
    assert_int_equal(media.count, 0);
}

static void test_types(void **state)
{
    assert_string_equal(media_type("x.js"), "text/javascript; charset=utf-8");
    assert_string_equal(media_type("favicon.ico"), "image/vnd.microsoft.icon");
    assert_string_equal(media_type("a.css.png"), "image/png");
    assert_string_equal(media_type("a.php"), "application/octet-stream");
    assert_string_equal(media_type("css"), "application/octet-stream");
    assert_string_equal(media_type(""), "application/octet-stream");
}

static void test_tags(void **state)
{
    char a[MEDIA_ETAG_BYTES], b[MEDIA_ETAG_BYTES];
    media_etag("a", 1, a);
    media_etag("b", 1, b);
    assert_int_equal(strlen(a), MEDIA_ETAG_BYTES - 1);
    assert_string_not_equal(a, b);
    assert_string_equal(a, "\"af63dc4c8601ec8c\"");
    char list[128];
    assert_true(media_tag_matches(a, a));
    assert_true(media_tag_matches("*", a));
    assert_false(media_tag_matches("", a));
    assert_false(media_tag_matches(b, a));
    (void)snprintf(list, sizeof list, "%s, W/%s", b, a);
    assert_true(media_tag_matches(list, a));
    (void)snprintf(list, sizeof list, "W/%s", a);
    assert_true(media_tag_matches(list, a));
    (void)snprintf(list, sizeof list, "x%s", a);
    assert_false(media_tag_matches(list, a));
    assert_false(media_tag_matches("\"af63", a));
    assert_false(media_tag_matches("\"", a));
    assert_false(media_tag_matches("W/", a));
    assert_false(media_tag_matches(", ,", a));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_load),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_types),
        cmocka_unit_test(test_tags),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
