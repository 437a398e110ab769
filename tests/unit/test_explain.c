/* test_explain.c - who may call whom: the answer, the layer that gave it, its line, and near names. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "hostd/explain.h"
#include "rpc/base/own.h"
#include "tests/unit/hostd_fixture.h"

static const char list[] =
    "[app]\nname = \"app\"\n"                                                              /* 1, 2 */
    "[service.front]\nexec = \"front\"\n"                                                  /* 3 */
    "ingress = [{ name = \"http\", listen = \"127.0.0.1:8080\" }]\n"                       /* 5 */
    "[service.bank]\nexec = \"bank\"\noperator = [\"Bank.Balance\"]\n"                     /* 6 */
    "[service.echo]\nexec = \"echo\"\n"                                                    /* 9 */
    "[[link]]\nfrom = \"front\"\nto = \"bank\"\nallow = [\"Bank.Open\"]\n"                 /* 11 */
    "[[link]]\nfrom = \"echo\"\nto = \"bank\"\nallow = [\"Bank.Log\", \"Bank.Balance\"]\n" /* 15 */
    "[[link]]\nfrom = \"front\"\nto = \"echo\"\nallow = []\n";                             /* 19 */

static struct manifest *manifest;

static int set_up(void **state)
{
    static char report[MANIFEST_REPORT_BYTES];
    return fixture_parse(list, &manifest, report);
}

static int tear_down(void **state)
{
    free(manifest);
    return 0;
}

static void verdicts_name_layer_and_line(void **state)
{
    static const struct {
        const char *from, *to;
        bool is_allowed;
        enum explain_layer layer;
        uint32_t line;
    } rows[] = {
        {"front", "bank", true, EXPLAIN_METHOD, 11},
        {"front", "bank.Bank.Open", true, EXPLAIN_METHOD, 11},
        {"front", "bank.Bank.Log", false, EXPLAIN_METHOD, 11},
        {"echo", "bank.Bank.Log", true, EXPLAIN_METHOD, 15},
        {"front", "echo", false, EXPLAIN_METHOD, 19}, /* a wire, and an empty list */
        {"bank", "front", false, EXPLAIN_WIRE, 0},
        {"bank", "echo.Echo.Say", false, EXPLAIN_WIRE, 0},
        {"echo", "echo", false, EXPLAIN_WIRE, 0},
        {"operator", "bank", true, EXPLAIN_OPERATOR, 6},
        {"operator", "bank.Bank.Balance", true, EXPLAIN_OPERATOR, 6},
        {"operator", "bank.Bank.Open", false, EXPLAIN_OPERATOR, 6},
        {"operator", "echo", false, EXPLAIN_OPERATOR, 9},
        {"http", "front", true, EXPLAIN_INGRESS, 3},
        {"http", "bank", false, EXPLAIN_INGRESS, 3},
        {"http", "bank.Bank.Open", false, EXPLAIN_INGRESS, 3},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct verdict verdict;
        struct err e = {0};
        assert_int_equal(explain_decide(manifest, rows[i].from, rows[i].to, &verdict, &e), 0);
        if (verdict.is_allowed != rows[i].is_allowed || verdict.layer != rows[i].layer || verdict.line != rows[i].line)
            fail_msg("%s -> %s: allowed %d, layer %s, line %u", rows[i].from, rows[i].to, verdict.is_allowed,
                     explain_layer_name(verdict.layer), verdict.line);
    }
}

static void unknown_names_have_near_ones(void **state)
{
    static const struct {
        const char *from, *to, *near;
    } rows[] = {
        {"frnt", "bank", "'front'"},
        {"operater", "bank", "'operator'"},
        {"htp", "front", "'http'"},
        {"front", "bnk", "'bank'"},
        {"front", "bnk.Bank.Open", "'bank'"},
        {"front", "bank.Bank.Opne", "'Bank.Open'"},
        {"front", "bank.Balance", "'Bank.Balance'"},
        {"front", "bank.", "no method ''"},
        {"front", "operator", "no service 'operator'"},
        {"front", "http", "no service 'http'"},
        {"front", "", "no service ''"},
        {"", "bank", "''"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct verdict verdict;
        struct err e = {0};
        assert_int_equal(explain_decide(manifest, rows[i].from, rows[i].to, &verdict, &e), -ENOENT);
        if (!strstr(e.text, rows[i].near))
            fail_msg("%s -> %s: %s", rows[i].from, rows[i].to, e.text);
    }
}

static void text_names_file_line_and_who_may(void **state)
{
    static const struct {
        const char *from, *to, *text;
    } rows[] = {
        {"front", "bank.Bank.Log",
         "denied: 'front' may not call Bank.Log of 'bank'\n"
         "  wire: the link at a.toml:11\n"
         "  method: Bank.Log is not on its list, which has Bank.Open\n"
         "  'echo' may (a.toml:15)\n"},
        {"bank", "front",
         "denied: 'bank' may not call 'front'\n"
         "  wire: no [[link]] leads from 'bank' to 'front', so they share no network\n"
         "  the other way round there is one: 'front' may call 'bank' (a.toml:11)\n"},
        {"operator", "bank.Bank.Open",
         "denied: 'operator' may not call Bank.Open of 'bank'\n"
         "  operator: the list of service 'bank' (a.toml:6) has Bank.Balance; `hostd call --list` shows methods "
         "without "
         "calling\n"
         "  'front' may (a.toml:11)\n"},
        {"http", "bank.Bank.Open",
         "denied: 'http' may not reach Bank.Open of 'bank'\n"
         "  ingress: 'http' brings bytes of the outside to a program; nothing calls methods by it\n"
         "  ingress: 'http' is of service 'front' (a.toml:3)\n"},
        {"http", "front", "allowed: 'http' may reach 'front'\n  ingress: 'http' is of service 'front' (a.toml:3)\n"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct verdict verdict;
        struct err e = {0};
        char *text = NULL;
        size_t bytes = 0;
        FILE *out = open_memstream(&text, &bytes);
        assert_non_null(out);
        assert_int_equal(explain_decide(manifest, rows[i].from, rows[i].to, &verdict, &e), 0);
        explain_print(manifest, "a.toml", &verdict, out);
        assert_int_equal(fclose(out), 0);
        assert_string_equal(text, rows[i].text);
        free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(verdicts_name_layer_and_line),
        cmocka_unit_test(unknown_names_have_near_ones),
        cmocka_unit_test(text_names_file_line_and_who_may),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
