/* test_http_route.c - the first pattern that matches wins; a bad one is refused by name. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "apps/zoobar/dispatcher/route.h"

static struct route_table table;

static void test_zoobar(void **state)
{
    /* Peers are only compared. */
    struct rpc_peer *dynamic = (struct rpc_peer *)&table.routes[0], *files = (struct rpc_peer *)&table.routes[1];
    assert_int_equal(route_add(&table, "^/zoobar/index\\.cgi(/.*)?$", dynamic, NULL, NULL), 0);
    assert_int_equal(route_add(&table, "^(/zoobar/media/.*|/favicon\\.ico)$", files, NULL, NULL), 0);
    assert_int_equal(route_add(&table, "^/(zoobar/?)?$", NULL, "/zoobar/index.cgi/", NULL), 0);

    assert_ptr_equal(route_find(&table, "/zoobar/index.cgi")->peer, dynamic);
    assert_ptr_equal(route_find(&table, "/zoobar/index.cgi/users")->peer, dynamic);
    assert_ptr_equal(route_find(&table, "/zoobar/media/zoobar.css")->peer, files);
    assert_ptr_equal(route_find(&table, "/favicon.ico")->peer, files);
    assert_string_equal(route_find(&table, "/")->redirect, "/zoobar/index.cgi/");
    assert_string_equal(route_find(&table, "/zoobar")->redirect, "/zoobar/index.cgi/");
    assert_null(route_find(&table, "/zoobar/index_cgi"));
    assert_null(route_find(&table, "/zoobar/index.cgix"));
    assert_null(route_find(&table, "/favicon.icon"));
    assert_null(route_find(&table, "/x/zoobar/index.cgi"));
    route_table_done(&table);
}

static void test_first_wins(void **state)
{
    assert_int_equal(route_add(&table, "^/a", NULL, "1", NULL), 0);
    assert_int_equal(route_add(&table, "^/ab", NULL, "2", NULL), 0);
    assert_string_equal(route_find(&table, "/ab")->redirect, "1");
    route_table_done(&table);
}

static void test_bad_patterns(void **state)
{
    static const char *const patterns[] = {"^/(", "[", "a{2,1}", "(a)\\1", "*\\2", "[[:nope:]]"};
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++) {
        struct err e = {0};
        assert_int_equal(route_add(&table, patterns[i], NULL, "x", &e), -EINVAL);
        assert_non_null(strstr(e.text, patterns[i]));
        assert_int_equal(table.count, 0);
    }
    assert_int_equal(route_add(&table, "^/[\\1]$", NULL, "x", NULL), 0); /* no back-reference, a set of characters */
    assert_non_null(route_find(&table, "/1"));
    route_table_done(&table);
}

static void test_limit(void **state)
{
    struct err e = {0};
    for (size_t i = 0; i < ROUTES_MAX; i++)
        assert_int_equal(route_add(&table, "^/x$", NULL, "x", &e), 0);
    assert_int_equal(route_add(&table, "^/x$", NULL, "x", &e), -E2BIG);
    route_table_done(&table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_zoobar),
        cmocka_unit_test(test_first_wins),
        cmocka_unit_test(test_bad_patterns),
        cmocka_unit_test(test_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
