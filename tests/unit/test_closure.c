/*
 * test_closure.c - the libraries of a program, by the rules of ld.so(8), over a file system that is a table.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <errno.h>

#include "hostd/closure.h"
#include "hostd/elf.h"
#include "tests/unit/elf_fixture.h"

#if defined(__x86_64__)
#define TRIPLET "x86_64-linux-gnu"
#else
#define TRIPLET "aarch64-linux-gnu"
#endif
#define LIB "/lib/" TRIPLET "/"

struct place {
    const char *path;
    struct elf_fixture elf;
};

static const struct place *places;
static int open_count;

static int table_map(void *context, const char *path, const void **ret_image, size_t *ret_bytes)
{
    for (const struct place *place = places; place->path; place++) {
        if (strcmp(place->path, path) != 0)
            continue;
        char *image = malloc(ELF_FIXTURE_BYTES), *exact;
        size_t bytes = elf_make(image, &place->elf);
        exact = malloc(bytes); /* of that size, so that the sanitizer sees every byte behind it */
        memcpy(exact, image, bytes);
        free(image);
        *ret_image = exact;
        *ret_bytes = bytes;
        open_count++;
        return 0;
    }
    return -ENOENT;
}

static void table_unmap(void *context, const void *image, size_t bytes)
{
    open_count--;
    free((void *)(uintptr_t)image);
}

static const struct closure_io io = {.map = table_map, .unmap = table_unmap};
static struct closure closure;

static void begin(const struct place *table, const char *library_path)
{
    places = table;
    closure_begin(&closure, &io, library_path, NULL, 0);
}

/* The paths of the closure, joined by spaces; the interpreter in brackets. */
static const char *found(void)
{
    static char text[8192];
    size_t used = 0;
    text[0] = '\0';
    for (uint32_t i = 0; i < closure.count; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, closure.objects[i].is_interpreter ? "%s[%s]" : "%s%s",
                                 i ? " " : "", closure.objects[i].path);
    assert_int_equal(open_count, 0); /* everything was given back */
    return text;
}

static void add(const char *path)
{
    struct err e = {0};
    if (closure_add(&closure, path, true, false, &e) < 0)
        fail_msg("%s", e.text);
}

static void breadth_first_in_default_directories(void **state)
{
    static const struct place table[] = {
        {"/usr/bin/a", {.needed = {"libb.so", "libc.so"}, .interpreter = "/lib64/ld.so"}},
        {"/lib64/ld.so", {.needed = {NULL}}},
        {LIB "libb.so", {.needed = {"libd.so", "libc.so"}}},
        {"/usr/lib/" TRIPLET "/libc.so", {.needed = {"libb.so"}}}, /* a circle */
        {"/usr/lib/libc.so", {.needed = {"never.so"}}},            /* a later directory */
        {"/lib/libd.so", {.needed = {"libc.so"}}},
        {NULL, {.needed = {NULL}}}};
    begin(table, NULL);
    add("/usr/bin/a");
    assert_string_equal(found(), "[/lib64/ld.so] " LIB "libb.so /usr/lib/" TRIPLET "/libc.so /lib/libd.so");
    assert_false(closure.needs_cache);
    assert_false(closure.needs_origin);
}

static void a_second_file_adds_what_is_new(void **state)
{
    static const struct place table[] = {{"/usr/bin/a", {.needed = {"libb.so"}}},
                                         {"/usr/lib/mod.so", {.needed = {"libb.so", "libc.so"}}},
                                         {LIB "libb.so", {.needed = {NULL}}},
                                         {LIB "libc.so", {.needed = {NULL}}},
                                         {NULL, {.needed = {NULL}}}};
    struct err e = {0};
    begin(table, NULL);
    add("/usr/bin/a");
    assert_int_equal(closure_add(&closure, "/usr/lib/mod.so", false, false, &e), 0);
    assert_string_equal(found(), LIB "libb.so " LIB "libc.so");
}

static void runpath_is_the_files_own(void **state)
{
    static const struct place table[] = {
        {"/opt/x/bin/a", {.needed = {"libb.so"}, .runpath = "/nowhere:$ORIGIN/../lib"}},
        {"/opt/x/lib/libb.so", {.needed = {"libc.so"}}}, /* has no RUNPATH: the program's is not its */
        {"/opt/x/lib/libc.so", {.needed = {NULL}}},
        {LIB "libc.so", {.needed = {NULL}}},
        {NULL, {.needed = {NULL}}}};
    begin(table, NULL);
    add("/opt/x/bin/a");
    assert_string_equal(found(), "/opt/x/lib/libb.so " LIB "libc.so");
    assert_true(closure.needs_origin);
    assert_string_equal(closure.program_directory, "/opt/x/bin");
}

static void rpath_is_inherited_and_comes_first(void **state)
{
    static const struct place table[] = {{"/opt/a", {.needed = {"libb.so"}, .rpath = "/opt/one:/opt/two"}},
                                         {"/opt/two/libb.so", {.needed = {"libc.so"}, .rpath = "${ORIGIN}"}},
                                         {"/opt/two/libc.so", {.needed = {"libd.so"}}},
                                         {"/opt/one/libd.so", {.needed = {NULL}}},
                                         {LIB "libb.so", {.needed = {NULL}}},
                                         {"/own/libb.so", {.needed = {NULL}}},
                                         {NULL, {.needed = {NULL}}}};
    begin(table, "/own");
    add("/opt/a");
    assert_string_equal(found(), "/opt/two/libb.so /opt/two/libc.so /opt/one/libd.so");
    assert_false(closure.needs_origin); /* that of a library is known by its path */
}

static void runpath_voids_rpath_and_comes_behind_the_environment(void **state)
{
    static const struct place table[] = {
        {"/opt/a", {.needed = {"libb.so", "libc.so"}, .rpath = "/opt/one", .runpath = "/opt/two"}},
        {"/opt/one/libb.so", {.needed = {NULL}}},
        {"/opt/two/libb.so", {.needed = {NULL}}},
        {"/own/libc.so", {.needed = {NULL}}},
        {"/opt/two/libc.so", {.needed = {NULL}}},
        {NULL, {.needed = {NULL}}}};
    begin(table, "/empty::/own");
    add("/opt/a");
    assert_string_equal(found(), "/opt/two/libb.so /own/libc.so");
}

static void tokens(void **state)
{
    static const struct place table[] = {
        {"/opt/a", {.needed = {"libb.so"}, .runpath = "$PLATFORM/x:relative:/opt/$LIB:$ORIGINAL"}},
        {"/opt/lib/" TRIPLET "/libb.so", {.needed = {NULL}}},
        {NULL, {.needed = {NULL}}}};
    begin(table, NULL);
    add("/opt/a");
    assert_string_equal(found(), "/opt/lib/" TRIPLET "/libb.so");
}

static void what_is_for_another_machine_is_passed_over(void **state)
{
    static const struct place table[] = {{"/opt/a", {.needed = {"libb.so"}}},
                                         {LIB "libb.so", {.needed = {NULL}, .machine = EM_386}},
                                         {"/lib/libb.so", {.needed = {NULL}}},
                                         {NULL, {.needed = {NULL}}}};
    struct err e = {0};
    begin(table, NULL);
    add("/opt/a");
    assert_string_equal(found(), "/lib/libb.so");
    assert_int_equal(closure_add(&closure, LIB "libb.so", false, false, &e), -ENOEXEC);
}

static void names_with_a_slash(void **state)
{
    static const struct place table[] = {{"/opt/a", {.needed = {"/opt/lib/../x//./libb.so"}}},
                                         {"/opt/b", {.needed = {"./libb.so"}}},
                                         {"/opt/x/libb.so", {.needed = {NULL}}},
                                         {NULL, {.needed = {NULL}}}};
    struct err e = {0};
    begin(table, NULL);
    add("/opt/a");
    assert_string_equal(found(), "/opt/x/libb.so");
    begin(table, NULL);
    assert_int_equal(closure_add(&closure, "/opt/b", true, false, &e), -ENOENT);
}

static void what_is_missing_is_named_or_passed_over(void **state)
{
    static const struct place table[] = {{"/opt/a", {.needed = {"libb.so"}}},
                                         {"/opt/i", {.needed = {NULL}, .interpreter = "/lib64/none"}},
                                         {LIB "libb.so", {.needed = {"libgone.so"}}},
                                         {NULL, {.needed = {NULL}}}};
    struct err e = {0};
    begin(table, NULL);
    assert_int_equal(closure_add(&closure, "/opt/a", true, false, &e), -ENOENT);
    assert_string_equal(e.text, "'" LIB "libb.so' needs the library 'libgone.so', which is not to be found");
    begin(table, NULL);
    assert_int_equal(closure_add(&closure, "/opt/a", true, true, &e), 0);
    assert_string_equal(found(), LIB "libb.so");
    begin(table, NULL);
    assert_int_equal(closure_add(&closure, "/opt/i", true, false, &e), -ENOENT);
    assert_string_equal(e.text, "its interpreter '/lib64/none' is not to be found");
    assert_int_equal(closure_add(&closure, "/opt/none", false, false, &e), -ENOENT);
}

static void no_default_directories(void **state)
{
    static const struct place table[] = {{"/opt/a", {.needed = {"libb.so"}, .flags_1 = DF_1_NODEFLIB}},
                                         {LIB "libb.so", {.needed = {NULL}}},
                                         {NULL, {.needed = {NULL}}}};
    struct err e = {0};
    begin(table, NULL);
    assert_int_equal(closure_add(&closure, "/opt/a", true, false, &e), -ENOENT);
}

static void the_cache_goes_before_the_directories(void **state)
{
    static const struct place table[] = {{"/opt/a", {.needed = {"libb.so", "libc.so", "libd.so"}}},
                                         {"/usr/local/lib/libb.so", {.needed = {NULL}}},
                                         {LIB "libb.so", {.needed = {NULL}}},
                                         {"/usr/lib/libc.so", {.needed = {NULL}}},
                                         {LIB "libc.so", {.needed = {NULL}}},
                                         {LIB "libd.so", {.needed = {NULL}}},
                                         {NULL, {.needed = {NULL}}}};
    static const struct cache_fixture entries[] = {
        {"libb.so", "/other/libb.so", .is_of_another_machine = true},
        {"libb.so", "/newer/libb.so", .hwcap = 1},
        {"libb.so", "/usr/local/lib/libb.so"},
        {"libc.so", "/usr/lib/libc.so"},
        {"libd.so", "/gone/libd.so"},
    };
    char cache[1024];
    size_t bytes = cache_make(cache, entries, 5);
    begin(table, NULL);
    closure_begin(&closure, &io, NULL, cache, bytes);
    add("/opt/a");
    assert_string_equal(found(), "/usr/local/lib/libb.so /usr/lib/libc.so " LIB "libd.so");
    assert_true(closure.needs_cache);
    static const struct place plain[] = {
        {"/opt/a", {.needed = {"libc.so"}}}, {"/usr/lib/libc.so", {.needed = {NULL}}}, {NULL, {.needed = {NULL}}}};
    begin(plain, NULL);
    closure_begin(&closure, &io, NULL, cache, bytes);
    add("/opt/a");
    assert_false(closure.needs_cache);
}

/* Cut off anywhere, and with any byte changed: found or not, never read outside (the sanitizer watches). */
static void a_broken_cache_is_no_cache(void **state)
{
    static const struct cache_fixture entries[] = {{"liba.so", "/a/liba.so"}, {"libb.so", "/b/libb.so"}};
    char cache[512];
    size_t bytes = cache_make(cache, entries, 2);
    assert_string_equal(closure_cache_find(cache, bytes, "libb.so"), "/b/libb.so");
    assert_null(closure_cache_find(cache, bytes, "libc.so"));
    assert_null(closure_cache_find(NULL, 0, "libb.so"));
    for (size_t cut = 0; cut < bytes; cut++) {
        char *copy = malloc(cut + 1);
        memcpy(copy, cache, cut);
        char *exact = realloc(copy, cut ? cut : 1);
        const char *path = closure_cache_find(exact, cut, "libb.so");
        assert_true(!path || strlen(path) <= cut);
        free(exact);
    }
    for (size_t at = 0; at < bytes; at++)
        for (int value = 0; value < 256; value += 85) {
            char *copy = malloc(bytes);
            memcpy(copy, cache, bytes);
            copy[at] = (char)value;
            const char *path = closure_cache_find(copy, bytes, "libb.so");
            assert_true(!path || strlen(path) < bytes);
            free(copy);
        }
}

static void a_broken_file_is_refused_or_read(void **state)
{
    static const struct elf_fixture fixture = {
        .needed = {"libb.so", "libc.so"}, .interpreter = "/lib64/ld.so", .rpath = "/a", .runpath = "/b"};
    char image[ELF_FIXTURE_BYTES];
    size_t bytes = elf_make(image, &fixture);
    struct elf elf;
    struct err e;
    assert_int_equal(elf_read(image, bytes, &elf, &e), 0);
    assert_int_equal(elf.needed_count, 2);
    assert_string_equal(elf.needed[1], "libc.so");
    assert_string_equal(elf.interpreter, "/lib64/ld.so");
    assert_string_equal(elf.rpath, "/a");
    assert_string_equal(elf.runpath, "/b");
    for (size_t cut = 0; cut < bytes; cut++) {
        char *exact = malloc(cut ? cut : 1);
        memcpy(exact, image, cut);
        assert_true(elf_read(exact, cut, &elf, &e) < 0);
        free(exact);
    }
    char *copy = malloc(bytes);
    for (size_t at = 0; at < bytes; at++)
        for (int value = 0; value < 256; value += 51) {
            memcpy(copy, image, bytes);
            copy[at] = (char)value;
            if (elf_read(copy, bytes, &elf, &e) == 0)
                for (uint32_t i = 0; i < elf.needed_count; i++)
                    assert_true(strlen(elf.needed[i]) < bytes);
        }
    free(copy);
}

/* A library that needs the next one, for ever. */
static int endless_map(void *context, const char *path, const void **ret_image, size_t *ret_bytes)
{
    unsigned number = 0;
    char next[32];
    if (strcmp(path, "/opt/a") != 0 && sscanf(path, LIB "lib%u.so", &number) != 1)
        return -ENOENT;
    (void)snprintf(next, sizeof next, "lib%u.so", number + 1);
    const struct elf_fixture fixture = {.needed = {next}};
    char *image = malloc(ELF_FIXTURE_BYTES);
    *ret_bytes = elf_make(image, &fixture);
    *ret_image = image;
    open_count++;
    return 0;
}

static void there_is_an_end(void **state)
{
    static const struct closure_io endless = {.map = endless_map, .unmap = table_unmap};
    struct err e = {0};
    closure_begin(&closure, &endless, NULL, NULL, 0);
    assert_int_equal(closure_add(&closure, "/opt/a", true, true, &e), -E2BIG);
    assert_int_equal(closure.count, CLOSURE_OBJECTS_MAX);
    assert_int_equal(open_count, 0);
}

/* I1: whatever files say, the paths are clean; too long ones are not found. */
static void paths_are_clean_and_bounded(void **state)
{
    static char long_path[400] = "/";
    memset(long_path + 1, 'x', sizeof long_path - 2);
    const struct place table[] = {{"/opt/a", {.needed = {"libb.so"}, .runpath = "/../..//opt/./b/../c/"}},
                                  {"/opt/c/libb.so", {.needed = {NULL}, .runpath = long_path}},
                                  {"/opt/d", {.needed = {"a\nb"}, .runpath = "/opt"}},
                                  {"/opt/a\nb", {.needed = {NULL}}},
                                  {NULL, {.needed = {NULL}}}};
    struct err e = {0};
    begin(table, NULL);
    add("/opt/a");
    assert_string_equal(found(), "/opt/c/libb.so");
    begin(table, NULL);
    assert_int_equal(closure_add(&closure, "/opt/d", true, false, &e), -ENOENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(breadth_first_in_default_directories),
        cmocka_unit_test(a_second_file_adds_what_is_new),
        cmocka_unit_test(runpath_is_the_files_own),
        cmocka_unit_test(rpath_is_inherited_and_comes_first),
        cmocka_unit_test(runpath_voids_rpath_and_comes_behind_the_environment),
        cmocka_unit_test(tokens),
        cmocka_unit_test(what_is_for_another_machine_is_passed_over),
        cmocka_unit_test(names_with_a_slash),
        cmocka_unit_test(what_is_missing_is_named_or_passed_over),
        cmocka_unit_test(no_default_directories),
        cmocka_unit_test(the_cache_goes_before_the_directories),
        cmocka_unit_test(a_broken_cache_is_no_cache),
        cmocka_unit_test(a_broken_file_is_refused_or_read),
        cmocka_unit_test(there_is_an_end),
        cmocka_unit_test(paths_are_clean_and_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
