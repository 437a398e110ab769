/*
 * noload.c - a static service loads no code and asks no name service, and so does not link the means to.
 *
 * SQLite (extensions) and libcrypto (engines, BIO sockets) refer to these functions from corners that the services
 * never enter.  With these definitions the linker binds those corners to functions that fail, as their manual pages say
 * they may, and the warnings of a static link, which are about real dangers elsewhere, stay meaningful: there are none.
 *
 * Linked into auth, bank and person, before the libraries and with -Wl,--wrap=dlopen (the C library's own start code
 * pulls its dlopen in, so that another of that name would not end the warning).
 */
#include <dlfcn.h>
#include <netdb.h>
#include <stddef.h>

void *__wrap_dlopen(const char *file, int mode); /* the linker's name for it */

void *__wrap_dlopen(const char *file, int mode)
{
    return NULL;
}

void *dlsym(void *restrict handle, const char *restrict name)
{
    return NULL;
}

int dlclose(void *handle)
{
    return -1;
}

char *dlerror(void)
{
    static char text[] = "this program loads no code";
    return text;
}

int dladdr(const void *address, Dl_info *info)
{
    return 0;
}

int getaddrinfo(const char *restrict name, const char *restrict service, const struct addrinfo *restrict hints,
                struct addrinfo **restrict ret_list)
{
    return EAI_FAIL;
}

void freeaddrinfo(struct addrinfo *list)
{
}

const char *gai_strerror(int code)
{
    return "this program asks no name service";
}

int getnameinfo(const struct sockaddr *restrict address, socklen_t address_bytes, char *restrict host,
                socklen_t host_bytes, char *restrict service, socklen_t service_bytes, int flags)
{
    return EAI_FAIL;
}

struct hostent *gethostbyname(const char *name)
{
    return NULL;
}
