/*
 * test_process_list.c - process services in a list: every error with its words and place, the block and the plan that
 * come out, and a block that lies.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "hostd/plan.h"
#include "tests/unit/hostd_fixture.h"

static char report[MANIFEST_REPORT_BYTES];

#define APP "[app]\nname = \"a\"\n"                                           /* lines 1 and 2 */
#define TOOL "[service.tool]\nkind = \"process\"\nexec = \"/usr/bin/tool\"\n" /* lines 3 to 5 */
#define JOB "[service.job]\nexec = \"/usr/bin/static\"\nkind = \"process\"\n"
#define BANK "[service.bank]\nexec = \"bank\"\n"
#define LINK "[[link]]\nfrom = \"job\"\nto = \"tool\"\n"

static const struct {
    const char *text, *report;
} wrongs[] = {
    /* kind */
    {APP "[service.tool]\nkind = \"proces\"\nexec = \"bank\"\n",
     "app.toml:4:8: no kind 'proces'; did you mean 'process'?\n    kind = \"proces\"\n           ^\n"},
    {APP "[service.tool]\nkind = \"other\"\nexec = \"bank\"\n",
     "app.toml:4:8: no kind 'other': there are sealed and process\n    kind = \"other\"\n           ^\n"},
    /* what only one of the two has */
    {APP BANK "args = [\"x\"]\n", "app.toml:5:1: 'args' is a key of process services: this one would need kind = "
                                  "\"process\"\n    args = [\"x\"]\n    ^\n"},
    {APP BANK "env = {}\n", "app.toml:5:1: 'env' is a key of process services: this one would need kind = "
                            "\"process\"\n    env = {}\n    ^\n"},
    {APP BANK "paths = []\n", "app.toml:5:1: 'paths' is a key of process services: this one would need kind = "
                              "\"process\"\n    paths = []\n    ^\n"},
    {APP BANK "ready = \"notify\"\n", "app.toml:5:1: 'ready' is a key of process services: this one would need kind = "
                                      "\"process\"\n    ready = \"notify\"\n    ^\n"},
    {APP BANK "proc = true\n", "app.toml:5:1: 'proc' is a key of process services: this one would need kind = "
                               "\"process\"\n    proc = true\n    ^\n"},
    {APP TOOL "ingress = [{ name = \"h\", listen = \"1.2.3.4:80\" }]\n",
     "app.toml:6:1: a process service cannot have an 'ingress': it could turn a listener of the host into a "
     "connection; "
     "put a sealed service in front of it\n    ingress = [{ name = \"h\", listen = \"1.2.3.4:80\" }]\n    ^\n"},
    {APP TOOL "operator = [\"A.B\"]\n",
     "app.toml:6:1: a process service has no 'operator': it serves no methods that could be called\n"
     "    operator = [\"A.B\"]\n    ^\n"},
    {APP TOOL "config = { a = 1 }\n", "app.toml:6:1: a process service has no 'config': hand it 'args', 'env' or "
                                      "'files'\n    config = { a = 1 }\n    ^\n"},
    /* the program */
    {APP "[service.tool]\nkind = \"process\"\nexec = \"bank\"\n",
     "app.toml:5:8: 'exec' of a process service is the absolute path of a program, at most 127 bytes, not below /dev, "
     "/proc, /sys or /tmp\n    exec = \"bank\"\n           ^\n"},
    {APP "[service.tool]\nkind = \"process\"\nexec = \"/usr/bin/none\"\n",
     "app.toml:5:8: there is no program '/usr/bin/none'\n    exec = \"/usr/bin/none\"\n           ^\n"},
    {APP "[service.tool]\nkind = \"process\"\nexec = \"/usr/lib/libc.so.6\"\n",
     "app.toml:5:8: '/usr/lib/libc.so.6' may not be executed\n    exec = \"/usr/lib/libc.so.6\"\n           ^\n"},
    {APP "[service.tool]\nkind = \"process\"\nexec = \"/usr/bin/script\"\n",
     "app.toml:5:8: '/usr/bin/script' is a script: name its interpreter in 'exec', itself in 'args' and 'paths'\n"
     "    exec = \"/usr/bin/script\"\n           ^\n"},
    {APP "[service.tool]\nkind = \"process\"\nexec = \"/usr/bin/torn\"\n",
     "app.toml:5:8: '/usr/bin/torn' needs the library 'libgone.so', which is not to be found\n"
     "    exec = \"/usr/bin/torn\"\n           ^\n"},
    /* words */
    {APP TOOL "args = [1]\n",
     "app.toml:6:9: 'args' is a list of texts; this is a whole number\n    args = [1]\n            ^\n"},
    {APP TOOL "env = { A = 1 }\n",
     "app.toml:6:13: 'env' is a list of texts; this is a whole number\n    env = { A = 1 }\n                ^\n"},
    {APP TOOL "env = { \"A B\" = \"\" }\n",
     "app.toml:6:9: 'A B' is no variable of an environment that can be set: letters, digits and _, and not "
     "NOTIFY_SOCKET\n    env = { \"A B\" = \"\" }\n            ^\n"},
    {APP TOOL "env = { NOTIFY_SOCKET = \"\" }\n",
     "app.toml:6:9: 'NOTIFY_SOCKET' is no variable of an environment that can be set: letters, digits and _, and not "
     "NOTIFY_SOCKET\n    env = { NOTIFY_SOCKET = \"\" }\n            ^\n"},
    {APP TOOL "ready = \"soon\"\n",
     "app.toml:6:9: no ready 'soon': there are started and notify\n    ready = \"soon\"\n            ^\n"},
    /* paths */
    {APP TOOL "paths = [\"media\"]\n",
     "app.toml:6:10: a path is absolute, without '.', '..' or '//', at most 127 bytes\n    paths = [\"media\"]\n"
     "             ^\n"},
    {APP TOOL "paths = [\"/etc\"]\n",
     "app.toml:6:10: '/etc' cannot be taken from the host: the root has its own\n    paths = [\"/etc\"]\n"
     "             ^\n"},
    {APP TOOL "paths = [\"/none\"]\n", "app.toml:6:10: there is no '/none'\n    paths = [\"/none\"]\n             ^\n"},
    {APP TOOL "paths = [\"/usr/lib/tool\", \"/usr/lib/tool/module.so\"]\n",
     "app.toml:6:27: '/usr/lib/tool/module.so' and '/usr/lib/tool' hide each other\n"
     "    paths = [\"/usr/lib/tool\", \"/usr/lib/tool/module.so\"]\n                              ^\n"},
    {APP TOOL "paths = [\"/usr/lib/tool/broken.so\"]\n",
     "app.toml:6:10: '/usr/lib/tool/broken.so' needs the library 'libgone.so', which is not to be found\n"
     "    paths = [\"/usr/lib/tool/broken.so\"]\n             ^\n"},
    {APP TOOL "files = [{ from = \"media\", to = \"/etc/hosts\" }]\n",
     "app.toml:6:33: nothing can be put at '/etc/hosts': it is the root's own\n"
     "    files = [{ from = \"media\", to = \"/etc/hosts\" }]\n                                    ^\n"},
    {APP TOOL "files = [{ from = \"media\", to = \"/usr/lib\" }]\n",
     "app.toml:5:8: '/usr/lib/libc.so.6' and the file '/usr/lib' hide each other\n"
     "    exec = \"/usr/bin/tool\"\n           ^\n"
     "app.toml:5:8: '/usr/lib/libtool.so' and the file '/usr/lib' hide each other\n"
     "    exec = \"/usr/bin/tool\"\n           ^\n"},
    /* links */
    {APP TOOL JOB LINK, "app.toml:9:1: this link has no 'port': the TCP port that process 'tool' listens on\n"
                        "    [[link]]\n    ^\n"},
    {APP TOOL JOB LINK "port = 0\n", "app.toml:12:8: 'port' is between 1 and 65535\n    port = 0\n           ^\n"},
    {APP TOOL JOB LINK "port = 65536\n",
     "app.toml:12:8: 'port' is between 1 and 65535\n    port = 65536\n           ^\n"},
    {APP TOOL JOB LINK "port = 80\nallow = []\n",
     "app.toml:13:1: 'allow' is for links to sealed services: 'tool' is a process, name its 'port'\n    allow = []\n"
     "    ^\n"},
    {APP TOOL BANK "[[link]]\nfrom = \"bank\"\nto = \"tool\"\nport = 80\n",
     "app.toml:9:8: 'bank' is sealed: it speaks to sealed services only, and 'tool' is a process\n"
     "    from = \"bank\"\n           ^\n"},
    {APP TOOL BANK "[[link]]\nfrom = \"tool\"\nto = \"bank\"\nallow = []\nport = 80\n",
     "app.toml:12:1: 'port' is for links to process services: 'bank' is sealed, hostd chooses its port\n"
     "    port = 80\n    ^\n"},
};

static void every_error_has_its_words_and_place(void **state)
{
    for (size_t i = 0; i < sizeof wrongs / sizeof wrongs[0]; i++) {
        struct manifest *manifest = NULL;
        int r = fixture_parse(wrongs[i].text, &manifest, report);
        if (r != -EINVAL || manifest)
            fail_msg("accepted (%d):\n%s", r, wrongs[i].text);
        if (strcmp(report, wrongs[i].report) != 0)
            fail_msg("of\n%s\nexpected:\n%s\nreported:\n%s", wrongs[i].text, wrongs[i].report, report);
    }
}

static const char whole[] = APP TOOL
    "args = [\"-v\", \"\"]\nenv = { A = \"b=c\", E = \"\" }\npaths = [\"/usr/lib/tool\", \"/usr/share/text\"]\n"
    "ready = \"notify\"\nproc = true\ndata = [\"d\"]\nfiles = [{ from = \"media\", to = \"/media\" }]\n" JOB BANK LINK
    "port = 6379\n[[link]]\nfrom = \"tool\"\nto = \"bank\"\nallow = [\"Bank.Log\"]\n";

static struct manifest *parse(const char *text)
{
    struct manifest *manifest = NULL;
    if (fixture_parse(text, &manifest, report) < 0)
        fail_msg("%s", report);
    return manifest;
}

static const char *word(const struct manifest *m, const struct manifest_service *s, uint32_t i)
{
    return manifest_text(m, manifest_words(m)[s->words_first + i].text);
}

static void the_block_holds_the_list(void **state)
{
    struct manifest *m = parse(whole);
    struct err e = {0};
    if (manifest_verify(m, m->total_bytes, &e) < 0)
        fail_msg("%s", e.text);
    const struct manifest_service *tool = &manifest_services(m)[0], *job = tool + 1, *bank = tool + 2;
    assert_int_equal(tool->kind, KIND_PROCESS);
    assert_int_equal(job->kind, KIND_PROCESS);
    assert_int_equal(bank->kind, KIND_SEALED);
    assert_string_equal(manifest_text(m, tool->exec), "/usr/bin/tool");
    assert_int_equal(tool->ready, READY_NOTIFY);
    assert_int_equal(job->ready, READY_STARTED);
    assert_int_equal(tool->has_proc, 1);
    assert_int_equal(tool->args_count, 2);
    assert_int_equal(tool->env_count, 3);
    static const char *const words[] = {"-v", "", "A=b=c", "E=", "LD_ORIGIN_PATH=/usr/bin"};
    for (uint32_t i = 0; i < 5; i++)
        assert_string_equal(word(m, tool, i), words[i]);
    /* Paths as they are named, then what they and the program need; what lies below a path is not there twice. */
    static const struct {
        const char *path;
        enum manifest_mount_kind kind;
    } mounts[] = {{"/usr/lib/tool", MOUNT_PATH},         {"/usr/share/text", MOUNT_PATH},
                  {"/lib64/ld.so", MOUNT_INTERPRETER},   {"/usr/lib/libtool.so", MOUNT_LIBRARY},
                  {"/usr/lib/libc.so.6", MOUNT_LIBRARY}, {"/usr/lib/libmodule.so", MOUNT_LIBRARY}};
    assert_int_equal(tool->mounts_count, sizeof mounts / sizeof mounts[0]);
    for (uint32_t i = 0; i < tool->mounts_count; i++) {
        const struct manifest_mount *mount = &manifest_mounts(m)[tool->mounts_first + i];
        assert_string_equal(manifest_text(m, mount->path), mounts[i].path);
        assert_int_equal(mount->kind, mounts[i].kind);
    }
    assert_int_equal(job->mounts_count, 0);
    assert_int_equal(manifest_links(m)[0].port, 6379);
    assert_int_equal(manifest_links(m)[1].port, 0);
    free(m);
}

static void libraries_below_a_path_are_the_paths(void **state)
{
    struct manifest *m = parse(APP TOOL "paths = [\"/usr/lib\"]\n");
    const struct manifest_service *tool = &manifest_services(m)[0];
    assert_int_equal(tool->mounts_count, 2);
    assert_string_equal(manifest_text(m, manifest_mounts(m)[1].path), "/lib64/ld.so");
    free(m);
    m = parse(APP TOOL "paths = [\"/usr\", \"/lib64\"]\n"); /* the program too, and its interpreter is known */
    tool = &manifest_services(m)[0];
    assert_int_equal(tool->mounts_count, 3);
    assert_int_equal(manifest_mounts(m)[2].kind, MOUNT_INTERPRETER);
    free(m);
}

static void the_plan_of_a_process(void **state)
{
    struct manifest *m = parse(whole);
    struct plan *plan = NULL;
    struct err e = {0};
    if (plan_make(m, 1u << 20, &plan, &e) < 0)
        fail_msg("%s", e.text);
    const struct plan_service *tool = &plan->services[0], *bank = &plan->services[2];
    assert_int_equal(tool->profile, PROFILE_PROCESS);
    assert_string_equal(plan_profile_name(tool->profile), "process");
    assert_int_equal(tool->slot_count, 0);
    assert_int_equal(tool->ring_entries, 0);
    assert_int_equal(tool->files_max, PLAN_FILES_OPEN_PROCESS_MAX);
    assert_true(bank->slot_count > 0);
    assert_int_equal(plan->links[0].port, 6379);
    assert_int_equal(plan->links[1].port, PLAN_LINK_PORT);
    struct contract *contract = NULL;
    assert_int_equal(plan_contract(plan, 0, 1, &contract, &e), 0); /* PID 1's own knowledge of the links */
    assert_int_equal(contract->link_count, 2);
    free(contract);
    plan_free(plan);
    free(m);
}

/* What the parser would have refused is refused in its block as well. */
static void a_lying_block_is_refused(void **state)
{
    struct manifest *m = parse(whole);
    const uint32_t bytes = m->total_bytes;
    struct manifest *copy = malloc(bytes);
    assert_non_null(copy);
    struct manifest_service *s = (void *)((char *)copy + m->services_at);
    struct manifest_link *links = (void *)((char *)copy + m->links_at);
    struct manifest_word *words = (void *)((char *)copy + m->words_at);
    struct manifest_mount *mounts = (void *)((char *)copy + m->mounts_at);
    char *text = (char *)copy + m->text_at_;
    struct err e;
#define LIE(...)                                                                                                       \
    memcpy(copy, m, bytes);                                                                                            \
    assert_int_equal(manifest_verify(copy, bytes, &e), 0);                                                             \
    __VA_ARGS__;                                                                                                       \
    assert_int_equal(manifest_verify(copy, bytes, &e), -EINVAL)

    LIE(s[0].kind = KIND_SEALED);
    LIE(s[0].kind = KIND_COUNT);
    LIE(s[2].kind = KIND_PROCESS);
    LIE(s[0].ready = READY_COUNT);
    LIE(s[0].has_proc = 2);
    LIE(s[2].args_count = 1);
    LIE(s[2].env_count = 1);
    LIE(s[2].mounts_count = 1);
    LIE(s[2].ready = READY_NOTIFY);
    LIE(s[2].has_proc = 1);
    LIE(s[0].methods_first = s[2].methods_first; s[0].methods_count = 1);
    LIE(s[0].exec = words[s[0].words_first].text); /* "-v" */
    LIE(s[0].args_count = 129);
    LIE(s[0].args_count = 1); /* "" would be a variable */
    LIE(s[0].words_first = UINT32_MAX);
    LIE(words[s[0].words_first].text = m->text_bytes);
    LIE(text[words[s[0].words_first + 2].text] = '='); /* a variable without a name */
    LIE(text[words[s[0].words_first + 2].text] = '1'); /* of a digit */
    LIE(s[0].mounts_count = 161);
    LIE(s[0].mounts_first = m->mount_count);
    LIE(mounts[0].kind = MOUNT_KIND_COUNT);
    LIE(mounts[0].path = m->text_bytes);
    LIE(mounts[0].path = 0);
    LIE(mounts[1].path = mounts[0].path);
    LIE(memcpy(text + mounts[0].path, "/proc/x", 8));
    LIE(memcpy(text + mounts[0].path, "/etc/hosts", 11));
    LIE(memcpy(text + mounts[0].path, "/media/x", 9)); /* below a file of the list */
    LIE(memcpy(text + mounts[0].path, "/d", 3));       /* a data directory */
    LIE(memcpy(text + s[0].exec, "/tmp/tool", 10));
    LIE(links[0].port = 0);
    LIE(links[0].port = 65536);
    LIE(links[1].port = 80);
    LIE(links[0].allow_first = 0; links[0].allow_count = 1);
    LIE(links[0].from = 2); /* sealed */
#undef LIE
    free(copy);
    free(m);
}

/* Makes and prints the plan of a block that was accepted: the sanitizers watch. */
static void use(const struct manifest *m)
{
    struct plan *plan = NULL;
    struct err e;
    if (plan_make(m, 65536, &plan, &e) < 0)
        return;
    FILE *out = fopen("/dev/null", "w");
    assert_non_null(out);
    (void)plan_print_text(plan, out);
    (void)plan_print_dot(plan, out);
    (void)plan_print_json(plan, out);
    (void)fclose(out);
    plan_free(plan);
}

static void a_corrupted_block_is_refused_or_harmless(void **state)
{
    static const uint32_t flips[] = {UINT32_MAX, 1, 0x80000000u, 0x20202020u, 0x00010000u};
    struct manifest *m = parse(whole);
    const uint32_t bytes = m->total_bytes;
    char *copy = malloc(bytes);
    assert_non_null(copy);
    for (uint32_t at = 0; at + 4 <= bytes; at += 4)
        for (size_t flip = 0; flip < sizeof flips / sizeof flips[0]; flip++) {
            uint32_t number;
            struct err e;
            memcpy(copy, m, bytes);
            memcpy(&number, copy + at, sizeof number);
            number ^= flips[flip];
            memcpy(copy + at, &number, sizeof number);
            if (manifest_verify((struct manifest *)(void *)copy, bytes, &e) == 0)
                use((struct manifest *)(void *)copy);
        }
    free(copy);
    free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_error_has_its_words_and_place),
        cmocka_unit_test(the_block_holds_the_list),
        cmocka_unit_test(libraries_below_a_path_are_the_paths),
        cmocka_unit_test(the_plan_of_a_process),
        cmocka_unit_test(a_lying_block_is_refused),
        cmocka_unit_test(a_corrupted_block_is_refused_or_harmless),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
