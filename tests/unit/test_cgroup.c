/*
 * test_cgroup.c - limits of control groups, on directories that look like their trees.
 *
 * Where the kernel has version 1 (as on some test machines) no version 2 group has a controller, and a kernel that does
 * not count swap is not to be had: what is written, and into which file, is all that can be seen then.  What the kernel
 * makes of it is seen with real services (bats/limits).
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
#include <unistd.h>

#include <cmocka.h>

#include "hostd/cgroup.h"
#include "hostd/manifest.h"

static char root[64];

static void file(const char *path, const char *text)
{
    char full[256];
    (void)snprintf(full, sizeof full, "%s/%s", root, path);
    FILE *f = fopen(full, "w");
    assert_non_null(f);
    (void)fputs(text, f);
    (void)fclose(f);
}

static const char *holds(const char *path)
{
    static char text[256];
    char full[256];
    (void)snprintf(full, sizeof full, "%s/%s", root, path);
    FILE *f = fopen(full, "r");
    assert_non_null(f);
    text[fread(text, 1, sizeof text - 1, f)] = '\0';
    (void)fclose(f);
    return text;
}

static void directory(const char *path)
{
    char full[256];
    (void)snprintf(full, sizeof full, "%s/%s", root, path);
    assert_int_equal(mkdir(full, 0755), 0);
}

/* The files that a kernel would show in the groups of application "a", service "s". */
static int make_tree(void **state)
{
    (void)state;
    (void)snprintf(root, sizeof root, "/tmp/cgroup-XXXXXX");
    assert_non_null(mkdtemp(root));
    directory("hostd");
    directory("hostd/a");
    directory("hostd/a/s");
    file("cgroup.subtree_control", "");
    file("hostd/cgroup.subtree_control", "");
    file("hostd/a/cgroup.subtree_control", "");
    file("hostd/a/s/memory.max", "max");
    file("hostd/a/s/memory.swap.max", "");
    file("hostd/a/s/pids.max", "");
    file("hostd/a/s/cpu.max", "max 100000");
    file("hostd/a/s/memory.events", "low 0\nhigh 0\nmax 17\noom 3\noom_kill 2\noom_group_kill 0\n");
    return 0;
}

static int remove_tree(void **state)
{
    (void)state;
    char command[128];
    (void)snprintf(command, sizeof command, "rm -rf %s", root);
    return system(command);
}

static struct cgroup_trees trees(bool memory, bool pids, bool cpu)
{
    struct cgroup_trees t = {.is_v2 = true, .v2 = {memory, pids, cpu}};
    memcpy(t.unified, root, sizeof root);
    return t;
}

static const struct cgroup_limits limits = {.memory_bytes = 64u << 20, .pids = 16, .cpu_percent = 50};

static void each_limit_is_written_into_its_file(void **state)
{
    (void)state;
    struct cgroup_trees t = trees(true, true, true);
    struct err e = {0};
    assert_int_equal(cgroup_make(&t, "a", "s", &limits, &e), 0);
    assert_string_equal(holds("hostd/a/s/memory.max"), "67108864");
    assert_string_equal(holds("hostd/a/s/memory.swap.max"), "0");
    assert_string_equal(holds("hostd/a/s/pids.max"), "16");
    assert_string_equal(holds("hostd/a/s/cpu.max"), "50000 100000");
    /* All groups above pass the controllers on. */
    assert_string_equal(holds("cgroup.subtree_control"), "+memory +pids +cpu");
    assert_string_equal(holds("hostd/cgroup.subtree_control"), "+memory +pids +cpu");
    assert_string_equal(holds("hostd/a/cgroup.subtree_control"), "+memory +pids +cpu");
    assert_int_equal(cgroup_oom_kills(&t, "a", "s"), 2);
    int fd = -1;
    assert_int_equal(cgroup_open(&t, "a", "s", &fd, &e), 0);
    assert_true(fd >= 0);
    (void)close(fd);
}

static void a_controller_that_is_missing_is_a_refusal_that_names_it(void **state)
{
    (void)state;
    static const char *const names[] = {"memory", "pids", "cpu"};
    for (int i = 0; i < 3; i++) {
        struct cgroup_trees t = trees(i != 0, i != 1, i != 2);
        struct err e = {0};
        char what[64];
        assert_int_equal(cgroup_make(&t, "a", "s", &limits, &e), -EOPNOTSUPP);
        (void)snprintf(what, sizeof what, "no %s controller", names[i]);
        assert_non_null(strstr(e.text, what));
        assert_string_equal(holds("hostd/a/s/memory.max"), "max"); /* nothing half done */
    }
}

static void what_the_list_accepts_is_left_out_and_the_rest_set(void **state)
{
    (void)state;
    struct cgroup_trees t = trees(true, true, false);
    struct cgroup_limits accepting = limits;
    struct err e = {0};
    accepting.accept_missing = MISSING_CPU;
    assert_int_equal(cgroup_make(&t, "a", "s", &accepting, &e), 0);
    assert_string_equal(holds("hostd/a/s/memory.max"), "67108864");
    assert_string_equal(holds("hostd/a/s/cpu.max"), "max 100000");
    assert_string_equal(holds("cgroup.subtree_control"), "+memory +pids");
}

static void without_a_cpu_limit_no_cpu_controller_is_needed(void **state)
{
    (void)state;
    struct cgroup_trees t = trees(true, true, false);
    struct cgroup_limits without = limits;
    struct err e = {0};
    without.cpu_percent = 0;
    assert_int_equal(cgroup_make(&t, "a", "s", &without, &e), 0);
    assert_string_equal(holds("cgroup.subtree_control"), "+memory +pids");
}

static void a_limit_that_cannot_be_written_is_a_refusal(void **state)
{
    (void)state;
    struct cgroup_trees t = trees(true, true, true);
    struct err e = {0};
    char full[256];
    (void)snprintf(full, sizeof full, "%s/hostd/a/s/pids.max", root);
    assert_int_equal(unlink(full), 0);
    assert_int_equal(cgroup_make(&t, "a", "s", &limits, &e), -ENOENT);
    assert_non_null(strstr(e.text, "pids.max"));
}

static void gone(const char *path)
{
    char full[256];
    (void)snprintf(full, sizeof full, "%s/%s", root, path);
    assert_int_equal(unlink(full), 0);
}

static void swap_that_the_kernel_does_not_count_is_a_refusal_where_there_is_some(void **state)
{
    (void)state;
    struct cgroup_trees t = trees(true, true, true);
    struct cgroup_limits accepting = limits;
    struct err e = {0};
    gone("hostd/a/s/memory.swap.max");
    assert_int_equal(cgroup_make(&t, "a", "s", &limits, &e), 0);
    assert_string_equal(holds("hostd/a/s/memory.max"), "67108864");
    t.has_swap = true;
    assert_int_equal(cgroup_make(&t, "a", "s", &limits, &e), -EOPNOTSUPP);
    assert_non_null(strstr(e.text, "swap"));
    accepting.accept_missing = MISSING_MEMORY;
    assert_int_equal(cgroup_make(&t, "a", "s", &accepting, &e), 0);
}

/* ---- version 1 ---- */

static struct cgroup_trees v1_trees(void)
{
    static const char *const names[] = {[CGROUP_MEMORY] = "memory", [CGROUP_PIDS] = "pids", [CGROUP_CPU] = "cpu"};
    struct cgroup_trees t = {.has_swap = true};
    for (int i = 0; i < CGROUP_CONTROLLER_COUNT; i++) {
        char path[128];
        directory(names[i]);
        (void)snprintf(t.v1[i], sizeof t.v1[i], "%.40s/%s", root, names[i]);
        for (int depth = 0; depth < 3; depth++) {
            static const char *const below[] = {"hostd", "hostd/a", "hostd/a/s"};
            (void)snprintf(path, sizeof path, "%s/%s", names[i], below[depth]);
            directory(path);
        }
        (void)snprintf(path, sizeof path, "%s/hostd/a/s/tasks", names[i]);
        file(path, "");
    }
    file("memory/hostd/a/s/memory.limit_in_bytes", "");
    file("memory/hostd/a/s/memory.memsw.limit_in_bytes", "");
    file("memory/hostd/a/s/memory.swappiness", "1");
    file("pids/hostd/a/s/pids.max", "");
    file("cpu/hostd/a/s/cpu.cfs_quota_us", "-1");
    return t;
}

static void version_1_limits_memory_and_swap_together(void **state)
{
    (void)state;
    struct cgroup_trees t = v1_trees();
    struct err e = {0};
    assert_int_equal(cgroup_make(&t, "a", "s", &limits, &e), 0);
    assert_string_equal(holds("memory/hostd/a/s/memory.limit_in_bytes"), "67108864");
    assert_string_equal(holds("memory/hostd/a/s/memory.memsw.limit_in_bytes"), "67108864");
    assert_string_equal(holds("memory/hostd/a/s/memory.swappiness"), "1");
    assert_string_equal(holds("pids/hostd/a/s/pids.max"), "16");
    assert_string_equal(holds("cpu/hostd/a/s/cpu.cfs_quota_us"), "50000");
}

static void version_1_that_does_not_count_swap_gives_none(void **state)
{
    (void)state;
    struct cgroup_trees t = v1_trees();
    struct err e = {0};
    gone("memory/hostd/a/s/memory.memsw.limit_in_bytes");
    assert_int_equal(cgroup_make(&t, "a", "s", &limits, &e), 0);
    assert_string_equal(holds("memory/hostd/a/s/memory.limit_in_bytes"), "67108864");
    assert_string_equal(holds("memory/hostd/a/s/memory.swappiness"), "0");
    gone("memory/hostd/a/s/memory.swappiness");
    assert_int_equal(cgroup_make(&t, "a", "s", &limits, &e), -ENOENT);
    assert_non_null(strstr(e.text, "memory.swappiness"));
}

static void a_cpu_group_that_is_gone_is_no_limit_only_where_none_was_asked_for(void **state)
{
    (void)state;
    struct cgroup_trees t = v1_trees();
    struct err e = {0};
    int fds[CGROUP_CONTROLLER_COUNT];
    assert_int_equal(cgroup_open_tasks(&t, "a", "s", true, fds, &e), 0);
    for (int i = 0; i < CGROUP_CONTROLLER_COUNT; i++)
        assert_int_equal(close(fds[i]), 0);
    gone("cpu/hostd/a/s/tasks");
    assert_int_equal(cgroup_open_tasks(&t, "a", "s", false, fds, &e), 0);
    assert_int_equal(fds[CGROUP_CPU], -1);
    assert_int_equal(close(fds[CGROUP_MEMORY]) + close(fds[CGROUP_PIDS]), 0);
    assert_int_equal(cgroup_open_tasks(&t, "a", "s", true, fds, &e), -ENOENT);
    assert_non_null(strstr(e.text, "cpu/hostd/a/s/tasks"));
    for (int i = 0; i < CGROUP_CONTROLLER_COUNT; i++)
        assert_int_equal(fds[i], -1);
}

#define TREE_TEST(f) cmocka_unit_test_setup_teardown(f, make_tree, remove_tree)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TREE_TEST(each_limit_is_written_into_its_file),
        TREE_TEST(a_controller_that_is_missing_is_a_refusal_that_names_it),
        TREE_TEST(what_the_list_accepts_is_left_out_and_the_rest_set),
        TREE_TEST(without_a_cpu_limit_no_cpu_controller_is_needed),
        TREE_TEST(a_limit_that_cannot_be_written_is_a_refusal),
        TREE_TEST(swap_that_the_kernel_does_not_count_is_a_refusal_where_there_is_some),
        TREE_TEST(version_1_limits_memory_and_swap_together),
        TREE_TEST(version_1_that_does_not_count_swap_gives_none),
        TREE_TEST(a_cpu_group_that_is_gone_is_no_limit_only_where_none_was_asked_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
