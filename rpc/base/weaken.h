/*
 * weaken.h - in a test build only: defences that are left out one by one, to see the attack behind them succeed.
 *
 *     if (!weakened("landlock") && ...)
 *
 * In the build that is installed weakened() is the constant false, no name of a switch is in any binary, and the
 * environment is not looked at.  In the test build (`make weak`, build/weak, -DHOSTD_WEAKEN) the environment variable
 * HOSTD_WEAKEN of hostd names the switches, separated by commas; hostd hands it to initsvc, and that to the service.
 *
 * Which switch stands for which defence, and what succeeds without it: the table in tests/attacks/README.md.
 */
#ifndef RPC_BASE_WEAKEN_H
#define RPC_BASE_WEAKEN_H

#include <stdbool.h>

#ifdef HOSTD_WEAKEN

#include <fcntl.h>
#include <sched.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static inline bool weakened(const char *defence)
{
    size_t length = strlen(defence);
    const char *list = getenv("HOSTD_WEAKEN");
    for (; list && *list; list += strcspn(list, ","), list += *list == ',')
        if (strncmp(list, defence, length) == 0 && (list[length] == ',' || list[length] == '\0'))
            return true;
    return false;
}

/* The caller that a request says it comes from, "caller=NAME" anywhere in its bytes: what no callee should believe. */
static inline const char *weaken_claim(const uint8_t *bytes, size_t count)
{
    static char names[1024][32]; /* a name lives as long as its call; there are no more calls at once */
    static size_t next;
    char *name = names[next++ % 1024];
    const char *claim = count ? memmem(bytes, count, "caller=", 7) : NULL;
    size_t used = 0;
    for (const char *at = claim; at && at + 7 < (const char *)bytes + count && used < 31; at++)
        if (at[7] >= 'a' && at[7] <= 'z')
            name[used++] = at[7];
        else
            break;
    name[used] = '\0';
    return name;
}

/* The variable itself, as the first entry of an environment. */
static inline char *weaken_variable(void)
{
    for (char **entry = environ; entry && *entry; entry++)
        if (strncmp(*entry, "HOSTD_WEAKEN=", sizeof "HOSTD_WEAKEN=" - 1) == 0)
            return *entry;
    return NULL;
}
#define WEAKEN_ENVIRONMENT weaken_variable(),
static inline void weaken_pass_on(char *environment[], size_t count_max)
{
    size_t count = 0;
    while (environment[count])
        count++;
    if (count < count_max)
        environment[count] = weaken_variable();
}

/* The flags of a service's clone3, less the namespaces that are switched off. */
static inline uint64_t weaken_namespaces(uint64_t flags)
{
    static const struct {
        const char *name;
        uint64_t flags;
    } namespaces[] = {
        {"user-namespace", CLONE_NEWUSER},
        {"pid-namespace", CLONE_NEWPID},
        {"ipc-namespace", CLONE_NEWIPC},
        {"uts-namespace", CLONE_NEWUTS},
        {"netns-owner", CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS}, /* made by weak_owner_join() */
    };
    for (size_t i = 0; i < sizeof namespaces / sizeof namespaces[0]; i++)
        flags &= weakened(namespaces[i].name) ? ~namespaces[i].flags : UINT64_MAX;
    return flags;
}

/*
 * tests/attacks/weak_owner.c: enters a new network namespace of which a user namespace for the service is the owner, as
 * unshare() would enter one; the service's first process enters that user namespace.
 */
int weak_owner_enter(void);
void weak_owner_join(int netns_fd);

/* Instead of closing at exec what is open from `first` on: hands it all to the program. */
static inline int weaken_inherit(int first)
{
    struct stat status;
    for (int fd = first; fd < 100; fd++)
        if (fstat(fd, &status) == 0 && !S_ISFIFO(status.st_mode)) /* PID 1 waits for the end of a pipe, at exec */
            (void)fcntl(fd, F_SETFD, 0);
    return 0;
}

#else

#define weakened(defence) false
#define weaken_namespaces(flags) (flags)
#define weaken_claim(bytes, count) NULL
#define weak_owner_enter() 0
#define weak_owner_join(netns_fd) (void)0
#define weaken_inherit(first) 0
#define WEAKEN_ENVIRONMENT
#define weaken_pass_on(environment, count_max) (void)0

#endif
#endif
