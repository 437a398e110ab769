/*
 * weak_owner.c - switch "netns-owner" of the test build: the network namespace is made inside the user namespace in
 * which the service is root, as clone3(NEWUSER | NEWNET) would make it, instead of before it and by the host.
 *
 * Linked into build/weak/bin/hostd only.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/nsfs.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "rpc/base/own.h"
#include "rpc/base/weaken.h"

#define WEAK_ID_BASE 0x40000000u /* of the service's user ids; data directories do not fit them */

static int write_map(pid_t pid, const char *file)
{
    char path[64], line[64];
    (void)snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, file);
    int bytes = snprintf(line, sizeof line, "0 %u 65536\n", WEAK_ID_BASE);
    FD_AUTO int fd = open(path, O_WRONLY | O_CLOEXEC);
    return fd >= 0 && write(fd, line, (size_t)bytes) == bytes ? 0 : -errno;
}

int weak_owner_enter(void)
{
    struct clone_args args = {.flags = CLONE_NEWUSER | CLONE_NEWNET, .exit_signal = SIGCHLD};
    char path[64];
    pid_t pid = (pid_t)syscall(SYS_clone3, &args, sizeof args);
    if (pid < 0)
        return -errno;
    if (pid == 0)
        for (;;)
            (void)pause(); /* until killed below */
    int result = write_map(pid, "uid_map");
    if (result == 0)
        result = write_map(pid, "gid_map");
    (void)snprintf(path, sizeof path, "/proc/%d/ns/net", (int)pid);
    FD_AUTO int netns_fd = open(path, O_RDONLY | O_CLOEXEC);
    if (result == 0 && (netns_fd < 0 || setns(netns_fd, CLONE_NEWNET) < 0))
        result = -errno;
    (void)kill(pid, SIGKILL);
    (void)waitpid(pid, NULL, 0);
    errno = -result;
    return result < 0 ? -1 : 0;
}

void weak_owner_join(int netns_fd)
{
    int user_fd = ioctl(netns_fd, NS_GET_USERNS);
    if (user_fd < 0 || setns(user_fd, CLONE_NEWUSER) < 0 || unshare(CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS) < 0)
        _exit(1); /* hostd says that the child has gone */
    (void)close(user_fd);
}
