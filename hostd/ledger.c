/* ledger.c - see ledger.h.  Pure. */
#include "hostd/ledger.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "hostd/rules.h"
#include "rpc/base/own.h"

#define LINE_BYTES_MAX 512u
#define SERVICES_MAX 4096u /* MANIFEST_SERVICES_MAX */
#define PID_MAX (1u << 22) /* the kernel's own limit */

/* The text that is still to be read. */
struct reader {
    const char *at, *end;
    char line[LINE_BYTES_MAX]; /* the current one; words are cut off its front */
    char *rest;                /* NULL behind the last word */
};

static bool next_line(struct reader *reader)
{
    const char *newline = memchr(reader->at, '\n', (size_t)(reader->end - reader->at));
    size_t bytes = newline ? (size_t)(newline - reader->at) : LINE_BYTES_MAX;
    if (bytes >= LINE_BYTES_MAX || memchr(reader->at, '\0', bytes))
        return false;
    memcpy(reader->line, reader->at, bytes);
    reader->line[bytes] = '\0';
    reader->rest = reader->line;
    reader->at = newline + 1;
    return true;
}

/* The next word of the line; "" when there is none.  A space says that another one follows. */
static const char *next_word(struct reader *reader)
{
    char *word = reader->rest;
    if (!word)
        return "";
    char *space = strchr(word, ' ');
    reader->rest = space ? space + 1 : NULL;
    if (space)
        *space = '\0';
    return word;
}

static bool next_number(struct reader *reader, int base, uint64_t max, uint64_t *ret_number)
{
    const char *word = next_word(reader);
    char *end;
    /* strtoull takes signs and spaces too: a digit must come first. */
    if (!strchr(base == 16 ? "0123456789abcdef" : "0123456789", word[0]) || !word[0])
        return false;
    errno = 0;
    unsigned long long number = strtoull(word, &end, base);
    if (errno || *end || number > max)
        return false;
    *ret_number = number;
    return true;
}

static bool next_u32(struct reader *reader, uint32_t *ret_number)
{
    uint64_t number;
    if (!next_number(reader, 10, UINT32_MAX, &number))
        return false;
    *ret_number = (uint32_t)number;
    return true;
}

/* A line of one key and its one value. */
static bool is_key(struct reader *reader, const char *key)
{
    return next_line(reader) && strcmp(next_word(reader), key) == 0;
}

static bool read_head(struct reader *reader, struct ledger *head)
{
    uint64_t version;
    if (!is_key(reader, "hostd") || !next_number(reader, 10, 1, &version) || version != 1 || reader->rest)
        return false;
    if (!is_key(reader, "boot") || !reader->rest || strlen(reader->rest) >= sizeof head->boot_id)
        return false;
    memcpy(head->boot_id, reader->rest, strlen(reader->rest) + 1);
    if (!is_key(reader, "list") || !next_number(reader, 16, UINT64_MAX, &head->list_hash) || reader->rest)
        return false;
    if (!is_key(reader, "protocol") || !next_u32(reader, &head->protocol) || reader->rest)
        return false;
    if (!is_key(reader, "mode") || !reader->rest)
        return false;
    head->is_plain = strcmp(reader->rest, "plain") == 0;
    if (!head->is_plain && strcmp(reader->rest, "isolated") != 0)
        return false;
    return is_key(reader, "next_wire") && next_u32(reader, &head->next_wire) && !reader->rest;
}

static bool read_service(struct reader *reader, struct ledger_service *service)
{
    uint64_t pid;
    const char *name = next_word(reader);
    if (!rule_name(name))
        return false;
    memcpy(service->name, name, strlen(name) + 1);
    const char *state = next_word(reader);
    for (service->state = INSTANCE_DOWN; service->state < INSTANCE_STATE_COUNT; service->state++)
        if (strcmp(instance_state_name(service->state), state) == 0)
            break;
    if (service->state == INSTANCE_STATE_COUNT || !next_number(reader, 10, PID_MAX, &pid))
        return false;
    service->mark.pid = (pid_t)pid;
    if (!next_number(reader, 10, UINT64_MAX, &service->mark.started_ticks) ||
        !next_number(reader, 10, UINT64_MAX, &service->mark.netns) ||
        !next_number(reader, 10, UINT64_MAX, &service->mark.userns) ||
        !next_number(reader, 10, UINT64_MAX, &service->mark.pidns) || !next_u32(reader, &service->generation) ||
        !next_u32(reader, &service->quick_ends) || !next_u32(reader, &service->restart_pause_ms) ||
        !next_number(reader, 10, UINT64_MAX, &service->oom_kills))
        return false;
    if (!reader->rest || strlen(reader->rest) >= sizeof service->last_end || !rule_printable(reader->rest))
        return false;
    memcpy(service->last_end, reader->rest, strlen(reader->rest) + 1);
    return true;
}

int ledger_parse(const char *text, size_t bytes, struct ledger **ret_ledger, struct err *e)
{
    struct reader reader = {.at = text, .end = text + bytes};
    struct ledger head = {0};
    if (bytes > LEDGER_BYTES_MAX || !read_head(&reader, &head))
        return err_set(e, -EPROTO, "not written by this version of hostd");
    size_t room = 0;
    for (const char *at = reader.at; at < reader.end; at++)
        room += *at == '\n';
    if (room > SERVICES_MAX + 1)
        return err_set(e, -EPROTO, "more than %u services", SERVICES_MAX);
    FREE_AUTO struct ledger *ledger = calloc(1, sizeof *ledger + room * sizeof ledger->services[0]);
    if (!ledger)
        return err_set(e, -ENOMEM, "no memory for %zu services", room);
    *ledger = head;
    for (;;) {
        if (!next_line(&reader))
            return err_set(e, -EPROTO, "cut behind %zu services", ledger->service_count);
        const char *key = next_word(&reader);
        if (strcmp(key, "end") == 0 && !reader.rest && reader.at == reader.end)
            break;
        struct ledger_service *service = &ledger->services[ledger->service_count];
        if (strcmp(key, "service") != 0 || !read_service(&reader, service) || ledger_find(ledger, service->name))
            return err_set(e, -EPROTO, "line of service number %zu", ledger->service_count + 1);
        ledger->service_count++;
    }
    *ret_ledger = ledger;
    ledger = NULL;
    return 0;
}

void ledger_print(const struct ledger *ledger, FILE *out)
{
    (void)fprintf(out, "hostd 1\nboot %s\nlist %" PRIx64 "\nprotocol %u\nmode %s\nnext_wire %u\n", ledger->boot_id,
                  ledger->list_hash, ledger->protocol, ledger->is_plain ? "plain" : "isolated", ledger->next_wire);
    for (size_t i = 0; i < ledger->service_count; i++) {
        const struct ledger_service *service = &ledger->services[i];
        const struct process_mark *mark = &service->mark;
        (void)fprintf(out, "service %s %s %d %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %u %u %u %" PRIu64 " ",
                      service->name, instance_state_name(service->state), (int)mark->pid, mark->started_ticks,
                      mark->netns, mark->userns, mark->pidns, service->generation, service->quick_ends,
                      service->restart_pause_ms, service->oom_kills);
        for (const char *c = service->last_end; *c; c++) /* an error's text may quote anything */
            (void)fputc((unsigned char)*c < 0x20 || *c == 0x7f ? '?' : *c, out);
        (void)fputc('\n', out);
    }
    (void)fputs("end\n", out);
}

const struct ledger_service *ledger_find(const struct ledger *ledger, const char *name)
{
    for (size_t i = 0; i < ledger->service_count; i++)
        if (strcmp(ledger->services[i].name, name) == 0)
            return &ledger->services[i];
    return NULL;
}

bool ledger_was_up(const struct ledger *ledger)
{
    bool is_up = false;
    for (size_t i = 0; i < ledger->service_count; i++) {
        const struct ledger_service *service = &ledger->services[i];
        if (service->state == INSTANCE_STOPPING)
            return false;
        is_up |= service->state != INSTANCE_STARTING || service->generation > 1; /* else noted in the first start */
    }
    return is_up;
}

uint64_t ledger_hash(uint64_t hash, const void *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        hash = (hash ^ ((const unsigned char *)bytes)[i]) * 1099511628211u;
    return hash;
}
