/* explain.c - see explain.h. */
#include "hostd/explain.h"

#include <errno.h>
#include <string.h>

#include "hostd/suggest.h"
#include "rpc/base/own.h"

#define OPERATOR "operator" /* rules.c: no service has that name */

const char *explain_layer_name(enum explain_layer layer)
{
    static const char *const names[] = {[EXPLAIN_WIRE] = "wire",
                                        [EXPLAIN_METHOD] = "method",
                                        [EXPLAIN_OPERATOR] = OPERATOR,
                                        [EXPLAIN_INGRESS] = "ingress"};
    _Static_assert(ARRAY_COUNT(names) == EXPLAIN_LAYER_COUNT, "every layer has a name");
    return names[layer];
}

/* ---- names ---- */

static uint32_t find_service(const struct manifest *m, const char *name, size_t bytes)
{
    for (uint32_t i = 0; i < m->service_count; i++)
        if (strlen(manifest_services(m)[i].name) == bytes && memcmp(manifest_services(m)[i].name, name, bytes) == 0)
            return i;
    return EXPLAIN_NONE;
}

static uint32_t find_ingress(const struct manifest *m, const char *name)
{
    for (uint32_t i = 0; i < m->ingress_count; i++)
        if (strcmp(manifest_ingresses(m)[i].name, name) == 0)
            return i;
    return EXPLAIN_NONE;
}

static int no_service(const struct manifest *m, const char *name, bool is_caller, struct err *e)
{
    struct suggestion suggestion = suggest_for(name);
    for (uint32_t i = 0; i < m->service_count; i++)
        suggest_offer(&suggestion, manifest_services(m)[i].name);
    for (uint32_t i = 0; is_caller && i < m->ingress_count; i++)
        suggest_offer(&suggestion, manifest_ingresses(m)[i].name);
    if (is_caller)
        suggest_offer(&suggestion, OPERATOR);
    (void)err_set(e, -ENOENT, "no service%s '%s'", is_caller ? ", ingress or operator" : "", name);
    return suggestion.best ? err_hint(e, "did you mean '%s'?", suggestion.best) : -ENOENT;
}

/* Does the binary of the callee declare it?  Its last part alone is a near name too. */
static int find_method(const struct manifest *m, uint32_t service, const char *name, char ret_name[METHOD_NAME_BYTES],
                       struct err *e)
{
    const struct manifest_service *callee = &manifest_services(m)[service];
    const struct manifest_method *methods = manifest_methods(m) + callee->methods_first;
    struct suggestion suggestion = suggest_for(name);
    for (uint32_t i = 0; i < callee->methods_count; i++) {
        if (strcmp(methods[i].name, name) == 0) {
            memcpy(ret_name, methods[i].name, METHOD_NAME_BYTES);
            return 0;
        }
        suggest_offer(&suggestion, methods[i].name);
    }
    for (uint32_t i = 0; !suggestion.best && i < callee->methods_count; i++) {
        struct suggestion part = suggest_for(name);
        const char *dot = strchr(methods[i].name, '.');
        suggest_offer(&part, dot ? dot + 1 : methods[i].name);
        if (part.best)
            suggestion.best = methods[i].name;
    }
    if (callee->kind == KIND_PROCESS) {
        (void)err_set(e, -ENOENT, "service '%s' is a process: it has no methods", callee->name);
        return err_hint(e, "ask for '%s' alone", callee->name);
    }
    (void)err_set(e, -ENOENT, "service '%s' has no method '%s'", callee->name, name);
    return suggestion.best ? err_hint(e, "did you mean '%s'?", suggestion.best) : -ENOENT;
}

/* ---- deciding ---- */

static bool is_listed(const struct manifest *m, uint32_t first, uint32_t count, const char *method)
{
    for (uint32_t i = 0; i < count; i++)
        if (strcmp(manifest_methods(m)[first + i].name, method) == 0)
            return true;
    return false;
}

static uint32_t find_link(const struct manifest *m, uint32_t from, uint32_t to)
{
    for (uint32_t i = 0; i < m->link_count; i++)
        if (manifest_links(m)[i].from == from && manifest_links(m)[i].to == to)
            return i;
    return EXPLAIN_NONE;
}

static bool owns_ingress(const struct manifest *m, uint32_t service, uint32_t ingress)
{
    const struct manifest_service *s = &manifest_services(m)[service];
    return ingress >= s->ingress_first && ingress - s->ingress_first < s->ingress_count;
}

static void decide_link(const struct manifest *m, struct verdict *v)
{
    v->link = find_link(m, v->from, v->to);
    v->layer = v->link == EXPLAIN_NONE ? EXPLAIN_WIRE : EXPLAIN_METHOD;
    if (v->link == EXPLAIN_NONE)
        return;
    const struct manifest_link *link = &manifest_links(m)[v->link];
    v->line = link->line;
    if (link->port) /* to a process: it has no methods, the wire is all there is */
        v->is_allowed = true;
    else
        v->is_allowed =
            v->method[0] ? is_listed(m, link->allow_first, link->allow_count, v->method) : link->allow_count > 0;
}

static void decide_operator(const struct manifest *m, struct verdict *v)
{
    const struct manifest_service *callee = &manifest_services(m)[v->to];
    v->layer = EXPLAIN_OPERATOR;
    v->line = callee->line;
    v->is_allowed = v->method[0] ? is_listed(m, callee->operator_first, callee->operator_count, v->method)
                                 : callee->operator_count > 0;
}

static void decide_ingress(const struct manifest *m, struct verdict *v)
{
    v->layer = EXPLAIN_INGRESS;
    v->is_allowed = !v->method[0] && owns_ingress(m, v->to, v->ingress);
    for (uint32_t i = 0; i < m->service_count; i++)
        if (owns_ingress(m, i, v->ingress))
            v->line = manifest_services(m)[i].line;
}

int explain_decide(const struct manifest *m, const char *from, const char *to, struct verdict *ret_verdict,
                   struct err *e)
{
    struct verdict v = {.link = EXPLAIN_NONE, .ingress = EXPLAIN_NONE};
    const char *dot = strchr(to, '.'); /* names of services have none */
    size_t to_bytes = dot ? (size_t)(dot - to) : strlen(to);
    v.from = find_service(m, from, strlen(from));
    if (v.from == EXPLAIN_NONE && strcmp(from, OPERATOR) != 0) {
        v.ingress = find_ingress(m, from);
        if (v.ingress == EXPLAIN_NONE)
            return no_service(m, from, true, e);
    }
    v.to = find_service(m, to, to_bytes);
    if (v.to == EXPLAIN_NONE) {
        char name[EXPLAIN_TO_BYTES];
        (void)snprintf(name, sizeof name, "%.*s", (int)(to_bytes < sizeof name ? to_bytes : sizeof name - 1), to);
        return no_service(m, name, false, e);
    }
    if (dot) {
        int result = find_method(m, v.to, dot + 1, v.method, e);
        if (result < 0)
            return result;
    }
    if (v.from != EXPLAIN_NONE)
        decide_link(m, &v);
    else if (v.ingress != EXPLAIN_NONE)
        decide_ingress(m, &v);
    else
        decide_operator(m, &v);
    *ret_verdict = v;
    return 0;
}

/* ---- telling ---- */

static void print_methods(const struct manifest *m, uint32_t first, uint32_t count, FILE *out)
{
    for (uint32_t i = 0; i < count; i++)
        (void)fprintf(out, "%s%s", i ? ", " : "", manifest_methods(m)[first + i].name);
    if (count == 0)
        (void)fputs("nothing", out);
}

/* Who else may: the lines that come closest to allowing it. */
static void print_near(const struct manifest *m, const char *file, const struct verdict *v, FILE *out)
{
    const struct manifest_service *services = manifest_services(m);
    for (uint32_t i = 0; i < m->link_count; i++) {
        const struct manifest_link *link = &manifest_links(m)[i];
        if (i == v->link || link->to != v->to)
            continue;
        if (!v->method[0] || is_listed(m, link->allow_first, link->allow_count, v->method))
            (void)fprintf(out, "  '%s' may (%s:%u)\n", services[link->from].name, file, link->line);
    }
    if (v->from == EXPLAIN_NONE)
        return;
    uint32_t back = find_link(m, v->to, v->from);
    if (v->layer == EXPLAIN_WIRE && back != EXPLAIN_NONE)
        (void)fprintf(out, "  the other way round there is one: '%s' may call '%s' (%s:%u)\n", services[v->to].name,
                      services[v->from].name, file, manifest_links(m)[back].line);
}

static void print_ingress(const struct manifest *m, const char *file, const struct verdict *v, FILE *out)
{
    const char *name = manifest_ingresses(m)[v->ingress].name;
    if (v->method[0])
        (void)fprintf(out, "  ingress: '%s' brings bytes of the outside to a program; nothing calls methods by it\n",
                      name);
    for (uint32_t i = 0; i < m->service_count; i++)
        if (owns_ingress(m, i, v->ingress))
            (void)fprintf(out, "  ingress: '%s' is of service '%s' (%s:%u)\n", name, manifest_services(m)[i].name, file,
                          manifest_services(m)[i].line);
}

static void print_operator(const struct manifest *m, const char *file, const struct verdict *v, FILE *out)
{
    const struct manifest_service *callee = &manifest_services(m)[v->to];
    if (callee->kind == KIND_PROCESS) {
        (void)fprintf(out, "  operator: '%s' is a process: it has no methods that anybody could call\n", callee->name);
        return;
    }
    (void)fprintf(out, "  operator: the list of service '%s' (%s:%u) has ", callee->name, file, callee->line);
    print_methods(m, callee->operator_first, callee->operator_count, out);
    (void)fputs("; `hostd call --list` shows methods without calling\n", out);
}

static void print_link(const struct manifest *m, const char *file, const struct verdict *v, FILE *out)
{
    const struct manifest_service *services = manifest_services(m);
    if (v->from == v->to) {
        (void)fputs("  wire: that is one service, and no link leads from a service to itself\n", out);
        return;
    }
    if (v->link == EXPLAIN_NONE) {
        (void)fprintf(out, "  wire: no [[link]] leads from '%s' to '%s', so they share no network\n",
                      services[v->from].name, services[v->to].name);
        return;
    }
    const struct manifest_link *link = &manifest_links(m)[v->link];
    (void)fprintf(out, "  wire: the link at %s:%u\n", file, link->line);
    if (link->port) {
        (void)fprintf(out, "  port: TCP %u of '%s', which is a process: it has no list of methods\n", link->port,
                      services[v->to].name);
        return;
    }
    (void)fputs("  method: ", out);
    if (v->method[0])
        (void)fprintf(out, "%s is %s its list, which has ", v->method, v->is_allowed ? "on" : "not on");
    else
        (void)fputs("its list has ", out);
    print_methods(m, link->allow_first, link->allow_count, out);
    (void)fputc('\n', out);
}

void explain_print(const struct manifest *m, const char *file, const struct verdict *v, FILE *out)
{
    const struct manifest_service *services = manifest_services(m);
    const char *from = v->from != EXPLAIN_NONE      ? services[v->from].name
                       : v->ingress != EXPLAIN_NONE ? manifest_ingresses(m)[v->ingress].name
                                                    : OPERATOR;
    (void)fprintf(out, "%s: '%s' may%s %s ", v->is_allowed ? "allowed" : "denied", from, v->is_allowed ? "" : " not",
                  v->ingress != EXPLAIN_NONE ? "reach" : "call");
    if (v->method[0])
        (void)fprintf(out, "%s of '%s'\n", v->method, services[v->to].name);
    else
        (void)fprintf(out, "'%s'\n", services[v->to].name);
    if (v->layer == EXPLAIN_INGRESS)
        print_ingress(m, file, v, out);
    else if (v->layer == EXPLAIN_OPERATOR)
        print_operator(m, file, v, out);
    else
        print_link(m, file, v, out);
    if (!v->is_allowed && v->layer != EXPLAIN_INGRESS)
        print_near(m, file, v, out);
}
