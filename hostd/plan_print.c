/*
 * plan_print.c - a plan for people (a table), for programs (JSON) and for graphviz (dot).  Pure but for the FILE.
 *
 * Callers: `hostd plan`; tests.  Every text printed is a checked name or path of the manifest: no escaping is needed
 * but what JSON asks for and quotes in dot labels.
 */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdbool.h>

#include "hostd/filter.h"
#include "hostd/plan.h"
#include "rpc/base/hash.h"
#include "rpc/base/own.h"

#define ADDRESS_BYTES 16 /* INET_ADDRSTRLEN */

static const char *address_text(uint32_t address, char text[ADDRESS_BYTES])
{
    (void)snprintf(text, ADDRESS_BYTES, "%u.%u.%u.%u", address >> 24, address >> 16 & 0xFF, address >> 8 & 0xFF,
                   address & 0xFF);
    return text;
}

static uint32_t call_count(enum plan_profile profile)
{
    uint32_t count = 0;
    while (filter_service_name(profile, count))
        count++;
    return count;
}

static int done(FILE *out)
{
    return ferror(out) ? -EIO : 0;
}

/* ---- text ---- */

static void print_size(FILE *out, uint64_t bytes)
{
    static const char units[] = {'K', 'M', 'G'};
    int unit = 0;
    bytes >>= 10;
    for (; unit < 2 && bytes % 1024 == 0 && bytes > 0; unit++)
        bytes >>= 10;
    (void)fprintf(out, "%" PRIu64 "%c", bytes, units[unit]);
}

static void print_methods(FILE *out, const struct manifest *m, uint32_t first, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        (void)fprintf(out, "%s%s", i ? " " : "", manifest_methods(m)[first + i].name);
    (void)fputs(count ? "\n" : "nothing\n", out);
}

/* Words of a process are the user's: control characters in them are not for a terminal. */
static void print_word(const char *word, FILE *out)
{
    (void)fputc(' ', out);
    for (; *word; word++)
        (void)fputc((unsigned char)*word < 0x20 || *word == 0x7F ? '?' : *word, out);
}

static void print_process(const struct manifest *m, const struct manifest_service *s, FILE *out)
{
    static const char *const kinds[] = {
        [MOUNT_PATH] = "path   ", [MOUNT_LIBRARY] = "library", [MOUNT_INTERPRETER] = "loader "};
    _Static_assert(ARRAY_COUNT(kinds) == MOUNT_KIND_COUNT, "a word for every kind");
    (void)fprintf(out, "  ready   when it %s%s\n", s->ready == READY_NOTIFY ? "says so (sd_notify)" : "was started",
                  s->has_proc ? "; has a /proc" : "");
    if (s->args_count)
        (void)fputs("  args   ", out);
    for (uint32_t i = 0; i < s->args_count; i++)
        print_word(manifest_text(m, manifest_words(m)[s->words_first + i].text), out);
    (void)fputs(s->args_count ? "\n" : "", out);
    for (uint32_t i = 0; i < s->env_count; i++) {
        (void)fputs("  env    ", out);
        print_word(manifest_text(m, manifest_words(m)[s->words_first + s->args_count + i].text), out);
        (void)fputc('\n', out);
    }
    for (uint32_t i = 0; i < s->mounts_count; i++) {
        const struct manifest_mount *mount = &manifest_mounts(m)[s->mounts_first + i];
        (void)fprintf(out, "  %s %s\n", kinds[mount->kind], manifest_text(m, mount->path));
    }
}

static void print_service(const struct plan *plan, const struct plan_service *s, FILE *out)
{
    const struct manifest *m = plan->manifest;
    bool is_process = s->manifest->kind == KIND_PROCESS;
    (void)fprintf(out, "%s %s  (%s)\n", is_process ? "process" : "service", s->manifest->name,
                  manifest_text(m, s->manifest->exec));
    (void)fprintf(out, "  ids %u..%u, runs as %u; memory ", s->uid_base, s->uid_base + PLAN_IDS_PER_SERVICE - 1,
                  s->uid_base + PLAN_SERVICE_UID);
    print_size(out, s->memory_bytes);
    (void)fputs(s->file_bytes ? ", files up to " : ", no files to write", out);
    if (s->file_bytes)
        print_size(out, s->file_bytes);
    (void)fprintf(out, ", %u processes", s->pids);
    if (s->cpu_percent)
        (void)fprintf(out, ", %u%% of a CPU", s->cpu_percent);
    (void)fprintf(out, "\n  ready within %u ms, stops within %u ms", s->ready_ms, s->stop_ms);
    if (s->watchdog_ms)
        (void)fprintf(out, ", ended when its ring does not turn for %u ms", s->watchdog_ms);
    (void)fprintf(out, "\n  profile %s: %u system calls; %u descriptors, %u ring slots\n",
                  plan_profile_name(s->profile), call_count(s->profile), s->files_max, s->slot_count);
    if (is_process)
        print_process(m, s->manifest, out);
    for (uint32_t i = 0; i < s->manifest->data_count; i++) {
        const char *name = manifest_data(m)[s->manifest->data_first + i];
        (void)fprintf(out, "  data    /%s\n", name);
    }
    for (uint32_t i = 0; i < s->manifest->files_count; i++) {
        const struct manifest_file *file = &manifest_files(m)[s->manifest->files_first + i];
        (void)fprintf(out, "  file    %s from %s\n", manifest_text(m, file->to), manifest_text(m, file->from));
    }
    for (uint32_t i = 0; i < s->manifest->ingress_count; i++) {
        const struct manifest_ingress *ingress = &manifest_ingresses(m)[s->manifest->ingress_first + i];
        char address[ADDRESS_BYTES];
        (void)fprintf(out, "  ingress %s on %s:%u\n", ingress->name, address_text(ingress->address, address),
                      ingress->port);
    }
    if (s->manifest->operator_count) {
        (void)fputs("  operator may call ", out);
        print_methods(out, m, s->manifest->operator_first, s->manifest->operator_count);
    }
}

int plan_print_text(const struct plan *plan, FILE *out)
{
    const struct manifest *m = plan->manifest;
    (void)fprintf(out, "application %s: %zu service%s, %zu link%s\n\n", m->app, plan->service_count,
                  plural(plan->service_count), plan->link_count, plural(plan->link_count));
    for (size_t i = 0; i < plan->service_count; i++)
        print_service(plan, &plan->services[i], out);
    if (plan->link_count)
        (void)fputc('\n', out);
    for (uint32_t i = 0; i < plan->link_count; i++) {
        const struct plan_link *link = &plan->links[i];
        char from[ADDRESS_BYTES], to[ADDRESS_BYTES], to_name[PLAN_IFNAME_BYTES], from_name[PLAN_IFNAME_BYTES];
        plan_ifname(to_name, LINK_OUT, i);
        plan_ifname(from_name, LINK_IN, i);
        (void)fprintf(out, "link %s -> %s  (line %u)\n  %s %s -> %s %s:%u\n", plan->services[link->from].manifest->name,
                      plan->services[link->to].manifest->name, link->manifest->line, to_name,
                      address_text(plan_address(LINK_OUT, i), from), from_name,
                      address_text(plan_address(LINK_IN, i), to), link->port);
        if (link->manifest->port)
            continue; /* to a process: whatever it takes on its port */
        (void)fputs("  allows ", out);
        print_methods(out, m, link->manifest->allow_first, link->manifest->allow_count);
    }
    return done(out);
}

/* ---- JSON: a NULL from jansson (no memory) makes every later call fail too, and is seen at the end ---- */

static json_t *json_methods(const struct manifest *m, uint32_t first, uint32_t count, bool *is_good)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < count; i++) {
        const char *name = manifest_methods(m)[first + i].name;
        json_t *method = json_pack("{s:s, s:I}", "name", name, "id", (json_int_t)method_id(name));
        *is_good &= json_array_append_new(list, method) == 0;
    }
    *is_good &= list != NULL;
    return list;
}

static json_t *json_calls(enum plan_profile profile, bool *is_good)
{
    json_t *list = json_array();
    for (uint32_t i = 0; filter_service_name(profile, i); i++)
        *is_good &= json_array_append_new(list, json_string(filter_service_name(profile, i))) == 0;
    *is_good &= list != NULL;
    return list;
}

static json_t *json_missing(uint32_t bits, bool *is_good)
{
    static const char *const names[] = {"landlock", "memory", "pids", "cpu"};
    _Static_assert(MISSING_ALL == (1u << ARRAY_COUNT(names)) - 1, "every bit has a name");
    json_t *list = json_array();
    for (uint32_t i = 0; i < ARRAY_COUNT(names); i++)
        if (bits & 1u << i)
            *is_good &= json_array_append_new(list, json_string(names[i])) == 0;
    *is_good &= list != NULL;
    return list;
}

static json_t *json_ingresses(const struct plan *plan, const struct plan_service *s, bool *is_good)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < s->manifest->ingress_count; i++) {
        const struct manifest_ingress *ingress = &manifest_ingresses(plan->manifest)[s->manifest->ingress_first + i];
        char address[ADDRESS_BYTES];
        json_t *one =
            json_pack("{s:s, s:s, s:i, s:i, s:i}", "name", ingress->name, "address",
                      address_text(ingress->address, address), "port", (int)ingress->port, "slot_first",
                      (int)(s->ingress_slot_first + i * s->ingress_slots), "slot_count", (int)s->ingress_slots);
        *is_good &= json_array_append_new(list, one) == 0;
    }
    *is_good &= list != NULL;
    return list;
}

static json_t *json_data(const struct plan *plan, const struct plan_service *s, bool *is_good)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < s->manifest->data_count; i++)
        *is_good &=
            json_array_append_new(list, json_string(manifest_data(plan->manifest)[s->manifest->data_first + i])) == 0;
    *is_good &= list != NULL;
    return list;
}

static json_t *json_files(const struct plan *plan, const struct plan_service *s, bool *is_good)
{
    const struct manifest *m = plan->manifest;
    json_t *list = json_array();
    for (uint32_t i = 0; i < s->manifest->files_count; i++) {
        const struct manifest_file *file = &manifest_files(m)[s->manifest->files_first + i];
        json_t *one = json_pack("{s:s, s:s}", "from", manifest_text(m, file->from), "to", manifest_text(m, file->to));
        *is_good &= json_array_append_new(list, one) == 0;
    }
    *is_good &= list != NULL;
    return list;
}

static json_t *json_config(const struct plan *plan, const struct plan_service *s, bool *is_good)
{
    const struct manifest *m = plan->manifest;
    static const char *const types[] = {
        [CONFIG_STRING] = "string", [CONFIG_INT] = "int", [CONFIG_BOOL] = "bool", [CONFIG_FLOAT] = "float"};
    json_t *list = json_array();
    for (uint32_t i = 0; i < s->manifest->config_count; i++) {
        const struct manifest_config *config = &manifest_configs(m)[s->manifest->config_first + i];
        json_t *one = json_pack("{s:s, s:s, s:s}", "key", manifest_text(m, config->key), "value",
                                manifest_text(m, config->value), "type", types[config->type]);
        *is_good &= json_array_append_new(list, one) == 0;
    }
    *is_good &= list != NULL;
    return list;
}

static json_t *json_ends(const struct plan *plan, const struct plan_service *s, bool *is_good)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < s->link_count; i++) {
        const struct plan_end *end = &plan->service_links[s->link_first + i];
        const struct plan_link *link = &plan->links[end->link];
        bool is_out = end->direction == LINK_OUT;
        json_t *one =
            json_pack("{s:s, s:s, s:i, s:i, s:i}", "peer",
                      plan->services[is_out ? link->to : link->from].manifest->name, "direction", is_out ? "out" : "in",
                      "link", (int)end->link, "slot_first", (int)end->slot_first, "slot_count", (int)end->slot_count);
        *is_good &= json_array_append_new(list, one) == 0;
    }
    *is_good &= list != NULL;
    return list;
}

static json_t *json_words(const struct manifest *m, uint32_t first, uint32_t count, bool *is_good)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < count; i++)
        *is_good &= json_array_append_new(list, json_string(manifest_text(m, manifest_words(m)[first + i].text))) == 0;
    *is_good &= list != NULL;
    return list;
}

/* The kind of a service, and what only processes have. */
static void json_process(const struct manifest *m, const struct manifest_service *s, json_t *object, bool *is_good)
{
    bool is_process = s->kind == KIND_PROCESS;
    *is_good &= json_object_set_new(object, "kind", json_string(is_process ? "process" : "sealed")) == 0;
    if (!is_process)
        return;
    static const char *const keys[] = {
        [MOUNT_PATH] = "paths", [MOUNT_LIBRARY] = "libraries", [MOUNT_INTERPRETER] = "loader"};
    for (uint32_t kind = 0; kind < MOUNT_KIND_COUNT; kind++) {
        json_t *list = json_array();
        for (uint32_t i = 0; i < s->mounts_count; i++) {
            const struct manifest_mount *mount = &manifest_mounts(m)[s->mounts_first + i];
            if (mount->kind == kind)
                *is_good &= json_array_append_new(list, json_string(manifest_text(m, mount->path))) == 0;
        }
        *is_good &= list && json_object_set_new(object, keys[kind], list) == 0;
    }
    *is_good &= json_object_set_new(object, "args", json_words(m, s->words_first, s->args_count, is_good)) == 0;
    *is_good &=
        json_object_set_new(object, "env", json_words(m, s->words_first + s->args_count, s->env_count, is_good)) == 0;
    *is_good &= json_object_set_new(object, "ready", json_string(s->ready == READY_NOTIFY ? "notify" : "started")) == 0;
    *is_good &= json_object_set_new(object, "proc", json_boolean(s->has_proc)) == 0;
}

static json_t *json_service(const struct plan *plan, const struct plan_service *s, bool *is_good)
{
    const struct manifest_service *m = s->manifest;
    json_t *object = json_pack("{s:s, s:s, s:i, s:I, s:I, s:I, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "name",
                               m->name, "exec", manifest_text(plan->manifest, m->exec), "line", (int)m->line,
                               "uid_base", (json_int_t)s->uid_base, "uid_count", (json_int_t)PLAN_IDS_PER_SERVICE,
                               "uid", (json_int_t)PLAN_SERVICE_UID, "profile", plan_profile_name(s->profile),
                               "files_max", (json_int_t)s->files_max, "memory_bytes", (json_int_t)s->memory_bytes,
                               "pids", (json_int_t)s->pids, "cpu_percent", (json_int_t)s->cpu_percent, "slot_count",
                               (json_int_t)s->slot_count, "ring_entries", (json_int_t)s->ring_entries, "fibres_max",
                               (json_int_t)s->fibres_max, "message_bytes_max", (json_int_t)s->message_bytes_max);
    *is_good &= object != NULL;
    json_t *times =
        json_pack("{s:I, s:I, s:I, s:I}", "file_bytes", (json_int_t)s->file_bytes, "ready_ms", (json_int_t)s->ready_ms,
                  "stop_ms", (json_int_t)s->stop_ms, "watchdog_ms", (json_int_t)s->watchdog_ms);
    *is_good &= times && json_object_update_missing(object, times) == 0;
    json_decref(times);
    json_process(plan->manifest, m, object, is_good);
    *is_good &= json_object_set_new(object, "system_calls", json_calls(s->profile, is_good)) == 0;
    *is_good &= json_object_set_new(object, "links", json_ends(plan, s, is_good)) == 0;
    *is_good &= json_object_set_new(object, "ingress", json_ingresses(plan, s, is_good)) == 0;
    *is_good &= json_object_set_new(object, "data", json_data(plan, s, is_good)) == 0;
    *is_good &= json_object_set_new(object, "files", json_files(plan, s, is_good)) == 0;
    *is_good &= json_object_set_new(object, "config", json_config(plan, s, is_good)) == 0;
    *is_good &= json_object_set_new(object, "accept_missing", json_missing(m->accept_missing, is_good)) == 0;
    *is_good &= json_object_set_new(object, "methods",
                                    json_methods(plan->manifest, m->methods_first, m->methods_count, is_good)) == 0;
    *is_good &= json_object_set_new(object, "operator",
                                    json_methods(plan->manifest, m->operator_first, m->operator_count, is_good)) == 0;
    return object;
}

static json_t *json_end(const struct plan *plan, uint32_t link, uint32_t direction, bool *is_good)
{
    char ifname[PLAN_IFNAME_BYTES], address[ADDRESS_BYTES];
    const struct plan_link *l = &plan->links[link];
    plan_ifname(ifname, direction, link);
    json_t *end = json_pack("{s:s, s:s, s:i}", "interface", ifname, "address",
                            address_text(plan_address(direction, link), address), "contract_link",
                            (int)(direction == LINK_OUT ? l->from_end : l->to_end));
    *is_good &= end != NULL;
    return end;
}

static json_t *json_link(const struct plan *plan, uint32_t index, bool *is_good)
{
    const struct plan_link *link = &plan->links[index];
    json_t *object =
        json_pack("{s:s, s:s, s:i, s:i}", "from", plan->services[link->from].manifest->name, "to",
                  plan->services[link->to].manifest->name, "line", (int)link->manifest->line, "port", (int)link->port);
    *is_good &= object != NULL;
    *is_good &= json_object_set_new(object, "caller", json_end(plan, index, LINK_OUT, is_good)) == 0;
    *is_good &= json_object_set_new(object, "callee", json_end(plan, index, LINK_IN, is_good)) == 0;
    *is_good &= json_object_set_new(object, "allow",
                                    json_methods(plan->manifest, link->manifest->allow_first,
                                                 link->manifest->allow_count, is_good)) == 0;
    return object;
}

int plan_print_json(const struct plan *plan, FILE *out)
{
    bool is_good = true;
    json_t *services = json_array(), *links = json_array();
    for (size_t i = 0; i < plan->service_count; i++)
        is_good &= json_array_append_new(services, json_service(plan, &plan->services[i], &is_good)) == 0;
    for (uint32_t i = 0; i < plan->link_count; i++)
        is_good &= json_array_append_new(links, json_link(plan, i, &is_good)) == 0;
    json_t *root = json_pack("{s:s, s:o, s:o}", "app", plan->manifest->app, "services", services, "links", links);
    int r = !root || !is_good ? -ENOMEM : 0;
    if (r == 0 && (json_dumpf(root, out, JSON_INDENT(2)) < 0 || fputc('\n', out) == EOF))
        r = -EIO;
    json_decref(root);
    return r < 0 ? r : done(out);
}

/* ---- dot ---- */

int plan_print_dot(const struct plan *plan, FILE *out)
{
    const struct manifest *m = plan->manifest;
    (void)fprintf(out,
                  "digraph \"%s\" {\n  rankdir=LR;\n  node [shape=box, fontname=\"sans-serif\"];\n"
                  "  edge [fontname=\"sans-serif\", fontsize=10];\n",
                  m->app);
    for (size_t i = 0; i < plan->service_count; i++) {
        const struct manifest_service *s = plan->services[i].manifest;
        (void)fprintf(out, "  \"%s\";\n", s->name);
        for (uint32_t k = 0; k < s->ingress_count; k++) {
            const struct manifest_ingress *ingress = &manifest_ingresses(m)[s->ingress_first + k];
            char address[ADDRESS_BYTES];
            /* A colon is in no name: such nodes cannot be mistaken for services. */
            (void)fprintf(out,
                          "  \"ingress:%s\" [shape=plaintext, label=\"%s\\n%s:%u\"];\n  \"ingress:%s\" -> \"%s\";\n",
                          ingress->name, ingress->name, address_text(ingress->address, address), ingress->port,
                          ingress->name, s->name);
        }
        for (uint32_t k = 0; k < s->data_count; k++) {
            const char *name = manifest_data(m)[s->data_first + k];
            (void)fprintf(out,
                          "  \"data:%s\" [shape=cylinder, label=\"%s\"];\n  \"%s\" -> \"data:%s\" [style=dashed];\n",
                          name, name, s->name, name);
        }
    }
    for (size_t i = 0; i < plan->link_count; i++) {
        const struct plan_link *link = &plan->links[i];
        (void)fprintf(out, "  \"%s\" -> \"%s\" [label=\"", plan->services[link->from].manifest->name,
                      plan->services[link->to].manifest->name);
        for (uint32_t k = 0; k < link->manifest->allow_count; k++)
            (void)fprintf(out, "%s%s", k ? "\\n" : "", manifest_methods(m)[link->manifest->allow_first + k].name);
        (void)fputs("\"];\n", out);
    }
    (void)fputs("}\n", out);
    return done(out);
}
