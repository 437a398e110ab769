/*
 * test_manifest.c - the service list: every error with its exact words and place, the block that comes out, the same
 * block corrupted word by word, and the child that parses (which may crash, hang or lie).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "hostd/manifest_load.c" /* for run_parser() and take_answer(), with a child of our own */
#include "hostd/plan.h"
#include "tests/unit/hostd_fixture.h"

static char report[MANIFEST_REPORT_BYTES];

#define APP "[app]\nname = \"a\"\n"              /* lines 1 and 2 */
#define BANK "[service.bank]\nexec = \"bank\"\n" /* lines 3 and 4 */
#define FRONT "[service.front]\nexec = \"front\"\n"
#define LINK "[[link]]\nfrom = \"front\"\nto = \"bank\"\nallow = [\"Bank.Log\"]\n"

/* ---- errors: the text that is added to a list, and the whole report ---- */

struct wrong {
    const char *text, *report;
};

static const struct wrong wrongs[] = {
    /* the file */
    {"", "app.toml:1:1: the file is empty: a list has an [app] and services\n    \n    ^\n"},
    {" \n\t\n", "app.toml:1:1: the file is empty: a list has an [app] and services\n     \n    ^\n"},
    {APP, "app.toml:1:1: there is no service: each is a table, as in [service.bank]\n    [app]\n    ^\n"},
    {BANK,
     "app.toml:1:1: there is no [app]; it names the application, as in name = \"zoobar\"\n    [service.bank]\n    ^\n"},
    {"[app]\n" BANK, "app.toml:1:1: [app] has no 'name'\n    [app]\n    ^\n"},
    {"app = 1\n" BANK, "app.toml:1:7: 'app' must be a table, not a whole number\n    app = 1\n          ^\n"},
    {"[app]\nname = \"A\"\n" BANK, "app.toml:2:8: 'A' is no name of an application: a-z, 0-9, _ and -, beginning with "
                                   "a letter, at most 31 characters\n"
                                   "    name = \"A\"\n           ^\n"},
    {APP BANK "[servce.x]\n", "app.toml:5:2: unknown key 'servce'; did you mean 'service'?\n    [servce.x]\n     ^\n"},
    {APP BANK "zebra = 1\n", "app.toml:5:1: unknown key 'zebra'\n    zebra = 1\n    ^\n"},
    {APP "[service]\nbank = 3\n", "app.toml:4:1: a service is a table: [service.bank]\n    bank = 3\n    ^\n"},
    {APP BANK "link = 3\n", "app.toml:5:1: unknown key 'link'\n    link = 3\n    ^\n"},
    /* syntax: one error, the first */
    {APP "x = \n" BANK "y = \n", NULL},
    /* services */
    {APP "[service.Bank]\nexec = \"bank\"\n", "app.toml:3:10: 'Bank' is no name of a service: a-z, 0-9, _ and -, "
                                              "beginning with a letter, at most 31 characters\n"
                                              "    [service.Bank]\n             ^\n"},
    {APP "[service.operator]\nexec = \"bank\"\n",
     "app.toml:3:10: no service can be called 'operator': it would be mistaken for hostd's own\n"
     "    [service.operator]\n             ^\n"},
    {APP "[service.bank]\n", "app.toml:3:1: service 'bank' has no 'exec'\n    [service.bank]\n    ^\n"},
    {APP "[service.bank]\nexec = 5\n",
     "app.toml:4:8: 'exec' must be a text, not a whole number\n    exec = 5\n           ^\n"},
    {APP "[service.bank]\nexec = \"a\\u0000b\"\n",
     "app.toml:4:8: 'exec' holds a NUL character\n    exec = \"a\\u0000b\"\n           ^\n"},
    {APP "[service.bank]\nexec = \"bnak\"\n",
     "app.toml:4:8: there is no program '/opt/bin/bnak'\n    exec = \"bnak\"\n           ^\n"},
    {APP "[service.bank]\nexec = \"text\"\n",
     "app.toml:4:8: '/opt/bin/text' may not be executed\n    exec = \"text\"\n           ^\n"},
    {APP "[service.bank]\nexec = \"shared\"\n",
     "app.toml:4:8: '/opt/bin/shared' cannot be a service: it needs shared libraries; link it statically\n"
     "    exec = \"shared\"\n           ^\n"},
    {APP "[service.bank]\nexec = \"broken\"\n",
     "app.toml:4:8: '/opt/bin/broken' cannot be a service: its schema note has a line that is not three words\n"
     "    exec = \"broken\"\n           ^\n"},
    {APP "[service.bank]\nexec = \"./bank\"\n",
     "app.toml:4:8: there is no program '/srv/app/bank'\n    exec = \"./bank\"\n           ^\n"},
    {APP "[service.bank]\nexec = \"\"\n",
     "app.toml:4:8: 'exec' is the name of a program that came with hostd, or a path\n    exec = \"\"\n           ^\n"},
    /* limits */
    {APP BANK "memory = \"lots\"\n",
     "app.toml:5:10: 'lots' is no size: a number and K, M or G (powers of 1024), as in \"64M\"\n"
     "    memory = \"lots\"\n             ^\n"},
    {APP BANK "memory = \"64MB\"\n",
     "app.toml:5:10: '64MB' is no size: a number and K, M or G (powers of 1024), as in \"64M\"\n"
     "    memory = \"64MB\"\n             ^\n"},
    {APP BANK "memory = \"64\"\n",
     "app.toml:5:10: '64' is no size: a number and K, M or G (powers of 1024), as in \"64M\"\n"
     "    memory = \"64\"\n             ^\n"},
    {APP BANK "memory = \"1K\"\n",
     "app.toml:5:10: 'memory' is between 4M and 1024G\n    memory = \"1K\"\n             ^\n"},
    {APP BANK "memory = \"9999999999G\"\n",
     "app.toml:5:10: 'memory' is between 4M and 1024G\n    memory = \"9999999999G\"\n             ^\n"},
    {APP BANK "memory = \"99999999999G\"\n",
     "app.toml:5:10: '99999999999G' is no size: a number and K, M or G (powers of 1024), as in \"64M\"\n"
     "    memory = \"99999999999G\"\n             ^\n"},
    {APP BANK "memory = 64\n",
     "app.toml:5:10: 'memory' must be a text, not a whole number\n    memory = 64\n             ^\n"},
    {APP BANK "file_size = \"1\"\n",
     "app.toml:5:13: '1' is no size: a number and K, M or G (powers of 1024), as in \"64M\"\n"
     "    file_size = \"1\"\n                ^\n"},
    {APP BANK "file_size = \"0K\"\n", "app.toml:5:13: 'file_size' is between 1K and 1024G\n"
                                      "    file_size = \"0K\"\n                ^\n"},
    {APP BANK "pids = 0\n", "app.toml:5:8: 'pids' is between 4 and 32768\n    pids = 0\n           ^\n"},
    {APP BANK "pids = -1\n", "app.toml:5:8: 'pids' is between 4 and 32768\n    pids = -1\n           ^\n"},
    {APP BANK "cpu = 0.5\n",
     "app.toml:5:7: 'cpu' must be a whole number, not a fraction\n    cpu = 0.5\n          ^\n"},
    {APP BANK "cpu = 0\n", "app.toml:5:7: 'cpu' is between 1 and 102400\n    cpu = 0\n          ^\n"},
    {APP BANK "memry = \"64M\"\n",
     "app.toml:5:1: unknown key 'memry'; did you mean 'memory'?\n    memry = \"64M\"\n    ^\n"},
    {APP BANK "accept_missing = [\"landlok\"]\n", "app.toml:5:19: no protection 'landlok'; did you mean 'landlock'?\n  "
                                                  "  accept_missing = [\"landlok\"]\n                      ^\n"},
    {APP BANK "accept_missing = [\"seccomp\"]\n",
     "app.toml:5:19: no protection 'seccomp': there are landlock, memory, pids and cpu\n"
     "    accept_missing = [\"seccomp\"]\n                      ^\n"},
    {APP BANK "accept_missing = [1]\n", "app.toml:5:19: 'accept_missing' is a list of texts; this is a whole number\n"
                                        "    accept_missing = [1]\n                      ^\n"},
    /* data */
    {APP BANK "data = [\"../etc\"]\n",
     "app.toml:5:9: '../etc' is no name of a data directory: a-z, 0-9, _ and -, beginning with a letter, at most 31 "
     "characters\n    data = [\"../etc\"]\n            ^\n"},
    {APP BANK "data = [\"proc\"]\n", "app.toml:5:9: no data directory can be called 'proc': /proc is the root's own\n  "
                                     "  data = [\"proc\"]\n            ^\n"},
    {APP BANK "data = [\"d\", \"d\"]\n",
     "app.toml:5:14: data directory 'd' is there already: see line 5\n    data = [\"d\", \"d\"]\n                 ^\n"},
    {APP BANK "data = [\"d\"]\n" FRONT "data = [\"d\"]\n",
     "app.toml:8:9: data directory 'd' is there already: see line 5\n    data = [\"d\"]\n            ^\n"},
    {APP BANK "data = [\"a\",\"b\",\"c\",\"d\",\"e\",\"f\",\"g\",\"h\",\"i\"]\n",
     "app.toml:5:8: 'data' has 9 entries; 8 is the limit\n"
     "    data = [\"a\",\"b\",\"c\",\"d\",\"e\",\"f\",\"g\",\"h\",\"i\"]\n           ^\n"},
    /* files */
    {APP BANK "files = [{ from = \"nope\", to = \"/x\" }]\n",
     "app.toml:5:19: there is no '/srv/app/nope'\n    files = [{ from = \"nope\", to = \"/x\" }]\n                     "
     " ^\n"},
    {APP BANK "files = [{ from = \"/dev/null\", to = \"/x\" }]\n",
     "app.toml:5:19: '/dev/null' is neither a file nor a directory\n"
     "    files = [{ from = \"/dev/null\", to = \"/x\" }]\n                      ^\n"},
    {APP BANK "files = [{ from = \"/var/sockets\", to = \"/x\" }]\n",
     "app.toml:5:19: '/var/sockets' holds a socket or FIFO, by which a service could speak to others without a link: "
     "find /var/sockets -type s -o -type p\n"
     "    files = [{ from = \"/var/sockets\", to = \"/x\" }]\n                      ^\n"},
    {APP BANK "files = [{ from = \"media\", to = \"/a/../b\" }]\n",
     "app.toml:5:33: 'to' is an absolute path below /, without '.', '..' or '//', at most 127 bytes\n"
     "    files = [{ from = \"media\", to = \"/a/../b\" }]\n                                    ^\n"},
    {APP BANK "files = [{ from = \"media\", to = \"/bin/bank\" }]\n",
     "app.toml:5:33: nothing can be put at '/bin/bank': /bin, /dev, /proc and /sys are the root's own\n"
     "    files = [{ from = \"media\", to = \"/bin/bank\" }]\n                                    ^\n"},
    {APP BANK "files = [{ from = \"media\", to = \"/m\" }, { from = \"media\", to = \"/m/x\" }]\n",
     "app.toml:5:64: '/m/x' and '/m' hide each other\n"
     "    files = [{ from = \"media\", to = \"/m\" }, { from = \"media\", to = \"/m/x\" }]\n"
     "                                                                   ^\n"},
    {APP BANK "data = [\"d\"]\nfiles = [{ from = \"media\", to = \"/d/x\" }]\n",
     "app.toml:3:1: service 'bank': file '/d/x' and data directory '/d' hide each other\n    [service.bank]\n    ^\n"},
    {APP BANK "files = [{ from = \"media\" }]\n",
     "app.toml:5:10: this file has no 'to'\n    files = [{ from = \"media\" }]\n             ^\n"},
    {APP BANK "files = [\"media\"]\n", "app.toml:5:10: a file is a table, as in { from = \"media\", to = \"/media\" }\n"
                                       "    files = [\"media\"]\n             ^\n"},
    /* ingress */
    {APP BANK "ingress = [{ name = \"h\", listen = \"256.0.0.1:80\" }]\n",
     "app.toml:5:35: 'listen' is an IPv4 address and a port, as in \"127.0.0.1:8080\"\n"
     "    ingress = [{ name = \"h\", listen = \"256.0.0.1:80\" }]\n                                      ^\n"},
    {APP BANK "ingress = [{ name = \"h\", listen = \"localhost:80\" }]\n",
     "app.toml:5:35: 'listen' is an IPv4 address and a port, as in \"127.0.0.1:8080\"\n"
     "    ingress = [{ name = \"h\", listen = \"localhost:80\" }]\n                                      ^\n"},
    {APP BANK "ingress = [{ name = \"h\", listen = \"1.2.3.4:65536\" }]\n",
     "app.toml:5:35: 'listen' is an IPv4 address and a port, as in \"127.0.0.1:8080\"\n"
     "    ingress = [{ name = \"h\", listen = \"1.2.3.4:65536\" }]\n                                      ^\n"},
    {APP BANK "ingress = [{ name = \"h\", listen = \"1.2.3.4:080\" }]\n",
     "app.toml:5:35: 'listen' is an IPv4 address and a port, as in \"127.0.0.1:8080\"\n"
     "    ingress = [{ name = \"h\", listen = \"1.2.3.4:080\" }]\n                                      ^\n"},
    {APP BANK "ingress = [{ name = \"h\", listen = \"1.2.3.4:80\" }, { name = \"i\", listen = \"1.2.3.4:80\" }]\n",
     "app.toml:5:74: address '1.2.3.4:80' is there already: see line 5\n"
     "    ingress = [{ name = \"h\", listen = \"1.2.3.4:80\" }, { name = \"i\", listen = \"1.2.3.4:80\" }]\n"
     "                                                                             ^\n"},
    {APP BANK "ingress = [{ name = \"h\", listen = \"1.2.3.4:80\" }]\n" FRONT
              "ingress = [{ name = \"h\", listen = \"1.2.3.4:81\" }]\n",
     "app.toml:8:21: ingress 'h' is there already: see line 5\n"
     "    ingress = [{ name = \"h\", listen = \"1.2.3.4:81\" }]\n                        ^\n"},
    /* methods */
    {APP BANK "operator = [\"Bank.Lgo\"]\n",
     "app.toml:5:13: service 'bank' has no method 'Bank.Lgo'; did you mean 'Bank.Log'?\n"
     "    operator = [\"Bank.Lgo\"]\n                ^\n"},
    {APP FRONT "operator = [\"Bank.Log\"]\n",
     "app.toml:5:13: service 'front' has no method 'Bank.Log': its program serves no interface\n"
     "    operator = [\"Bank.Log\"]\n                ^\n"},
    /* config */
    {APP BANK "config = { t = 2020-01-01 }\n",
     "app.toml:5:16: a configuration holds texts, numbers and booleans: write a time as a text\n"
     "    config = { t = 2020-01-01 }\n                   ^\n"},
    {APP BANK "config = { \"a.b\" = 1 }\n",
     "app.toml:5:12: a key of a configuration is made of a-z, A-Z, 0-9, _ and -\n"
     "    config = { \"a.b\" = 1 }\n               ^\n"},
    {APP BANK "config.a = [[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]\n",
     "app.toml:5:27: a configuration is at most 16 levels deep\n"
     "    config.a = [[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]\n                              ^\n"},
    /* links */
    {APP BANK FRONT "[[link]]\nfrom = \"front\"\nto = \"bnak\"\nallow = []\n",
     "app.toml:9:6: no service 'bnak'; did you mean 'bank'?\n    to = \"bnak\"\n         ^\n"},
    {APP BANK FRONT "[[link]]\nfrom = \"nobody\"\nto = \"bank\"\nallow = [\"Bank.Log\"]\n",
     "app.toml:8:8: no service 'nobody'\n    from = \"nobody\"\n           ^\n"},
    {APP BANK "[[link]]\nfrom = \"bank\"\nto = \"bank\"\nallow = [\"Bank.Log\"]\n",
     "app.toml:7:6: service 'bank' cannot have a link to itself\n    to = \"bank\"\n         ^\n"},
    {APP BANK FRONT LINK LINK,
     "app.toml:11:1: link 'front -> bank' is there already: see line 7\n    [[link]]\n    ^\n"},
    {APP BANK FRONT "[[link]]\nfrom = \"front\"\nto = \"bank\"\n",
     "app.toml:7:1: this link has no 'allow'\n    [[link]]\n    ^\n"},
    {APP BANK FRONT
     "[[link]]\nfrom = \"front\"\nto = \"bank\"\nallow = [\"Bank.Transfr\", \"Bank.Log\", \"Bank.Log\", 1]\n",
     "app.toml:10:10: service 'bank' has no method 'Bank.Transfr'; did you mean 'Bank.Transfer'?\n"
     "    allow = [\"Bank.Transfr\", \"Bank.Log\", \"Bank.Log\", 1]\n             ^\n"
     "app.toml:10:38: 'Bank.Log' is in this list already\n"
     "    allow = [\"Bank.Transfr\", \"Bank.Log\", \"Bank.Log\", 1]\n                                         ^\n"
     "app.toml:10:50: 'allow' is a list of texts; this is a whole number\n"
     "    allow = [\"Bank.Transfr\", \"Bank.Log\", \"Bank.Log\", 1]\n"
     "                                                     ^\n"},
    {"link = [1]\n" APP BANK, "app.toml:1:9: a link is a table: [[link]]\n    link = [1]\n            ^\n"},
    /* what follows from another error is not reported: the methods of a program that is not there */
    {APP "[service.bank]\nexec = \"bnak\"\noperator = [\"Bank.Log\"]\n" FRONT LINK,
     "app.toml:4:8: there is no program '/opt/bin/bnak'\n    exec = \"bnak\"\n           ^\n"},
    /* columns count characters, tabs and control characters do not move the caret or reach the terminal */
    {APP BANK "\"h\xc3\xa4\" = 1\n", "app.toml:5:1: unknown key 'h\xc3\xa4'\n    \"h\xc3\xa4\" = 1\n    ^\n"},
    {APP BANK "data = [\"\xc3\xa4\",\t\"proc\"]\n",
     "app.toml:5:9: '\xc3\xa4' is no name of a data directory: a-z, 0-9, _ and -, beginning with a letter, at most 31 "
     "characters\n    data = [\"\xc3\xa4\", \"proc\"]\n            ^\n"
     "app.toml:5:14: no data directory can be called 'proc': /proc is the root's own\n"
     "    data = [\"\xc3\xa4\", \"proc\"]\n                 ^\n"},
    {APP BANK "\"\\u001b[31m\\u009b\" = 1\n",
     "app.toml:5:1: unknown key '?[31m?\?'\n    \"\\u001b[31m\\u009b\" = 1\n    ^\n"},
};

static void every_error_has_its_words_and_place(void **state)
{
    for (size_t i = 0; i < sizeof wrongs / sizeof wrongs[0]; i++) {
        struct manifest *manifest = NULL;
        int r = fixture_parse(wrongs[i].text, &manifest, report);
        if (r != -EINVAL || manifest)
            fail_msg("accepted (%d):\n%s", r, wrongs[i].text);
        if (wrongs[i].report && strcmp(report, wrongs[i].report) != 0)
            fail_msg("of\n%s\nexpected:\n%s\nreported:\n%s", wrongs[i].text, wrongs[i].report, report);
    }
}

static unsigned line_count(const char *text, const char *what)
{
    unsigned count = 0;
    for (; (text = strstr(text, what)); text++)
        count++;
    return count;
}

static void syntax_gives_one_error(void **state)
{
    struct manifest *manifest = NULL;
    assert_int_equal(fixture_parse(APP "x = \n" BANK "y = \n", &manifest, report), -EINVAL);
    assert_int_equal(line_count(report, "app.toml:"), 1);
    assert_non_null(strstr(report, "app.toml:3:"));
    assert_non_null(strstr(report, "syntax error"));
    assert_int_equal(fixture_parse(APP "[+service.bank]\n", &manifest, report), -EINVAL); /* the library's assertion */
    assert_non_null(strstr(report, "app.toml:3:2: syntax error"));
    assert_int_equal(fixture_parse(APP "\xef\xb0\x80 = 1\n", &manifest, report), -EINVAL); /* U+FC00: its unreachable */
    assert_non_null(strstr(report, "app.toml:3:1: syntax error"));
    assert_int_equal(fixture_parse(APP BANK BANK, &manifest, report), -EINVAL);
    assert_non_null(strstr(report, "app.toml:5:"));
    assert_int_equal(
        manifest_parse("\xff\xfe", 2, "app.toml", FIXTURE_DIR, FIXTURE_BIN, &fixture_io, &manifest, report), -EINVAL);
}

static void many_errors_are_cut_and_counted(void **state)
{
    static char text[65536];
    struct manifest *manifest = NULL;
    size_t used = (size_t)snprintf(text, sizeof text, "%s", APP BANK);
    for (int i = 0; i < 1000; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "unknown_key_number_%d = 1\n", i);
    assert_int_equal(fixture_parse(text, &manifest, report), -EINVAL);
    assert_int_equal(line_count(report, "app.toml:"), 50);
    assert_non_null(strstr(report, "and 950 more errors\n"));
}

static void long_lines_are_shown_around_the_caret(void **state)
{
    static char text[8192];
    struct manifest *manifest = NULL;
    size_t used = (size_t)snprintf(text, sizeof text, "%s", APP BANK "data = [");
    for (int i = 0; i < 500; i++)
        text[used++] = ' ';
    (void)snprintf(text + used, sizeof text - used, "\"proc\"]\n");
    assert_int_equal(fixture_parse(text, &manifest, report), -EINVAL);
    assert_true(strlen(report) < 400);
    assert_non_null(strstr(report, "\"proc\"]\n"));
}

/* ---- what comes out ---- */

static const char whole[] =
    APP "accept_missing = [\"cpu\"]\n" BANK "data = [\"bank\"]\nmemory = \"64M\"\npids = 16\n"
        "operator = [\"Bank.Balance\"]\naccept_missing = [\"landlock\"]\n"
        "[service.bank.config]\nopening_balance = 10\n" FRONT
        "ingress = [{ name = \"http\", listen = \"127.0.0.1:8080\" }]\n"
        "files = [{ from = \"media\", to = \"/media\" }, { from = \"/etc/passwd\", to = \"/p\" }]\n"
        "[service.other]\nexec = \"bank\"\n" LINK "[[link]]\nfrom = \"front\"\nto = \"other\"\nallow = []\n";

static struct manifest *parse_whole(void)
{
    struct manifest *manifest = NULL;
    if (fixture_parse(whole, &manifest, report) < 0)
        fail_msg("%s", report);
    return manifest;
}

static void the_block_holds_the_list(void **state)
{
    struct manifest *m = parse_whole();
    struct err e = {0};
    if (manifest_verify(m, m->total_bytes, &e) < 0)
        fail_msg("%s", e.text);
    assert_string_equal(m->app, "a");
    assert_int_equal(m->service_count, 3);
    const struct manifest_service *bank = &manifest_services(m)[0], *front = bank + 1, *other = bank + 2;
    assert_string_equal(bank->name, "bank");
    assert_string_equal(manifest_text(m, bank->exec), "/opt/bin/bank");
    assert_int_equal(bank->line, 4);
    assert_int_equal(bank->memory_bytes, 64u << 20);
    assert_int_equal(bank->pids, 16);
    assert_int_equal(bank->accept_missing, MISSING_LANDLOCK | MISSING_CPU);
    assert_int_equal(front->accept_missing, MISSING_CPU);
    assert_string_equal(manifest_data(m)[bank->data_first], "bank");
    assert_int_equal(bank->methods_count, 5);
    assert_int_equal(other->methods_first, bank->methods_first); /* one binary, read once */
    assert_string_equal(manifest_methods(m)[bank->operator_first].name, "Bank.Balance");
    assert_string_equal(manifest_text(m, manifest_configs(m)[bank->config_first].key), "opening_balance");
    const struct manifest_ingress *ingress = &manifest_ingresses(m)[front->ingress_first];
    assert_int_equal(ingress->address, 0x7F000001);
    assert_int_equal(ingress->port, 8080);
    const struct manifest_file *files = &manifest_files(m)[front->files_first];
    assert_string_equal(manifest_text(m, files[0].from), "/srv/app/media");
    assert_string_equal(manifest_text(m, files[0].to), "/media");
    assert_string_equal(manifest_text(m, files[1].from), "/etc/passwd");
    const struct manifest_link *links = manifest_links(m);
    assert_int_equal(m->link_count, 2);
    assert_int_equal(links[0].from, 1);
    assert_int_equal(links[0].to, 0);
    assert_string_equal(manifest_methods(m)[links[0].allow_first].name, "Bank.Log");
    assert_int_equal(links[1].allow_count, 0);
    free(m);
}

/* Makes the plan, every contract and every print of a block that was accepted: the sanitizers watch. */
static void use(const struct manifest *m)
{
    struct plan *plan = NULL;
    struct err e;
    if (plan_make(m, 65536, &plan, &e) < 0)
        return;
    for (uint32_t i = 0; i < plan->service_count; i++) {
        struct contract *contract = NULL;
        assert_int_equal(plan_contract(plan, i, 1, &contract, &e), 0);
        free(contract);
    }
    FILE *out = fopen("/dev/null", "w");
    assert_non_null(out);
    (void)plan_print_text(plan, out);
    (void)plan_print_dot(plan, out);
    (void)plan_print_json(plan, out); /* -ENOMEM for a text that is no UTF-8 */
    (void)fclose(out);
    plan_free(plan);
}

/* I3: a block with any word changed is refused, or may be used without harm. */
static void a_corrupted_block_is_refused_or_harmless(void **state)
{
    struct manifest *m = parse_whole();
    const uint32_t bytes = m->total_bytes;
    char *copy = malloc(bytes);
    unsigned refused = 0, accepted = 0;
    static const uint32_t flips[] = {UINT32_MAX, 1, 0x80000000u, 0x20202020u, 0x00010000u};
    assert_non_null(copy);
    for (uint32_t at = 0; at + 4 <= bytes; at += 4)
        for (size_t flip = 0; flip < sizeof flips / sizeof flips[0]; flip++) {
            uint32_t word;
            struct err e;
            memcpy(copy, m, bytes);
            memcpy(&word, copy + at, sizeof word);
            word ^= flips[flip];
            memcpy(copy + at, &word, sizeof word);
            if (manifest_verify((struct manifest *)(void *)copy, bytes, &e) < 0) {
                refused++;
                continue;
            }
            accepted++;
            use((struct manifest *)(void *)copy);
        }
    assert_true(refused > 0 && accepted > 0); /* what is left are numbers, texts, padding, methods that nobody allows */
    for (uint32_t cut = 0; cut < bytes; cut++) {
        struct err e;
        char *part = malloc(cut + 1);
        assert_non_null(part);
        memcpy(part, m, cut);
        part = realloc(part, cut ? cut : 1);
        assert_int_equal(manifest_verify((struct manifest *)(void *)part, cut, &e), -EINVAL);
        free(part);
    }
    free(copy);
    free(m);
}

/* Each rule of the list holds in the block as well: a parser that was taken over cannot leave it out. */
static void a_lying_block_is_refused(void **state)
{
    struct manifest *m = parse_whole();
    const uint32_t bytes = m->total_bytes;
    struct manifest *copy = malloc(bytes);
    assert_non_null(copy);
    struct manifest_service *s = (void *)((char *)copy + m->services_at);
    struct manifest_link *links = (void *)((char *)copy + m->links_at);
    struct err e;
#define LIE(...)                                                                                                       \
    memcpy(copy, m, bytes);                                                                                            \
    assert_int_equal(manifest_verify(copy, bytes, &e), 0);                                                             \
    __VA_ARGS__;                                                                                                       \
    assert_int_equal(manifest_verify(copy, bytes, &e), -EINVAL)

    LIE(copy->app[0] = 'A');
    LIE(memset(copy->app, 'a', NAME_BYTES));
    LIE(memcpy(s[0].name, s[1].name, NAME_BYTES));
    LIE(memcpy(s[0].name, "operator", 9));
    LIE(s[0].exec = 0);
    LIE(s[0].exec = m->text_bytes);
    LIE(s[0].memory_bytes = 1);
    LIE(s[0].file_bytes = 1);
    LIE(s[0].pids = 1);
    LIE(s[0].accept_missing = 16);
    LIE(s[0].methods_count = 0);
    LIE(s[0].operator_count = 3);
    LIE(s[0].operator_first = 0; s[0].operator_count = 6);
    LIE(s[1].operator_first = 0; s[1].operator_count = 1);
    LIE(s[1].data_first = s[0].data_first; s[1].data_count = 1);
    LIE(s[2].ingress_first = s[1].ingress_first; s[2].ingress_count = 1);
    LIE(s[0].config_count = 5000);
    LIE(s[0].files_first = s[1].files_first; s[0].files_count = 33);
    LIE(links[0].to = links[0].from);
    LIE(links[0].to = 3);
    LIE(links[1].to = links[0].to);
    LIE(links[0].to = 1; links[0].from = 0);
    LIE(links[0].allow_first = UINT32_MAX);
    LIE(links[0].allow_count = UINT32_MAX);
    LIE(copy->service_count = 0);
    LIE(copy->service_count = UINT32_MAX);
    LIE(copy->services_at = 4);
    LIE(copy->text_bytes = 0);
    LIE(((char *)copy)[copy->text_at_] = 'x');
    LIE(copy->total_bytes++);
    LIE(copy->magic++);
#undef LIE
    free(copy);
    free(m);
}

/* ---- the child ---- */

static struct answer *new_answer(void)
{
    struct answer *answer = mmap(NULL, sizeof *answer, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(answer != MAP_FAILED);
    return answer;
}

static int run_with(child_work *work, uint32_t time_ms, struct manifest **ret_manifest)
{
    static const struct source source = {.name = "app.toml", .dir = "/", .bin_dir = "/"};
    struct answer *answer = new_answer();
    int r = run_parser(&source, work, time_ms, answer, report);
    if (r == 0)
        r = take_answer(&source, answer, ret_manifest, report);
    assert_int_equal(munmap(answer, sizeof *answer), 0);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* nobody is left */
    assert_int_equal(errno, ECHILD);
    return r;
}

static void hang(const struct source *source, int *socket_fd, struct answer *answer)
{
    for (;;) {
        char byte;
        struct iovec in = {.iov_base = &byte, .iov_len = 1};
        struct msghdr message = {.msg_iov = &in, .msg_iovlen = 1};
        (void)recvmsg(*socket_fd, &message, 0);
    }
}

static void crash(const struct source *source, int *socket_fd, struct answer *answer)
{
    answer->result = 0;
    __builtin_trap();
}

static void lie(const struct source *source, int *socket_fd, struct answer *answer)
{
    answer->result = 0;
    answer->block_bytes = 4096;
    memset(answer->block, 0x41, 4096);
}

static void lie_about_size(const struct source *source, int *socket_fd, struct answer *answer)
{
    answer->result = 0;
    answer->block_bytes = UINT32_MAX;
}

static void babble(const struct source *source, int *socket_fd, struct answer *answer)
{
    struct iovec out = {.iov_base = answer, .iov_len = 7};
    struct msghdr message = {.msg_iov = &out, .msg_iovlen = 1};
    (void)sendmsg(*socket_fd, &message, MSG_NOSIGNAL);
}

static void paint(const struct source *source, int *socket_fd, struct answer *answer)
{
    answer->result = -EINVAL;
    memset(answer->report, 'x', sizeof answer->report); /* not ended */
    answer->report[0] = '\033';
}

static void every_bad_end_of_the_child_is_one_clear_error(void **state)
{
    struct manifest *manifest = NULL;
    assert_int_equal(run_with(hang, 100, &manifest), -ETIMEDOUT);
    assert_string_equal(report, "hostd: app.toml: the parser did not come to an end in 100 ms\n");
    void (*handler)(int) = signal(SIGILL, SIG_DFL); /* cmocka's would go on in the child */
    assert_int_equal(run_with(crash, 10000, &manifest), -EIO);
    (void)signal(SIGILL, handler);
    assert_non_null(strstr(report, "hostd: app.toml: the parser crashed (signal "));
    assert_int_equal(run_with(lie, 10000, &manifest), -EPROTO);
    assert_string_equal(report, "hostd: app.toml: the parsed list is malformed: size or kind of the block\n");
    assert_int_equal(run_with(lie_about_size, 10000, &manifest), -EPROTO);
    assert_int_equal(run_with(babble, 10000, &manifest), -EPROTO);
    assert_non_null(strstr(report, "the parser asks for nonsense"));
    assert_int_equal(run_with(paint, 10000, &manifest), -EINVAL);
    assert_int_equal(report[0], '?');
    assert_int_equal(strlen(report), MANIFEST_REPORT_BYTES - 1);
    assert_null(manifest);
}

/* Tries what a parser that was taken over would try; the result is the number of the first that succeeds. */
static void escape(const struct source *source, int *socket_fd, struct answer *answer)
{
    uint64_t bytes;
    int fd = -1, done = 0;
    if (syscall(SYS_openat, AT_FDCWD, "/etc/passwd", O_RDONLY) >= 0)
        done = 1;
    else if (syscall(SYS_socket, AF_INET, SOCK_STREAM, 0) >= 0)
        done = 2;
    else if (syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0) >= 0)
        done = 3;
    else if (syscall(SYS_execve, "/bin/true", NULL, NULL) >= 0)
        done = 4;
    else if (syscall(SYS_mmap, NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) >= 0)
        done = 5;
    else if (syscall(SYS_kill, 1, 0) >= 0)
        done = 6;
    else if (syscall(SYS_write, 0, "", 0) >= 0)
        done = 7;
    else if (ask(*socket_fd, REQUEST_MAP, "/etc/shadow", &bytes, &fd) != -EACCES || fd >= 0)
        done = 8; /* not executable: not given */
    else if (ask(*socket_fd, REQUEST_MAP, "/etc", &bytes, &fd) != -EISDIR || fd >= 0)
        done = 9;
    else if (ask(*socket_fd, REQUEST_MAP, "/dev/null", &bytes, &fd) != -EACCES || fd >= 0)
        done = 10;
    else if (ask(*socket_fd, REQUEST_PROBE, "/no/such", &bytes, &fd) != -ENOENT || fd >= 0)
        done = 11;
    else if (ask(*socket_fd, REQUEST_MAP, "/bin/sh", &bytes, &fd) != 0 || fd < 0)
        done = 12;
    answer->result = -EINVAL;
    (void)snprintf(answer->report, sizeof answer->report, "%d", done);
}

static void a_parser_that_was_taken_over_can_do_nothing(void **state)
{
    struct manifest *manifest = NULL;
    assert_int_equal(run_with(escape, 10000, &manifest), -EINVAL);
    assert_string_equal(report, "0");
}

static void write_file(const char *path, const char *text, size_t bytes, mode_t mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, bytes), (ssize_t)bytes);
    assert_int_equal(close(fd), 0);
}

/* The whole way, in a folder that only its owner may enter, with programs and files beside the list. */
static void a_list_in_a_closed_folder_is_loaded(void **state)
{
    char folder[] = "/tmp/test_manifest.XXXXXX", path[64], image[FIXTURE_ELF_BYTES];
    struct manifest *m = NULL;
    assert_non_null(mkdtemp(folder)); /* 0700 */
    size_t bytes = fixture_elf(image, "Echo.Say A B\n", NULL, false);
    (void)snprintf(path, sizeof path, "%s/program", folder);
    write_file(path, image, bytes, 0755);
    static const char text[] = "[app]\nname = \"a\"\n[service.echo]\nexec = \"./program\"\noperator = [\"Echo.Say\"]\n"
                               "files = [{ from = \"program\", to = \"/copy\" }]\n";
    (void)snprintf(path, sizeof path, "%s/app.toml", folder);
    write_file(path, text, sizeof text - 1, 0600);
    int r = manifest_load(path, &m, report);
    if (r < 0)
        fail_msg("%d: %s", r, report);
    char expected[64];
    (void)snprintf(expected, sizeof expected, "%s/program", folder);
    assert_string_equal(manifest_text(m, manifest_services(m)[0].exec), expected);
    assert_int_equal(manifest_services(m)[0].methods_count, 1);
    free(m);

    write_file(path, "[app]\nnmae = 1\n", 15, 0600);
    assert_int_equal(manifest_load(path, &m, report), -EINVAL);
    assert_non_null(strstr(report, "did you mean 'name'?"));
    assert_int_equal(unlink(path), 0);
    assert_int_equal(manifest_load(path, &m, report), -ENOENT);
    assert_int_equal(line_count(report, "\n"), 1);
    assert_int_equal(manifest_load("/dev/zero", &m, report), -EINVAL);
    assert_int_equal(manifest_load(folder, &m, report), -EINVAL);
    assert_non_null(strstr(report, "is no regular file"));
    (void)snprintf(path, sizeof path, "%s/program", folder);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(folder), 0);
}

/* ---- what the parent opens for a library closure ---- */

static void libraries_are_elf_files_that_anybody_may_read(void **state)
{
    uint64_t bytes = 0;
    FD_AUTO int fd = -1;
    assert_int_equal(open_library("/proc/self/exe", false, &bytes, &fd), 0);
    assert_true(fd >= 0 && bytes > 1000);
    fd_close(&fd);
    assert_int_equal(open_library("/etc/passwd", false, &bytes, &fd), -ENOEXEC); /* readable, and no library */
    assert_int_equal(open_library("/etc", false, &bytes, &fd), -EISDIR);
    assert_int_equal(open_library("/dev/zero", false, &bytes, &fd), -EACCES);
    assert_int_equal(open_library("/nowhere", false, &bytes, &fd), -ENOENT);
    char secret[] = "/tmp/hostd-secret-XXXXXX";
    FD_AUTO int secret_fd = mkstemp(secret); /* 0600 */
    assert_true(secret_fd >= 0 && write(secret_fd, "\177ELF", 4) == 4);
    assert_int_equal(open_library(secret, false, &bytes, &fd), -EACCES);
    assert_int_equal(open_library(secret, true, &bytes, &fd), -EACCES);
    assert_int_equal(unlink(secret), 0);
    assert_int_equal(fd, -1);
}

static void a_tree_names_its_modules(void **state)
{
    char root[] = "/tmp/hostd-tree-XXXXXX", path[64], expected[64], text[256] = {0};
    static const char *const names[] = {"a.so.1", "text", "b.node"};
    uint64_t bytes = 0;
    FD_AUTO int fd = -1;
    assert_non_null(mkdtemp(root));
    assert_int_equal(list_tree(root, &bytes, &fd), -ENOENT);
    for (size_t i = 0; i < 3; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", root, names[i]);
        FD_AUTO int file_fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
        assert_true(file_fd >= 0);
    }
    (void)snprintf(path, sizeof path, "%s/link.so", root);
    assert_int_equal(symlink("/etc/passwd", path), 0);
    assert_int_equal(list_tree(root, &bytes, &fd), 0);
    (void)snprintf(expected, sizeof expected, "%s/a.so.1", root);
    assert_int_equal(bytes, 2 * strlen(expected) + 2); /* two names of one length */
    assert_int_equal(pread(fd, text, sizeof text, 0), bytes);
    size_t first_bytes = strlen(text) + 1;
    const char *first = text, *second = text + first_bytes;
    assert_true(strcmp(first, expected) == 0 || strcmp(second, expected) == 0);
    for (size_t i = 0; i < 3; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", root, names[i]);
        assert_int_equal(unlink(path), 0);
    }
    (void)snprintf(path, sizeof path, "%s/link.so", root);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(root), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_error_has_its_words_and_place),
        cmocka_unit_test(syntax_gives_one_error),
        cmocka_unit_test(many_errors_are_cut_and_counted),
        cmocka_unit_test(long_lines_are_shown_around_the_caret),
        cmocka_unit_test(the_block_holds_the_list),
        cmocka_unit_test(a_corrupted_block_is_refused_or_harmless),
        cmocka_unit_test(a_lying_block_is_refused),
        cmocka_unit_test(every_bad_end_of_the_child_is_one_clear_error),
        cmocka_unit_test(a_parser_that_was_taken_over_can_do_nothing),
        cmocka_unit_test(a_list_in_a_closed_folder_is_loaded),
        cmocka_unit_test(libraries_are_elf_files_that_anybody_may_read),
        cmocka_unit_test(a_tree_names_its_modules),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
