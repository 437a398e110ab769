/* process.c - see process.h. */
#include "hostd/process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "rpc/base/own.h"

static int read_text(const char *path, char *text, size_t room)
{
    FD_AUTO int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? -1 : read(fd, text, room - 1);
    if (got < 0)
        return -errno;
    text[got] = '\0';
    return 0;
}

static int start_time(pid_t pid, uint64_t *ret_ticks)
{
    char path[64], text[1024];
    unsigned long long ticks = 0;
    (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    if (read_text(path, text, sizeof text) < 0)
        return -ESRCH;
    /* The name in parentheses may hold anything: fields are counted behind the last one. */
    const char *fields = strrchr(text, ')');
    if (!fields ||
        sscanf(fields + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
               &ticks) != 1)
        return -ESRCH;
    *ret_ticks = ticks;
    return 0;
}

static int namespace_of(pid_t pid, const char *kind, uint64_t *ret_inode)
{
    char path[64];
    struct stat status;
    (void)snprintf(path, sizeof path, "/proc/%d/ns/%s", (int)pid, kind);
    if (stat(path, &status) < 0)
        return -ESRCH;
    *ret_inode = status.st_ino;
    return 0;
}

int process_mark(pid_t pid, struct process_mark *ret_mark)
{
    struct process_mark mark = {.pid = pid};
    if (pid <= 0 || start_time(pid, &mark.started_ticks) < 0 || namespace_of(pid, "net", &mark.netns) < 0 ||
        namespace_of(pid, "user", &mark.userns) < 0 || namespace_of(pid, "pid", &mark.pidns) < 0)
        return -ESRCH;
    *ret_mark = mark;
    return 0;
}

int process_has_ended(int pidfd)
{
    struct pollfd ended = {.fd = pidfd, .events = POLLIN};
    return poll(&ended, 1, 0) != 0;
}

int process_wait(int pidfd, int timeout_ms)
{
    struct pollfd ended = {.fd = pidfd, .events = POLLIN};
    int count;
    while ((count = poll(&ended, 1, timeout_ms)) < 0 && errno == EINTR)
        ; /* signals come by a descriptor: rare */
    return count == 1 ? 0 : -ETIMEDOUT;
}

/* The file that it runs is called so; it may have been replaced on disk since. */
static int runs_program(pid_t pid, const char *program)
{
    char path[64], target[4096];
    (void)snprintf(path, sizeof path, "/proc/%d/exe", (int)pid);
    ssize_t bytes = readlink(path, target, sizeof target - 1);
    if (bytes <= 0)
        return 0;
    target[bytes] = '\0';
    const char *slash = strrchr(target, '/');
    size_t length = strlen(program);
    return slash && strncmp(slash + 1, program, length) == 0 && (slash[1 + length] == '\0' || slash[1 + length] == ' ');
}

int process_open(const struct process_mark *mark, const char *program, int *ret_pidfd)
{
    struct process_mark now;
    if (mark->pid <= 0)
        return -ESRCH;
    FD_AUTO int pidfd = (int)syscall(SYS_pidfd_open, mark->pid, 0);
    if (pidfd < 0 || process_mark(mark->pid, &now) < 0)
        return -ESRCH;
    if (now.started_ticks != mark->started_ticks || now.netns != mark->netns || now.userns != mark->userns ||
        now.pidns != mark->pidns || !runs_program(mark->pid, program))
        return -ESRCH;
    /* It lives still: so the number was its own all the while that we looked. */
    if (process_has_ended(pidfd))
        return -ESRCH;
    *ret_pidfd = fd_take(&pidfd);
    return 0;
}

pid_t process_first_child(pid_t pid)
{
    char path[64], text[32];
    (void)snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)pid, (int)pid);
    return read_text(path, text, sizeof text) < 0 ? 0 : (pid_t)strtol(text, NULL, 10);
}

void process_boot_id(char ret_id[BOOT_ID_BYTES])
{
    ret_id[0] = '\0';
    if (read_text("/proc/sys/kernel/random/boot_id", ret_id, BOOT_ID_BYTES) == 0)
        ret_id[strcspn(ret_id, "\n")] = '\0';
}
