/* confine.c - see confine.h.  Doing. */
#include "hostd/confine.h"

#include <errno.h>
#include <grp.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

static int limit(int resource, rlim_t value)
{
    const struct rlimit both = {.rlim_cur = value, .rlim_max = value};
    return setrlimit((__rlimit_resource_t)resource, &both) < 0 ? -errno : 0;
}

/* Gives up everything, in the order in which each step is still allowed. */
int confine_self(const struct filter *filter, const struct confine_limits *limits)
{
    int r = limit(RLIMIT_CORE, 0);
    if (r == 0 && limits->is_writing_no_file)
        r = limit(RLIMIT_FSIZE, 0);
    if (r == 0)
        r = limit(RLIMIT_CPU, limits->cpu_seconds);
    if (r == 0)
        r = limit(RLIMIT_NOFILE, limits->files);
#ifndef __SANITIZE_ADDRESS__
    if (r == 0)
        r = limit(RLIMIT_AS, limits->memory_bytes);
#endif
    if (r < 0)
        return r;
    if (geteuid() == 0) {
        /* Groups first: without the id there is no right to drop them.  After setresuid no capability is left. */
        if (setgroups(0, NULL) < 0 || setresgid(CONFINE_UID, CONFINE_UID, CONFINE_UID) < 0 ||
            setresuid(CONFINE_UID, CONFINE_UID, CONFINE_UID) < 0)
            return -errno;
        if (geteuid() == 0)
            return -EPERM;
    }
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return -errno;
    const struct sock_fprog program = {.len = (unsigned short)filter->count,
                                       .filter = (struct sock_filter *)(uintptr_t)filter->instructions};
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0)
        return -errno;
    return 0;
}
