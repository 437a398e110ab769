/* test_cookie.c - every user name comes back from the cookie that it was put into, and nothing else is a login. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "apps/zoobar/dynamic/cookie.h"
#include "rpc/base/own.h"
#include "tests/unit/test_pages_arena.h"

/* What a client sends back: name and value, without the attributes. */
static char *pair_of(const char *set_cookie)
{
    char *pair = test_take(NULL, strlen(set_cookie) + 1);
    strcpy(pair, set_cookie);
    char *end = strchr(pair, ';');
    assert_non_null(end);
    *end = '\0';
    return pair;
}

static void round_trip(const char *username)
{
    char *set = cookie_set(username, "0123456789abcdef", &test_arena);
    assert_non_null(set);
    char *pair = pair_of(set);
    for (const char *c = pair; *c; c++) /* RFC 6265: cookie-octets */
        assert_true(*c > 0x20 && *c < 0x7f && !strchr("\",;\\", *c));
    struct login login;
    assert_true(cookie_read(pair, &login, &test_arena));
    assert_string_equal(login.username, username);
    assert_string_equal(login.token, "0123456789abcdef");
}

static void all_characters_round_trip(void **state)
{
    char name[8];
    for (unsigned c = 1; c < 0x80; c++) {
        (void)snprintf(name, sizeof name, "%c", (int)c);
        round_trip(name);
        (void)snprintf(name, sizeof name, "a%cb", (int)c);
        round_trip(name);
        (void)snprintf(name, sizeof name, "%c%c", (int)c, (int)c);
        round_trip(name);
    }
    for (unsigned c = 0x80; c < 0x800; c++) {
        (void)snprintf(name, sizeof name, "%c%c", (int)(0xc0 | c >> 6), (int)(0x80 | (c & 0x3f)));
        round_trip(name);
    }
    round_trip("a#b#c");
    round_trip("100%");
    round_trip("%41");
    round_trip("%zz");
    round_trip(" leading and trailing ");
    round_trip("a;b, \"c\" \\d\r\ne\tf");
    round_trip("\xe2\x82\xac\xf0\x9f\x90\xbb");
}

static void the_form_is_the_one_clients_know(void **state)
{
    assert_string_equal(cookie_set("alice", "tok", &test_arena),
                        "PyZoobarLogin=alice#tok; Path=/; HttpOnly; SameSite=Lax");
    assert_string_equal(cookie_set("a b%;", "tok", &test_arena),
                        "PyZoobarLogin=a%20b%25%3B#tok; Path=/; HttpOnly; SameSite=Lax");
    assert_non_null(strstr(cookie_clear(), "PyZoobarLogin=; "));
    assert_non_null(strstr(cookie_clear(), "Max-Age=0"));
    assert_null(cookie_set("alice", "tok", &test_no_memory));
}

static void it_is_found_among_others(void **state)
{
    static const char *const headers[] = {
        "PyZoobarLogin=alice#tok",
        "a=b; PyZoobarLogin=alice#tok",
        "a=b;PyZoobarLogin=alice#tok ;c=d",
        "  PyZoobarLogin=alice#tok  ",
        "xPyZoobarLogin=mallory#x; PyZoobarLogin=alice#tok; PyZoobarLogin=mallory#x",
        "PyZoobarLogin2=mallory#x;; PyZoobarLogin=%61lice%23tok",
        "PyZoobarLogin; PyZoobarLogin=alice#tok",
    };
    for (size_t i = 0; i < ARRAY_COUNT(headers); i++) {
        struct login login;
        assert_true(cookie_read(headers[i], &login, &test_arena));
        assert_string_equal(login.username, "alice");
        assert_string_equal(login.token, "tok");
    }
}

static void all_else_is_no_login(void **state)
{
    static const char *const headers[] = {
        "",
        ";;;",
        "PyZoobarLogin",
        "PyZoobarLogin=",
        "PyZoobarLogin=; PyZoobarLogin=alice#tok",
        "PyZoobarLogin=alice",
        "PyZoobarLogin=#tok",
        "PyZoobarLogin=alice#",
        "PyZoobarLogin=#",
        "PyZoobarLogin=al%00ice#tok",
        "PyZoobarLogin=al%ice#tok",
        "PyZoobarLogin=al%zzice#tok",
        "PyZoobarLogin=alice#tok%",
        "PyZoobarLogin=alice#tok%4",
        "PyZoobarLogin=%ff#tok",
        "PyZoobarLogin=\xff#tok",
        "pyzoobarlogin=alice#tok",
        "PyZoobarLogin =alice#tok",
        "other=PyZoobarLogin=alice#tok",
    };
    for (size_t i = 0; i < ARRAY_COUNT(headers); i++) {
        struct login login = {.username = (char *)"untouched"};
        assert_false(cookie_read(headers[i], &login, &test_arena));
        assert_string_equal(login.username, "untouched");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_characters_round_trip),
        cmocka_unit_test(the_form_is_the_one_clients_know),
        cmocka_unit_test(it_is_found_among_others),
        cmocka_unit_test(all_else_is_no_login),
    };
    return cmocka_run_group_tests(tests, NULL, test_arena_clear);
}
