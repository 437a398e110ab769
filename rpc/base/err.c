/* err.c - see err.h.  Pure: formats text, touches no kernel. */
#include "rpc/base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void __attribute__((format(printf, 3, 0))) format_at(struct err *e, size_t at, const char *format, va_list args)
{
    if (at < sizeof e->text)
        (void)vsnprintf(e->text + at, sizeof e->text - at, format, args); /* a cut text is still a text */
}

int err_set(struct err *e, int code, const char *format, ...)
{
    if (!e)
        return code;
    va_list args;
    va_start(args, format);
    e->code = code;
    format_at(e, 0, format, args);
    va_end(args);
    return code;
}

int err_sys(struct err *e, int code, const char *format, ...)
{
    if (!e)
        return code;
    va_list args;
    va_start(args, format);
    e->code = code;
    format_at(e, 0, format, args);
    va_end(args);
    size_t used = strlen(e->text);
    (void)snprintf(e->text + used, sizeof e->text - used, ": %s", strerror(-code));
    return code;
}

int err_hint(struct err *e, const char *format, ...)
{
    if (!e)
        return 0;
    char hint[ERR_TEXT_BYTES / 2];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(hint, sizeof hint, format, args);
    va_end(args);
    size_t used = strlen(e->text);
    (void)snprintf(e->text + used, sizeof e->text - used, " (%s)", hint);
    return e->code;
}

int err_prefix(struct err *e, const char *format, ...)
{
    if (!e)
        return 0;
    char old[ERR_TEXT_BYTES];
    memcpy(old, e->text, sizeof old);
    va_list args;
    va_start(args, format);
    (void)vsnprintf(e->text, sizeof e->text, format, args);
    va_end(args);
    size_t used = strlen(e->text);
    (void)snprintf(e->text + used, sizeof e->text - used, ": %.*s", (int)sizeof old - 1, old);
    return e->code;
}
