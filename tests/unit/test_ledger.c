/* test_ledger.c - what hostd writes down for its successor: text and back, and everything else refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>

#include "hostd/ledger.h"

#define HEAD                                                                                                           \
    "hostd 1\nboot 6f1f77a2-0000-0000-0000-000000000000\nlist f00dcafe12345678\nprotocol 42\nmode isolated\n"          \
    "next_wire 7\n"
#define BANK "service bank ready 123 456789 4026531840 4026531841 4026531842 3 2 400 1 was killed by signal 9\n"
#define ECHO "service echo failed 0 0 0 0 0 10 10 4000 0 exited with code 3\n"

static int parse(const char *text, struct ledger **ret_ledger)
{
    struct err e = {0};
    int result = ledger_parse(text, strlen(text), ret_ledger, &e);
    if (result < 0)
        assert_true(e.text[0] != '\0');
    return result;
}

static void test_round_trip(void **state)
{
    static const char text[] = HEAD BANK ECHO "end\n";
    struct ledger *ledger = NULL;
    assert_int_equal(parse(text, &ledger), 0);
    assert_int_equal(ledger->service_count, 2);
    assert_int_equal(ledger->next_wire, 7);
    assert_true(ledger->list_hash == 0xf00dcafe12345678u);
    const struct ledger_service *bank = ledger_find(ledger, "bank");
    assert_non_null(bank);
    assert_int_equal(bank->state, INSTANCE_READY);
    assert_int_equal(bank->mark.pid, 123);
    assert_true(bank->mark.started_ticks == 456789 && bank->mark.netns == 4026531840u);
    assert_true(bank->mark.userns == 4026531841u && bank->mark.pidns == 4026531842u);
    assert_int_equal(bank->generation, 3);
    assert_string_equal(bank->last_end, "was killed by signal 9");
    assert_null(ledger_find(ledger, "profile"));

    char *printed = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&printed, &bytes);
    assert_non_null(out);
    ledger_print(ledger, out);
    (void)fclose(out);
    assert_string_equal(printed, text);
    free(printed);
    free(ledger);
}

/* An error's text may quote what a person wrote: it cannot add a line. */
static void test_printed_text_is_one_line(void **state)
{
    struct ledger *ledger = NULL;
    assert_int_equal(parse(HEAD BANK "end\n", &ledger), 0);
    (void)snprintf(ledger->services[0].last_end, LEDGER_END_BYTES, "a\nend\n\033[0m");
    char *printed = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&printed, &bytes);
    assert_non_null(out);
    ledger_print(ledger, out);
    (void)fclose(out);
    free(ledger);
    assert_int_equal(parse(printed, &ledger), 0);
    assert_string_equal(ledger->services[0].last_end, "a?end??[0m");
    free(printed);
    free(ledger);
}

/* However it is cut, it is no ledger: a crash in the middle of a write cannot be taken for fewer services. */
static void test_every_cut_is_refused(void **state)
{
    static const char text[] = HEAD BANK ECHO "end\n";
    for (size_t bytes = 0; bytes < sizeof text - 1; bytes++) {
        struct ledger *ledger = NULL;
        struct err e;
        assert_int_equal(ledger_parse(text, bytes, &ledger, &e), -EPROTO);
        assert_null(ledger);
    }
}

static void test_refused(void **state)
{
    static const char *const wrong[] = {
        "",
        "\n",
        "hostd 2\nend\n",
        HEAD BANK BANK "end\n", /* one service twice */
        HEAD BANK "end\nend\n", /* text behind the end */
        HEAD BANK "end \n",
        HEAD "bank ready\nend\n",
        HEAD "service Bank ready 1 1 1 1 1 1 1 1 1 \nend\n",
        HEAD "service ../x ready 1 1 1 1 1 1 1 1 1 \nend\n",
        HEAD "service bank happy 1 1 1 1 1 1 1 1 1 \nend\n",
        HEAD "service bank ready -1 1 1 1 1 1 1 1 1 \nend\n",
        HEAD "service bank ready +1 1 1 1 1 1 1 1 1 \nend\n",
        HEAD "service bank ready 99999999 1 1 1 1 1 1 1 1 \nend\n", /* no pid is so large */
        HEAD "service bank ready 1 99999999999999999999999 1 1 1 1 1 1 1 \nend\n",
        HEAD "service bank ready 1 1 1 1 1\nend\n",
        HEAD "service bank ready 1 1 1 1 1 1 1 1 1 \033[2J\nend\n",
        "hostd 1\nboot x\nlist zz\nprotocol 1\nmode isolated\nnext_wire 1\nend\n",
        "hostd 1\nboot x\nlist 1\nprotocol 1\nmode other\nnext_wire 1\nend\n",
        "hostd 1\nboot 0123456789012345678901234567890123456789012345\nlist 1\nprotocol 1\nmode plain\nnext_wire "
        "1\nend\n",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct ledger *ledger = NULL;
        if (parse(wrong[i], &ledger) != -EPROTO)
            fail_msg("taken: %s", wrong[i]);
        assert_null(ledger);
    }
}

static bool was_up(const char *services)
{
    char text[1024];
    struct ledger *ledger = NULL;
    (void)snprintf(text, sizeof text, HEAD "%send\n", services);
    assert_int_equal(parse(text, &ledger), 0);
    bool is_up = ledger_was_up(ledger);
    free(ledger);
    return is_up;
}

/* A first start notes all of its services as starting, an application's stop all that live as stopping. */
static void test_was_up(void **state)
{
    assert_true(was_up(BANK ECHO));
    assert_true(was_up("service a ended 0 0 0 0 0 1 1 0 0 exited with code 0\n"));
    assert_true(was_up("service a down 0 0 0 0 0 1 1 100 0 exited with code 3\n"));
    assert_true(was_up("service a starting 9 1 1 1 1 2 0 0 0 \n"));
    assert_true(was_up(BANK "service a starting 9 1 1 1 1 1 0 0 0 \n"));
    assert_false(was_up(""));
    assert_false(was_up("service a starting 9 1 1 1 1 1 0 0 0 \nservice b starting 10 1 1 1 1 1 0 0 0 \n"));
    assert_false(was_up("service a stopping 9 1 1 1 1 1 0 0 0 \nservice b down 0 0 0 0 0 3 0 0 0 \n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_printed_text_is_one_line),
        cmocka_unit_test(test_every_cut_is_refused),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_was_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
