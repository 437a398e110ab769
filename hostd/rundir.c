/*
 * rundir.c - what a running application keeps below /run/hostd/<app>, and its data below the state directory.
 *
 *   lock     held with flock() by the hostd that runs the application
 *   ids      first host id of the application's services
 *   pids     who runs: service, pid, start time (for the next hostd after a crash of this one)
 *   control  unix socket (control.c)
 *   list, manifest  what it was started from (runlist.c)
 *   events.0, events.1  what happened (events.c)
 *   logs/    two files per service, written by its PID 1
 *   status/  one file per service: its last wait status
 *
 * All of it is root's and 0700, and goes with the application.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "hostd/app.h"
#include "rpc/base/own.h"

#define IDS_FIRST 0x20000000u  /* well above what distributions hand out to users and containers */
#define IDS_PER_APP (1u << 26) /* 1,024 services of 65,536 ids */
#define IDS_APPS 32u           /* so the last one ends below 2^32 - 1 */
#define REMOVE_TRIES_MAX 3
#define LEFTOVER_MS_MAX 2000 /* for a killed process to be gone */

/* ---- small files ---- */

static int write_text(int directory_fd, const char *name, const char *text, struct err *e)
{
    FD_AUTO int fd = openat(directory_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
        return err_sys(e, -errno, "write %s", name);
    return 0;
}

static int read_text(int directory_fd, const char *name, char *text, size_t room)
{
    FD_AUTO int fd = openat(directory_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return -errno;
    ssize_t got = read(fd, text, room - 1);
    if (got < 0)
        return -errno;
    text[got] = '\0';
    return 0;
}

static int make_directory(const char *path, struct err *e)
{
    struct stat status;
    if (mkdir(path, 0700) < 0 && errno != EEXIST)
        return err_sys(e, -errno, "mkdir %s", path);
    if (lstat(path, &status) < 0)
        return err_sys(e, -errno, "stat %s", path);
    if (!S_ISDIR(status.st_mode) || status.st_uid != geteuid() || (status.st_mode & 022))
        return err_set(e, -EPERM, "%s must be a directory of our own that nobody else may write to", path);
    return 0;
}

/* ---- ids ---- */

int rundir_claim_ids(const char *app_name, uint32_t *ret_uid_base, struct err *e)
{
    bool is_used[IDS_APPS] = {false};
    FD_AUTO int root_fd = open(RUN_ROOT, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root_fd < 0 || flock(root_fd, LOCK_EX) < 0) /* ends with this function: two starts choose one after the other */
        return err_sys(e, -errno, "lock %s", RUN_ROOT);
    char names[IDS_APPS * 2][NAME_BYTES];
    int count = control_list(names, ARRAY_COUNT(names));
    for (int i = 0; i < count; i++) {
        char path[NAME_BYTES + 8], text[32];
        unsigned base = 0;
        (void)snprintf(path, sizeof path, "%.*s/ids", NAME_BYTES - 1, names[i]);
        if (read_text(root_fd, path, text, sizeof text) < 0 || sscanf(text, "%u", &base) != 1 || base < IDS_FIRST)
            continue;
        unsigned slot = (base - IDS_FIRST) / IDS_PER_APP;
        if (strcmp(names[i], app_name) == 0) {
            *ret_uid_base = base; /* ours: of a hostd that died */
            return 0;
        }
        if (slot < IDS_APPS)
            is_used[slot] = true;
    }
    for (uint32_t slot = 0; slot < IDS_APPS; slot++) {
        if (is_used[slot])
            continue;
        char text[32], file[NAME_BYTES + 8];
        *ret_uid_base = IDS_FIRST + slot * IDS_PER_APP;
        (void)snprintf(text, sizeof text, "%u\n", *ret_uid_base);
        (void)snprintf(file, sizeof file, "%s/ids", app_name);
        return write_text(root_fd, file, text, e);
    }
    return err_set(e, -EAGAIN, "%u applications run already: no host ids left", IDS_APPS);
}

/* ---- what a dead hostd left ---- */

static unsigned long long start_time(int pid)
{
    char path[64], text[1024];
    (void)snprintf(path, sizeof path, "/proc/%d/stat", pid);
    if (read_text(AT_FDCWD, path, text, sizeof text) < 0)
        return 0;
    /* The name in parentheses may hold anything: fields are counted behind the last one. */
    const char *fields = strrchr(text, ')');
    unsigned long long ticks = 0;
    if (!fields ||
        sscanf(fields + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
               &ticks) != 1)
        return 0;
    return ticks;
}

/* Ends one process of the list, if it still is the one that was noted: by pidfd, compared after it was opened. */
static int end_leftover(int pid, unsigned long long started, const char *service, struct err *e)
{
    FD_AUTO int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (pidfd < 0 || start_time(pid) != started)
        return 0; /* gone, or another process by now */
    if (syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0) < 0 && errno != ESRCH)
        return err_sys(e, -errno, "end service '%s' of an earlier run (pid %d)", service, pid);
    struct pollfd ended = {.fd = pidfd, .events = POLLIN};
    if (poll(&ended, 1, LEFTOVER_MS_MAX) != 1)
        return err_set(e, -EBUSY, "service '%s' of an earlier run (pid %d) does not end", service, pid);
    return 0;
}

static int end_leftovers(struct app *app, struct err *e)
{
    FD_AUTO int fd = openat(app->run_fd, "pids", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return 0; /* a clean start */
    FILE *file = fdopen(fd_take(&fd), "r");
    if (!file)
        return err_set(e, -ENOMEM, "no memory");
    char name[NAME_BYTES];
    int pid, result = 0;
    unsigned long long started;
    while (result == 0 && fscanf(file, "%31s %d %llu", name, &pid, &started) == 3) {
        result = end_leftover(pid, started, name, e);
        (void)cgroup_remove(&app->cgroups, app->name, name); /* a group still in use is taken over */
    }
    (void)fclose(file); /* read only */
    return result;
}

void rundir_note(struct app *app)
{
    /* A new file each time, renamed into place: a crash in between leaves the old list. */
    FD_AUTO int fd = openat(app->run_fd, "pids.new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return; /* a full /run: the list is for the rare case of a crash, the application goes on */
    for (size_t i = 0; i < app->plan->service_count; i++) {
        const struct instance *instance = &app->instances[i];
        if (instance->init_pid > 0)
            (void)dprintf(fd, "%s %d %llu\n", SERVICE_NAME(app, i), (int)instance->init_pid,
                          start_time(instance->init_pid));
    }
    (void)renameat(app->run_fd, "pids.new", app->run_fd, "pids");
}

/* ---- open and close ---- */

static int open_state(struct app *app, struct err *e)
{
    char part[APP_PATH_BYTES];
    /* Every missing directory on the way; modes of existing ones are the owner's affair. */
    for (size_t i = 1; app->state_dir[i - 1]; i++) {
        if (app->state_dir[i] != '/' && app->state_dir[i] != '\0')
            continue;
        memcpy(part, app->state_dir, i);
        part[i] = '\0';
        if (mkdir(part, 0700) < 0 && errno != EEXIST)
            return err_sys(e, -errno, "mkdir %s", part);
    }
    app->state_fd = open(app->state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return app->state_fd < 0 ? err_sys(e, -errno, "open %s", app->state_dir) : 0;
}

static int open_locked(struct app *app, struct err *e)
{
    (void)snprintf(app->run_dir, sizeof app->run_dir, "%s/%s", RUN_ROOT, app->name);
    int result = -ENOENT;
    for (int tries = 0; result == -ENOENT && tries < 3; tries++) { /* the last stop of others removes the root */
        result = make_directory(RUN_ROOT, e);
        if (result == 0)
            result = make_directory(app->run_dir, e);
    }
    if (result < 0)
        return result;
    app->run_fd = open(app->run_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (app->run_fd < 0)
        return err_sys(e, -errno, "open %s", app->run_dir);
    FD_AUTO int lock_fd = openat(app->run_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (lock_fd < 0)
        return err_sys(e, -errno, "open %s/lock", app->run_dir);
    if (flock(lock_fd, LOCK_EX | LOCK_NB) < 0) {
        if (errno != EWOULDBLOCK)
            return err_sys(e, -errno, "lock %s/lock", app->run_dir);
        (void)err_set(e, -EBUSY, "application '%s' runs already", app->name);
        return err_hint(e, "stop it with: hostd stop --app %s; or start this one with --name", app->name);
    }
    struct stat locked, named;
    if (fstat(lock_fd, &locked) < 0 || fstatat(app->run_fd, "lock", &named, AT_SYMLINK_NOFOLLOW) < 0 ||
        locked.st_ino != named.st_ino)
        return err_set(e, -EBUSY, "application '%s' is being stopped; try again", app->name);
    app->lock_fd = fd_take(&lock_fd);
    return 0;
}

int rundir_open(struct app *app, struct err *e)
{
    int result = open_locked(app, e);
    if (result < 0) {
        (void)rmdir(app->run_dir); /* when it is empty: without its lock no more than that is ours */
        (void)rmdir(RUN_ROOT);
        return result;
    }
    result = end_leftovers(app, e);
    if (result < 0)
        return result;
    if (mkdirat(app->run_fd, "logs", 0700) < 0 && errno != EEXIST)
        return err_sys(e, -errno, "mkdir %s/logs", app->run_dir);
    if (mkdirat(app->run_fd, "status", 0700) < 0 && errno != EEXIST)
        return err_sys(e, -errno, "mkdir %s/status", app->run_dir);
    return open_state(app, e);
}

int rundir_open_logs(struct app *app, uint32_t index, struct err *e)
{
    struct instance *instance = &app->instances[index];
    char path[NAME_BYTES + 16];
    for (int k = 0; k < 2; k++) {
        (void)snprintf(path, sizeof path, "logs/%s.%d", SERVICE_NAME(app, index), k);
        instance->log_fd[k] = openat(app->run_fd, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (instance->log_fd[k] < 0)
            return err_sys(e, -errno, "open %s/%s", app->run_dir, path);
    }
    (void)snprintf(path, sizeof path, "status/%s", SERVICE_NAME(app, index));
    instance->status_fd = openat(app->run_fd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    return instance->status_fd < 0 ? err_sys(e, -errno, "open %s/%s", app->run_dir, path) : 0;
}

static int remove_entry(const char *path, const struct stat *status, int kind, struct FTW *walk)
{
    (void)status;
    (void)kind;
    (void)walk;
    (void)remove(path); /* what cannot be removed is found by the rmdir of its parent, and by whoever looks */
    return 0;
}

void rundir_close(struct app *app)
{
    if (app->lock_fd >= 0) { /* never of an application that somebody else runs */
        /* A walk that was cut short is begun again: what stays would be taken for an application that died. */
        for (int tries = 0; tries < REMOVE_TRIES_MAX; tries++) {
            (void)nftw(app->run_dir, remove_entry, 8, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
            if (access(app->run_dir, F_OK) < 0 && errno == ENOENT)
                break;
        }
        (void)rmdir(RUN_ROOT); /* stays while another application runs */
    }
    fd_close(&app->lock_fd);
    fd_close(&app->run_fd);
    fd_close(&app->state_fd);
}
