/* test_plan.c - a plan's numbers: slots, ids, wires, contracts, and the three ways to print it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <jansson.h>

#include "hostd/filter.h"
#include "hostd/plan.h"
#include "rpc/base/hash.h"
#include "tests/unit/hostd_fixture.h"

static const char list[] =
    "[app]\nname = \"small\"\n"
    "[service.front]\nexec = \"front\"\n"
    "ingress = [{ name = \"http\", listen = \"127.0.0.1:8080\" }, "
    "{ name = \"admin\", listen = \"10.1.2.3:81\" }]\n"
    "[service.front.config]\nroutes = [{ to = \"bank\", deep = { yes = true } }, { to = \"echo\" }]\n"
    "number = -5\nhalf = 0.5\nempty = \"\"\n"
    "[service.bank]\nexec = \"bank\"\ndata = [\"bank\"]\nmemory = \"64M\"\nfile_size = \"2G\"\npids = 16\ncpu = 50\n"
    "operator = [\"Bank.Log\", \"Bank.Balance\"]\n"
    "[service.echo]\nexec = \"echo\"\nfiles = [{ from = \"media\", to = \"/media\" }]\n"
    "[[link]]\nfrom = \"front\"\nto = \"bank\"\nallow = [\"Bank.Open\", \"Bank.Balance\", \"Bank.Log\"]\n"
    "[[link]]\nfrom = \"front\"\nto = \"echo\"\nallow = [\"Echo.Say\"]\n"
    "[[link]]\nfrom = \"echo\"\nto = \"bank\"\nallow = [\"Bank.Transfer\"]\n";

struct made {
    struct manifest *manifest;
    struct plan *plan;
};

static char report[MANIFEST_REPORT_BYTES];

static void make(const char *text, struct made *made)
{
    struct err e = {0};
    if (fixture_parse(text, &made->manifest, report) < 0)
        fail_msg("%s", report);
    if (plan_make(made->manifest, 1u << 20, &made->plan, &e) < 0)
        fail_msg("%s", e.text);
}

static void done(struct made *made)
{
    plan_free(made->plan);
    free(made->manifest);
}

static void numbers_follow_the_list(void **state)
{
    struct made made;
    make(list, &made);
    const struct plan *plan = made.plan;
    assert_int_equal(plan->service_count, 3);
    assert_int_equal(plan->link_count, 3);
    const struct plan_service *front = &plan->services[0], *bank = &plan->services[1], *echo = &plan->services[2];
    assert_string_equal(front->manifest->name, "front");
    assert_int_equal(front->profile, PROFILE_BARE);
    assert_int_equal(bank->profile, PROFILE_DATA);
    assert_int_equal(echo->profile, PROFILE_FILES);
    assert_int_equal(front->files_max, CONTRACT_FD_COUNT);
    assert_int_equal(bank->files_max, PLAN_FILES_OPEN_MAX);
    assert_int_equal(bank->memory_bytes, 64u << 20);
    assert_int_equal(bank->file_bytes, 2ull << 30);
    assert_int_equal(front->file_bytes, 0);
    assert_int_equal(echo->file_bytes, 0);
    assert_int_equal(bank->pids, 16);
    assert_int_equal(bank->cpu_percent, 50);
    assert_int_equal(echo->memory_bytes, PLAN_MEMORY_BYTES_DEFAULT);
    assert_int_equal(echo->pids, PLAN_PIDS_DEFAULT);
    assert_int_equal(bank->uid_base, (1u << 20) + PLAN_IDS_PER_SERVICE);
    /* 2 own, two links out of 2, two ingresses of 513, 2 of the operator */
    assert_int_equal(front->slot_count, 2 + 2 * 2 + 2 * 513 + 2);
    assert_int_equal(front->ingress_slot_first, 6);
    assert_int_equal(bank->slot_count, 2 + 2 * 6 + 2);
    assert_int_equal(echo->slot_count, 2 + 6 + 2 + 2);
    done(&made);
}

/* I2: slots of a service do not overlap, and every end names its link and the reverse. */
static void slots_do_not_overlap(void **state)
{
    struct made made;
    make(list, &made);
    const struct plan *plan = made.plan;
    for (size_t s = 0; s < plan->service_count; s++) {
        const struct plan_service *service = &plan->services[s];
        uint32_t next = CONTRACT_SLOT_FIRST;
        for (uint32_t i = 0; i < service->link_count; i++) {
            const struct plan_end *end = &plan->service_links[service->link_first + i];
            const struct plan_link *link = &plan->links[end->link];
            assert_int_equal(end->slot_first, next);
            next += end->slot_count;
            assert_int_equal(end->slot_count, end->direction == LINK_IN ? 6 : 2);
            assert_int_equal(end->direction == LINK_OUT ? link->from : link->to, s);
            assert_int_equal(end->direction == LINK_OUT ? link->from_end : link->to_end, i);
        }
        assert_int_equal(service->ingress_slot_first, next);
        assert_int_equal(service->operator_slot_first,
                         next + service->manifest->ingress_count * service->ingress_slots);
        assert_int_equal(service->slot_count, service->operator_slot_first + PLAN_OPERATOR_CONNECTIONS);
    }
    done(&made);
}

static void names_and_addresses_of_wires(void **state)
{
    char name[PLAN_IFNAME_BYTES];
    plan_ifname(name, LINK_OUT, 12);
    assert_string_equal(name, "to12");
    plan_ifname(name, LINK_IN, UINT32_MAX);
    assert_string_equal(name, "from4294967295");
    assert_int_equal(plan_address(LINK_OUT, 0), 0x0A000000);
    assert_int_equal(plan_address(LINK_IN, 0), 0x0A000001);
    assert_int_equal(plan_address(LINK_IN, PLAN_NETWORK_PAIRS_MAX - 1), 0x0AFFFFFF);
    assert_int_equal(plan_address(LINK_OUT, PLAN_NETWORK_PAIRS_MAX), 0x0A000000);
}

static const char *config_of(const struct contract *c, const char *key, uint32_t *ret_type)
{
    const char *block = (const char *)c;
    const struct contract_config *config = (const void *)(block + c->config_at);
    for (uint32_t i = 0; i < c->config_count; i++)
        if (strcmp(block + c->strings_at + config[i].key_at, key) == 0) {
            *ret_type = config[i].type;
            return block + c->strings_at + config[i].value_at;
        }
    return NULL;
}

static void the_contract_holds_links_methods_and_operator(void **state)
{
    struct made made;
    struct contract *c = NULL;
    struct err e;
    make(list, &made);
    assert_int_equal(plan_contract(made.plan, 1, 7, &c, &e), 0);
    assert_int_equal(c->magic, CONTRACT_MAGIC);
    assert_int_equal(c->version, CONTRACT_VERSION);
    assert_int_equal(c->flags, CONTRACT_SEALED);
    assert_int_equal(c->generation, 7);
    assert_string_equal(c->app, "small");
    assert_string_equal(c->service, "bank");
    assert_int_equal(c->link_count, 2);
    assert_int_equal(c->total_bytes, c->strings_at + c->strings_bytes);
    const struct contract_link *links = (const void *)((const char *)c + c->links_at);
    const struct contract_method *methods = (const void *)((const char *)c + c->methods_at);
    assert_string_equal(links[0].peer, "front");
    assert_string_equal(links[1].peer, "echo");
    assert_int_equal(links[0].direction, LINK_IN);
    assert_int_equal(links[0].peer_generation, 1);
    assert_int_equal(links[0].is_wired, 1);
    assert_int_equal(links[0].slot_first, CONTRACT_SLOT_FIRST);
    assert_int_equal(links[0].toml_line, 22);
    assert_int_equal(links[0].method_count, 3);
    assert_int_equal(links[1].method_first, 3);
    assert_int_equal(c->operator_first, 4);
    assert_int_equal(c->operator_count, 2);
    assert_int_equal(c->method_count, 6);
    for (uint32_t i = 0; i < c->method_count; i++)
        assert_int_equal(methods[i].id, method_id(methods[i].name));
    assert_true(methods[0].id < methods[1].id && methods[1].id < methods[2].id && methods[4].id < methods[5].id);
    free(c);
    done(&made);
}

static void the_contract_holds_ingress_and_configuration(void **state)
{
    struct made made;
    struct contract *c = NULL;
    struct err e;
    uint32_t type = 99;
    make(list, &made);
    assert_int_equal(plan_contract(made.plan, 0, 1, &c, &e), 0);
    const struct contract_ingress *ingresses = (const void *)((const char *)c + c->ingresses_at);
    assert_int_equal(c->ingress_count, 2);
    assert_string_equal(ingresses[1].name, "admin");
    assert_int_equal(ingresses[1].slot_first, ingresses[0].slot_first + ingresses[0].slot_count);
    assert_int_equal(c->config_count, 6);
    assert_string_equal(config_of(c, "routes.0.to", &type), "bank");
    assert_int_equal(type, CONFIG_STRING);
    assert_string_equal(config_of(c, "routes.0.deep.yes", &type), "true");
    assert_int_equal(type, CONFIG_BOOL);
    assert_string_equal(config_of(c, "routes.1.to", &type), "echo");
    assert_string_equal(config_of(c, "number", &type), "-5");
    assert_int_equal(type, CONFIG_INT);
    assert_string_equal(config_of(c, "half", &type), "0.5");
    assert_int_equal(type, CONFIG_FLOAT);
    assert_string_equal(config_of(c, "empty", &type), "");
    free(c);
    done(&made);
}

/* I1 */
static void the_same_list_gives_the_same_plan(void **state)
{
    struct made one, other;
    make(list, &one);
    make(list, &other);
    struct err e;
    for (uint32_t i = 0; i < one.plan->service_count; i++) {
        struct contract *a = NULL, *b = NULL;
        assert_int_equal(plan_contract(one.plan, i, 1, &a, &e), 0);
        assert_int_equal(plan_contract(other.plan, i, 1, &b, &e), 0);
        assert_int_equal(a->total_bytes, b->total_bytes);
        assert_memory_equal(a, b, a->total_bytes);
        free(a);
        free(b);
    }
    done(&one);
    done(&other);
}

/* A list of one callee and `count` callers of it. */
static char *crowd(unsigned count, const char *more)
{
    size_t bytes = 256 + count * 128u + strlen(more), used = 0;
    char *text = malloc(bytes);
    assert_non_null(text);
    used += (size_t)snprintf(text + used, bytes - used,
                             "[app]\nname = \"crowd\"\n[service.bank]\nexec = \"bank\"\n%s\n", more);
    for (unsigned i = 0; i < count; i++)
        used += (size_t)snprintf(
            text + used, bytes - used,
            "[service.s%u]\nexec=\"front\"\n[[link]]\nfrom=\"s%u\"\nto=\"bank\"\nallow=[\"Bank.Log\"]\n", i, i);
    return text;
}

static void what_a_ring_cannot_number_is_refused(void **state)
{
    struct manifest *manifest = NULL;
    struct plan *plan = NULL;
    struct err e;
    static const char four[] = "ingress = [{name=\"a\",listen=\"127.0.0.1:1\"},{name=\"b\",listen=\"127.0.0.1:2\"},"
                               "{name=\"c\",listen=\"127.0.0.1:3\"},{name=\"d\",listen=\"127.0.0.1:4\"}]";
    struct made made;
    char *text = crowd(256, four);
    make(text, &made); /* 2 + 256 * 6 + 4 * 513 + 2 = 3592: the most that a list may ask for */
    assert_int_equal(made.plan->services[0].slot_count, 3592);
    assert_true(made.plan->services[0].slot_count <= PLAN_SLOTS_MAX);
    done(&made);
    free(text);
    text = crowd(257, "");
    assert_int_equal(fixture_parse(text, &manifest, report), -EINVAL);
    assert_non_null(strstr(report, "more than 256 links"));
    free(text);

    assert_int_equal(fixture_parse(list, &manifest, report), 0);
    assert_int_equal(plan_make(manifest, UINT32_MAX - PLAN_IDS_PER_SERVICE, &plan, &e), -EOVERFLOW);
    assert_null(plan);
    free(manifest);
}

static char *print(const struct plan *plan, int (*how)(const struct plan *, FILE *))
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    assert_non_null(out);
    assert_int_equal(how(plan, out), 0);
    assert_int_equal(fclose(out), 0);
    return text;
}

static void json_is_json_and_complete(void **state)
{
    struct made made;
    json_error_t error;
    make(list, &made);
    char *text = print(made.plan, plan_print_json);
    json_t *root = json_loads(text, JSON_REJECT_DUPLICATES, &error);
    if (!root)
        fail_msg("%s", error.text);
    assert_string_equal(json_string_value(json_object_get(root, "app")), "small");
    json_t *services = json_object_get(root, "services"), *links = json_object_get(root, "links");
    assert_int_equal(json_array_size(services), 3);
    assert_int_equal(json_array_size(links), 3);
    json_t *front = json_array_get(services, 0);
    assert_int_equal(json_array_size(json_object_get(front, "system_calls")), 12);
    assert_int_equal(json_array_size(json_object_get(front, "ingress")), 2);
    assert_int_equal(json_array_size(json_object_get(front, "config")), 6);
    json_t *link = json_array_get(links, 2), *caller = json_object_get(link, "caller");
    assert_string_equal(json_string_value(json_object_get(link, "from")), "echo");
    assert_string_equal(json_string_value(json_object_get(link, "to")), "bank");
    assert_string_equal(json_string_value(json_object_get(caller, "interface")), "to2");
    assert_string_equal(json_string_value(json_object_get(caller, "address")), "10.0.0.4");
    assert_int_equal(json_integer_value(json_object_get(link, "port")), PLAN_LINK_PORT);
    assert_int_equal(json_integer_value(json_object_get(link, "line")), 30);
    json_decref(root);
    free(text);
    done(&made);
}

static void text_and_dot_name_everything(void **state)
{
    struct made made;
    make(list, &made);
    char *text = print(made.plan, plan_print_text);
    assert_non_null(strstr(text, "application small: 3 services, 3 links\n"));
    assert_non_null(
        strstr(text, "link echo -> bank  (line 30)\n  to2 10.0.0.4 -> from2 10.0.0.5:7000\n  allows Bank.Transfer\n"));
    assert_non_null(strstr(text, "  ingress admin on 10.1.2.3:81\n"));
    assert_non_null(strstr(text, "memory 64M, files up to 2G, 16 processes"));
    assert_non_null(strstr(text, "no files to write"));
    assert_non_null(strstr(text, "  file    /media from /srv/app/media\n"));
    free(text);
    text = print(made.plan, plan_print_dot);
    assert_int_equal(strncmp(text, "digraph \"small\" {\n", 18), 0);
    assert_non_null(strstr(text, "\"front\" -> \"bank\" [label=\"Bank.Open\\nBank.Balance\\nBank.Log\"];\n"));
    assert_non_null(strstr(text, "\"data:bank\""));
    assert_non_null(strstr(text, "\"ingress:http\" -> \"front\";\n"));
    free(text);
    done(&made);
}

static void a_full_disk_is_an_error(void **state)
{
    struct made made;
    make(list, &made);
    FILE *full = fopen("/dev/full", "w");
    assert_non_null(full);
    (void)setvbuf(full, NULL, _IONBF, 0);
    assert_int_equal(plan_print_text(made.plan, full), -EIO);
    assert_int_equal(plan_print_json(made.plan, full), -EIO);
    assert_int_equal(plan_print_dot(made.plan, full), -EIO);
    (void)fclose(full);
    done(&made);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_follow_the_list),
        cmocka_unit_test(slots_do_not_overlap),
        cmocka_unit_test(names_and_addresses_of_wires),
        cmocka_unit_test(the_contract_holds_links_methods_and_operator),
        cmocka_unit_test(the_contract_holds_ingress_and_configuration),
        cmocka_unit_test(the_same_list_gives_the_same_plan),
        cmocka_unit_test(what_a_ring_cannot_number_is_refused),
        cmocka_unit_test(json_is_json_and_complete),
        cmocka_unit_test(text_and_dot_name_everything),
        cmocka_unit_test(a_full_disk_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
