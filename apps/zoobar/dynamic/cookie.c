/* cookie.c - see cookie.h. */
#include "apps/zoobar/dynamic/cookie.h"

#include <stdio.h>
#include <string.h>

#include "apps/zoobar/dynamic/form.h"
#include "apps/zoobar/dynamic/hex.h"
#include "apps/zoobar/dynamic/out.h"

/* Lax: a form on another site cannot make a browser post with it.  HttpOnly: no script sees it. */
#define COOKIE_ATTRIBUTES "; Path=/; HttpOnly; SameSite=Lax"

static bool is_kept(char c)
{
    return c > ' ' && c < 0x7f && !strchr("\",;\\%", c);
}

static void out_cookie(struct out *out, const char *text)
{
    for (; *text; text++) {
        char code[4];
        if (is_kept(*text)) {
            out_raw(out, text, 1);
        } else {
            (void)snprintf(code, sizeof code, "%%%02X", (unsigned char)*text);
            out_raw(out, code, 3);
        }
    }
}

char *cookie_set(const char *username, const char *token, ProtobufCAllocator *allocator)
{
    struct out out;
    out_init(&out, allocator);
    out_raw(&out, COOKIE_NAME "=", sizeof COOKIE_NAME);
    out_cookie(&out, username);
    out_raw(&out, "#", 1);
    out_cookie(&out, token);
    out_raw(&out, COOKIE_ATTRIBUTES, sizeof COOKIE_ATTRIBUTES - 1);
    return out_string(&out);
}

const char *cookie_clear(void)
{
    return COOKIE_NAME "=; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT" COOKIE_ATTRIBUTES;
}

/* The raw value of our cookie, NULL when the header has none. */
static const char *find(const char *header, size_t *ret_bytes)
{
    const size_t name_bytes = sizeof COOKIE_NAME - 1;
    while (*header) {
        header += strspn(header, " \t;");
        size_t pair_bytes = strcspn(header, ";");
        if (pair_bytes > name_bytes && strncmp(header, COOKIE_NAME "=", name_bytes + 1) == 0) {
            const char *value = header + name_bytes + 1;
            size_t bytes = pair_bytes - name_bytes - 1;
            while (bytes > 0 && (value[bytes - 1] == ' ' || value[bytes - 1] == '\t'))
                bytes--;
            *ret_bytes = bytes;
            return value;
        }
        header += pair_bytes;
    }
    return NULL;
}

bool cookie_read(const char *header, struct login *ret_login, ProtobufCAllocator *allocator)
{
    size_t bytes = 0, used = 0;
    const char *value = find(header, &bytes);
    if (!value || bytes == 0)
        return false;
    char *decoded = allocator->alloc(allocator->allocator_data, bytes + 1);
    if (!decoded)
        return false;
    for (size_t i = 0; i < bytes; i++) {
        int byte = (unsigned char)value[i];
        if (byte == '%') {
            byte = bytes - i > 2 ? hex_byte(value + i + 1) : -1;
            if (byte <= 0)
                return false;
            i += 2;
        }
        decoded[used++] = (char)byte;
    }
    decoded[used] = '\0';
    char *hash = strrchr(decoded, '#');
    if (!hash || hash == decoded || hash[1] == '\0' || !form_is_text(decoded, used))
        return false;
    *hash = '\0';
    *ret_login = (struct login){.username = decoded, .token = hash + 1};
    return true;
}
