/*
 * plan.c - see plan.h.  Pure arithmetic over a checked manifest: no system call, no clock, no environment.
 *
 * Slots of a service's ring table, in this order:
 *
 *     0 event   1 notes   | link 0 | link 1 | ... | ingress 0 | ingress 1 | ...              | operator
 *                           in:  2 listeners + 4 connections        1 listener + 512 connections  2 connections
 *                           out: 2 connections
 */
#include "hostd/plan.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "rpc/base/hash.h"
#include "rpc/base/own.h"

static void number_links(struct plan *plan);
static int lay_out_service(struct plan *plan, uint32_t service, uint32_t uid_base, struct err *e);
static void copy_name(char to[NAME_BYTES], const char from[NAME_BYTES]);

int plan_make(const struct manifest *manifest, uint32_t uid_base, struct plan **ret_plan, struct err *e)
{
    uint64_t ids_end = (uint64_t)uid_base + (uint64_t)manifest->service_count * PLAN_IDS_PER_SERVICE;
    if (ids_end > UINT32_MAX)
        return err_set(e, -EOVERFLOW, "%u services need %u user ids each from %u on: more than there are",
                       manifest->service_count, PLAN_IDS_PER_SERVICE, uid_base);

    struct plan *plan = calloc(1, sizeof *plan);
    if (!plan)
        return err_sys(e, -ENOMEM, "plan");
    plan->manifest = manifest;
    plan->service_count = manifest->service_count;
    plan->link_count = manifest->link_count;
    plan->end_count = 2 * plan->link_count;
    /* One more than needed: a size of 0 may give NULL. */
    plan->services = calloc(plan->service_count + 1, sizeof *plan->services);
    plan->links = calloc(plan->link_count + 1, sizeof *plan->links);
    plan->service_links = calloc(plan->end_count + 1, sizeof *plan->service_links);
    if (!plan->services || !plan->links || !plan->service_links) {
        plan_free(plan);
        return err_sys(e, -ENOMEM, "plan of %u services", manifest->service_count);
    }

    number_links(plan);
    for (uint32_t service = 0; service < plan->service_count; service++) {
        int r = lay_out_service(plan, service, uid_base, e);
        if (r < 0) {
            plan_free(plan);
            return r;
        }
    }
    *ret_plan = plan;
    return 0;
}

void plan_free(struct plan *plan)
{
    if (!plan)
        return;
    free(plan->services);
    free(plan->links);
    free(plan->service_links);
    free(plan);
}

void plan_ifname(char ret_name[PLAN_IFNAME_BYTES], uint32_t direction, uint32_t wire)
{
    int length = snprintf(ret_name, PLAN_IFNAME_BYTES, "%s%u", direction == LINK_OUT ? "to" : "from", wire);
    assert(length > 0 && (uint32_t)length < PLAN_IFNAME_BYTES); /* "from" and ten digits are 14 */
    (void)length;
}

uint32_t plan_address(uint32_t direction, uint32_t wire)
{
    return PLAN_NETWORK + 2 * (wire % PLAN_NETWORK_PAIRS_MAX) + (direction == LINK_IN);
}

const char *plan_profile_name(enum plan_profile profile)
{
    static const char *const names[] = {
        [PROFILE_BARE] = "bare",
        [PROFILE_FILES] = "files",
        [PROFILE_DATA] = "data",
        [PROFILE_PROCESS] = "process",
    };
    _Static_assert(ARRAY_COUNT(names) == PROFILE_COUNT, "every profile has a name");
    return names[profile];
}

/* Gives both services of each link their place for it: counts, sums up, fills in, in the order of the TOML. */
static void number_links(struct plan *plan)
{
    const struct manifest_link *links = manifest_links(plan->manifest);
    for (uint32_t i = 0; i < plan->link_count; i++) {
        plan->services[links[i].from].link_count++;
        plan->services[links[i].to].link_count++;
    }
    uint32_t end = 0;
    for (uint32_t i = 0; i < plan->service_count; i++) {
        plan->services[i].link_first = end;
        end += plan->services[i].link_count;
        plan->services[i].link_count = 0; /* counted again below, as places are taken */
    }
    for (uint32_t i = 0; i < plan->link_count; i++) {
        struct plan_service *from = &plan->services[links[i].from], *to = &plan->services[links[i].to];
        plan->links[i] = (struct plan_link){
            .manifest = &links[i],
            .from = links[i].from,
            .to = links[i].to,
            .port = (uint16_t)(links[i].port ? links[i].port : PLAN_LINK_PORT),
            .from_end = from->link_count,
            .to_end = to->link_count,
        };
        plan->service_links[from->link_first + from->link_count++] =
            (struct plan_end){.link = i, .direction = LINK_OUT, .slot_count = PLAN_LINK_OUT_CONNECTIONS};
        plan->service_links[to->link_first + to->link_count++] = (struct plan_end){
            .link = i, .direction = LINK_IN, .slot_count = PLAN_LINK_IN_LISTENERS + PLAN_LINK_IN_CONNECTIONS};
    }
}

static int lay_out_service(struct plan *plan, uint32_t service, uint32_t uid_base, struct err *e)
{
    const struct manifest_service *m = &manifest_services(plan->manifest)[service];
    struct plan_service *s = &plan->services[service];

    s->manifest = m;
    s->index = service;
    s->uid_base = uid_base + service * PLAN_IDS_PER_SERVICE;
    s->profile = m->kind == KIND_PROCESS ? PROFILE_PROCESS
                 : m->data_count         ? PROFILE_DATA
                 : m->files_count        ? PROFILE_FILES
                                         : PROFILE_BARE;
    s->files_max = s->profile == PROFILE_BARE      ? CONTRACT_FD_COUNT
                   : s->profile == PROFILE_PROCESS ? PLAN_FILES_OPEN_PROCESS_MAX
                                                   : PLAN_FILES_OPEN_MAX;
    s->memory_bytes = m->memory_bytes ? m->memory_bytes : PLAN_MEMORY_BYTES_DEFAULT;
    s->file_bytes = m->file_bytes                                                 ? m->file_bytes
                    : s->profile == PROFILE_DATA || s->profile == PROFILE_PROCESS ? PLAN_FILE_BYTES_DEFAULT
                                                                                  : 0;
    s->pids = m->pids ? m->pids : PLAN_PIDS_DEFAULT;
    s->ready_ms = m->ready_ms ? m->ready_ms : PLAN_READY_MS_DEFAULT;
    s->stop_ms = m->stop_ms ? m->stop_ms : PLAN_STOP_MS_DEFAULT;
    if (m->kind == KIND_SEALED && m->watchdog_ms != MANIFEST_WATCHDOG_OFF)
        s->watchdog_ms = m->watchdog_ms ? m->watchdog_ms : PLAN_WATCHDOG_MS_DEFAULT;
    s->cpu_percent = m->cpu_percent;
    s->ring_entries = m->kind == KIND_PROCESS ? 0 : m->ingress_count ? PLAN_RING_ENTRIES_INGRESS : PLAN_RING_ENTRIES;
    s->fibres_max = PLAN_FIBRES_MAX;
    s->message_bytes_max = PLAN_MESSAGE_BYTES_MAX;

    uint32_t slot = CONTRACT_SLOT_FIRST; /* links and ingresses are few by the manifest's limits: no overflow */
    for (uint32_t i = 0; i < s->link_count; i++) {
        struct plan_end *end = &plan->service_links[s->link_first + i];
        if (m->kind == KIND_PROCESS)
            end->slot_count = 0; /* it has no ring */
        end->slot_first = slot;
        slot += end->slot_count;
    }
    s->ingress_slot_first = slot;
    s->ingress_slots = 1 + PLAN_INGRESS_CONNECTIONS;
    slot += m->ingress_count * s->ingress_slots;
    s->operator_slot_first = slot;
    slot += PLAN_OPERATOR_CONNECTIONS;
    s->slot_count = m->kind == KIND_PROCESS ? 0 : slot;
    if (slot > PLAN_SLOTS_MAX)
        return err_set(e, -EOVERFLOW,
                       "service '%s': %u links and %u ingresses need %u slots of its ring; %u is the limit", m->name,
                       s->link_count, m->ingress_count, slot, PLAN_SLOTS_MAX);
    return 0;
}

/* ---- the contract ---- */

static int compare_methods(const void *a, const void *b)
{
    const struct contract_method *left = a, *right = b;
    return left->id < right->id ? -1 : left->id > right->id;
}

/* Copies a list of the manifest to methods[at], sorted by id; returns the place behind it. */
static uint32_t put_methods(struct contract_method *methods, uint32_t at, const struct manifest *m, uint32_t first,
                            uint32_t count)
{
    const struct manifest_method *from = manifest_methods(m) + first;
    for (uint32_t i = 0; i < count; i++) {
        methods[at + i].id = method_id(from[i].name);
        memcpy(methods[at + i].name, from[i].name, METHOD_NAME_BYTES);
    }
    if (count)
        qsort(methods + at, count, sizeof *methods, compare_methods);
    return at + count;
}

/* Copies one text to the string block; returns its offset there. */
static uint32_t put_string(char *strings, uint32_t *used, const char *text)
{
    uint32_t at = *used;
    size_t bytes = strlen(text) + 1;
    memcpy(strings + at, text, bytes);
    *used += (uint32_t)bytes;
    return at;
}

/* Sizes of all arrays, as offsets into a header of its own.  Every manifest is at most 4 MiB, so 32 bits hold the sums.
 */
static void measure_contract(const struct plan *plan, uint32_t service, struct contract *c)
{
    const struct manifest *m = plan->manifest;
    const struct plan_service *s = &plan->services[service];
    const struct manifest_config *config = manifest_configs(m) + s->manifest->config_first;

    c->link_count = s->link_count;
    for (uint32_t i = 0; i < s->link_count; i++)
        c->method_count += plan->links[plan->service_links[s->link_first + i].link].manifest->allow_count;
    c->operator_first = c->method_count;
    c->operator_count = s->manifest->operator_count;
    c->method_count += c->operator_count;
    c->ingress_count = s->manifest->ingress_count;
    c->config_count = s->manifest->config_count;
    for (uint32_t i = 0; i < c->config_count; i++)
        c->strings_bytes +=
            (uint32_t)(strlen(manifest_text(m, config[i].key)) + strlen(manifest_text(m, config[i].value)) + 2);

    c->links_at = sizeof *c;
    c->methods_at = c->links_at + c->link_count * (uint32_t)sizeof(struct contract_link);
    c->ingresses_at = c->methods_at + c->method_count * (uint32_t)sizeof(struct contract_method);
    c->config_at = c->ingresses_at + c->ingress_count * (uint32_t)sizeof(struct contract_ingress);
    c->strings_at = c->config_at + c->config_count * (uint32_t)sizeof(struct contract_config);
    c->total_bytes = c->strings_at + c->strings_bytes;
}

static uint32_t put_links(const struct plan *plan, const struct plan_service *s, struct contract_link *links,
                          struct contract_method *methods)
{
    const struct manifest_service *services = manifest_services(plan->manifest);
    uint32_t method = 0;
    for (uint32_t i = 0; i < s->link_count; i++) {
        const struct plan_end *end = &plan->service_links[s->link_first + i];
        const struct plan_link *link = &plan->links[end->link];
        links[i] = (struct contract_link){
            .direction = end->direction,
            .peer_generation = 1,
            .slot_first = end->slot_first,
            .slot_count = end->slot_count,
            .method_first = method,
            .method_count = link->manifest->allow_count,
            .toml_line = link->manifest->line,
            .is_wired = 1,
        };
        copy_name(links[i].peer, services[end->direction == LINK_OUT ? link->to : link->from].name);
        method = put_methods(methods, method, plan->manifest, link->manifest->allow_first, link->manifest->allow_count);
    }
    return method;
}

int plan_contract(const struct plan *plan, uint32_t service, uint32_t generation, struct contract **ret_contract,
                  struct err *e)
{
    assert(service < plan->service_count);
    const struct manifest *m = plan->manifest;
    const struct plan_service *s = &plan->services[service];

    struct contract header = {
        .magic = CONTRACT_MAGIC,
        .version = CONTRACT_VERSION,
        .flags = CONTRACT_SEALED,
        .generation = generation,
        .slot_count = s->slot_count,
        .fibres_max = s->fibres_max,
        .message_bytes_max = s->message_bytes_max,
        .ring_entries = s->ring_entries,
        .operator_slot_first = s->operator_slot_first,
        .operator_slot_count = PLAN_OPERATOR_CONNECTIONS,
        .operator_line = s->manifest->line,
    };
    copy_name(header.app, m->app);
    copy_name(header.service, s->manifest->name);
    measure_contract(plan, service, &header);

    char *block = calloc(1, header.total_bytes);
    if (!block)
        return err_sys(e, -ENOMEM, "service '%s': contract", s->manifest->name);
    memcpy(block, &header, sizeof header);

    struct contract_method *methods = (void *)(block + header.methods_at);
    uint32_t method_count = put_links(plan, s, (void *)(block + header.links_at), methods);
    assert(method_count == header.operator_first);
    method_count = put_methods(methods, method_count, m, s->manifest->operator_first, header.operator_count);
    assert(method_count == header.method_count);

    struct contract_ingress *ingresses = (void *)(block + header.ingresses_at);
    for (uint32_t i = 0; i < header.ingress_count; i++) {
        copy_name(ingresses[i].name, manifest_ingresses(m)[s->manifest->ingress_first + i].name);
        ingresses[i].slot_first = s->ingress_slot_first + i * s->ingress_slots;
        ingresses[i].slot_count = s->ingress_slots;
    }

    struct contract_config *config = (void *)(block + header.config_at);
    uint32_t used = 0;
    for (uint32_t i = 0; i < header.config_count; i++) {
        const struct manifest_config *from = &manifest_configs(m)[s->manifest->config_first + i];
        config[i].key_at = put_string(block + header.strings_at, &used, manifest_text(m, from->key));
        config[i].value_at = put_string(block + header.strings_at, &used, manifest_text(m, from->value));
        config[i].type = from->type;
    }
    assert(used == header.strings_bytes);

    *ret_contract = (struct contract *)(void *)block;
    return 0;
}

static void copy_name(char to[NAME_BYTES], const char from[NAME_BYTES])
{
    memset(to, 0, NAME_BYTES); /* nothing of ours travels behind the NUL */
    memcpy(to, from, strlen(from));
}
