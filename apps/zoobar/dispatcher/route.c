/* route.c - which service answers which path.  See route.h for the invariants. */
#include "apps/zoobar/dispatcher/route.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

/* "\1" to "\9" outside of a bracket expression: glibc takes them in extended expressions too. */
static bool has_back_reference(const char *pattern)
{
    for (const char *c = pattern; *c; c++) {
        if (*c == '[') {
            c += c[1] == '^' ? 2 : 1;
            if (*c == ']')
                c++;
            while (*c && *c != ']')
                c++;
            if (!*c)
                return false; /* regcomp says what is wrong with it */
        } else if (*c == '\\' && c[1]) {
            c++;
            if (*c >= '1' && *c <= '9')
                return true;
        }
    }
    return false;
}

int route_add(struct route_table *table, const char *pattern, struct rpc_peer *peer, const char *redirect,
              struct err *e)
{
    if (table->count == ROUTES_MAX)
        return err_set(e, -E2BIG, "more than %u routes", ROUTES_MAX);
    if (has_back_reference(pattern))
        return err_set(e, -EINVAL, "pattern '%s': back-references are not allowed", pattern);
    struct route *route = &table->routes[table->count];
    int result = regcomp(&route->pattern, pattern, REG_EXTENDED | REG_NOSUB);
    if (result) {
        char why[128];
        (void)regerror(result, &route->pattern, why, sizeof why); /* cut if longer */
        return err_set(e, -EINVAL, "pattern '%s': %s", pattern, why);
    }
    route->peer = peer;
    route->redirect = redirect;
    table->count++;
    return 0;
}

const struct route *route_find(const struct route_table *table, const char *path)
{
    for (size_t i = 0; i < table->count; i++)
        if (regexec(&table->routes[i].pattern, path, 0, NULL, 0) == 0)
            return &table->routes[i];
    return NULL;
}

void route_table_done(struct route_table *table)
{
    for (size_t i = 0; i < table->count; i++)
        regfree(&table->routes[i].pattern);
    table->count = 0;
}
