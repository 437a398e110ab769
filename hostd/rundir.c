/*
 * rundir.c - what a running application keeps below /run/hostd/<app>, and its data below the state directory.
 *
 *   lock     locked by the hostd that runs the application: a lock of the process (fcntl), which no child inherits
 *   ids      first host id of the application's services
 *   state    symbolic link to its state directory
 *   ledger   who runs, for the next hostd after the death of this one (ledger.h)
 *   init/    one socket per service: how that one reaches its PID 1 (leftovers.c)
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
#define LOCK_TRIES_MAX 50

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

/* ---- what no two applications share ---- */

/* Two starts choose one after the other: until *ret_fd is closed. */
static int lock_root(int *ret_fd, struct err *e)
{
    FD_AUTO int fd = open(run_root(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || flock(fd, LOCK_EX) < 0)
        return err_sys(e, -errno, "lock %s", run_root());
    *ret_fd = fd_take(&fd);
    return 0;
}

int rundir_claim_ids(const char *app_name, uint32_t *ret_uid_base, struct err *e)
{
    bool is_used[IDS_APPS] = {false};
    char names[IDS_APPS * 2][NAME_BYTES];
    FD_AUTO int root_fd = -1;
    int result = lock_root(&root_fd, e);
    if (result < 0)
        return result;
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

/* It is another application's, while that one has a run directory: its hostd may be dead.  And another hostd's, which
 * has its run directories elsewhere, while that one lives. */
static int claim_state(struct app *app, struct err *e)
{
    char names[IDS_APPS * 2][NAME_BYTES], path[NAME_BYTES + 8];
    FD_AUTO int root_fd = -1;
    int result = lock_root(&root_fd, e);
    if (result < 0)
        return result;
    int count = control_list(names, ARRAY_COUNT(names));
    for (int i = 0; i < count; i++) {
        (void)snprintf(path, sizeof path, "%.*s/state", NAME_BYTES - 1, names[i]);
        FD_AUTO int other_fd = openat(root_fd, path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (other_fd < 0 || strcmp(names[i], app->name) == 0 || !place_overlaps(app->state_fd, other_fd))
            continue;
        (void)err_set(e, -EBUSY, "state directory %s is, holds or lies in that of application '%s'", app->state_dir,
                      names[i]);
        return err_hint(e, "choose another with --state-dir, or first: hostd stop --app %s", names[i]);
    }
    for (int tries = 0; flock(app->state_fd, LOCK_EX | LOCK_NB) < 0; tries++) {
        if (tries == LOCK_TRIES_MAX)
            return err_set(e, -EBUSY, "state directory %s is another hostd's (choose one with --state-dir)",
                           app->state_dir);
        (void)usleep(10000); /* a child of a hostd that was killed has it until it sees that */
    }
    if ((unlinkat(app->run_fd, "state", 0) < 0 && errno != ENOENT) ||
        symlinkat(app->state_dir, app->run_fd, "state") < 0)
        return err_sys(e, -errno, "write %s/state", app->run_dir);
    return 0;
}

/* ---- the ledger ---- */

/* A wrong one, or another boot's, is as good as none: what lives is found by its sockets then (leftovers.c). */
static void read_ledger(struct app *app)
{
    FREE_AUTO char *text = malloc(LEDGER_BYTES_MAX + 1);
    FD_AUTO int fd = openat(app->run_fd, "ledger", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    ssize_t got = text && fd >= 0 ? read(fd, text, LEDGER_BYTES_MAX + 1) : -1;
    struct err e;
    if (got >= 0 && ledger_parse(text, (size_t)got, &app->ledger, &e) < 0)
        (void)fprintf(stderr, "hostd: %s/ledger: %s; what it should name is ended\n", app->run_dir, e.text);
    char boot_id[BOOT_ID_BYTES];
    process_boot_id(boot_id);
    if (app->ledger && strcmp(app->ledger->boot_id, boot_id) != 0) {
        free(app->ledger);
        app->ledger = NULL;
    }
}

static void note_service(struct app *app, uint32_t index, struct ledger_service *service)
{
    struct instance *instance = &app->instances[index];
    if (instance->init_pid != instance->mark.pid && process_mark(instance->init_pid, &instance->mark) < 0)
        instance->mark = (struct process_mark){0}; /* none, or it ended just now */
    enum instance_state state = instance->is_spawning                                       ? INSTANCE_STARTING
                                : app->is_stopping && instance_state_lives(instance->state) ? INSTANCE_STOPPING
                                                                                            : instance->state;
    *service = (struct ledger_service){.state = state,
                                       .mark = instance->mark,
                                       .generation = instance->generation,
                                       .quick_ends = instance->quick_ends,
                                       .restart_pause_ms = instance->restart_pause_ms,
                                       .oom_kills = instance->oom_kills};
    memcpy(service->name, SERVICE_NAME(app, index), sizeof service->name);
    memcpy(service->last_end, instance->last_end, sizeof service->last_end);
}

static int write_ledger(struct app *app)
{
    size_t count = app->plan->service_count;
    FREE_AUTO struct ledger *ledger = calloc(1, sizeof *ledger + count * sizeof ledger->services[0]);
    if (!ledger)
        return -ENOMEM;
    *ledger = (struct ledger){.list_hash = app->list_hash,
                              .protocol = INIT_PROTOCOL,
                              .is_plain = app->is_plain,
                              .next_wire = app->next_wire,
                              .service_count = count};
    process_boot_id(ledger->boot_id);
    for (uint32_t i = 0; i < count; i++)
        note_service(app, i, &ledger->services[i]);
    /* A new file each time, renamed into place: a crash in between leaves the old one. */
    FD_AUTO int fd = openat(app->run_fd, "ledger.new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    FILE *file = fd < 0 ? NULL : fdopen(fd, "w");
    if (!file)
        return -errno;
    (void)fd_take(&fd); /* the stream's */
    ledger_print(ledger, file);
    int result = ferror(file) ? -EIO : 0;
    if (fclose(file) != 0)
        result = -errno;
    if (result == 0 && renameat(app->run_fd, "ledger.new", app->run_fd, "ledger") < 0)
        result = -errno;
    return result;
}

int rundir_note(struct app *app)
{
    int result = write_ledger(app);
    if (result < 0 && app->has_started) /* before that the start fails, and says it */
        (void)fprintf(stderr, "hostd: write %s/ledger: %s; if hostd died now, the next one could not adopt all\n",
                      app->run_dir, strerror(-result));
    return result;
}

int rundir_read_status(const struct app *app, uint32_t index, int *ret_wait_status, char ret_why[INIT_WHY_BYTES])
{
    char path[NAME_BYTES + 8], text[INIT_WHY_BYTES + 32];
    (void)snprintf(path, sizeof path, "status/%s", SERVICE_NAME(app, index));
    int why_at = 0;
    if (read_text(app->run_fd, path, text, sizeof text) < 0 || sscanf(text, "%d %n", ret_wait_status, &why_at) != 1)
        return -ENOENT;
    (void)snprintf(ret_why, INIT_WHY_BYTES, "%.*s", (int)strcspn(text + why_at, "\n"), text + why_at);
    return 0;
}

/* ---- open and close ---- */

int rundir_open_state(struct app *app, struct err *e)
{
    char part[APP_PATH_BYTES];
    /* Every missing directory on the way; modes of existing ones are the owner's affair. */
    for (size_t i = 1; app->state_dir[i - 1]; i++) {
        if (app->state_dir[i] != '/' && app->state_dir[i] != '\0')
            continue;
        memcpy(part, app->state_dir, i);
        part[i] = '\0';
        if (mkdir(part, 0700) < 0 && errno != EEXIST) {
            (void)err_sys(e, -errno, "state directory %s: mkdir %s", app->state_dir, part);
            return err_hint(e, "--state-dir names another");
        }
    }
    app->state_fd = open(app->state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return app->state_fd < 0 ? err_sys(e, -errno, "open %s", app->state_dir) : claim_state(app, e);
}

int rundir_lock(struct app *app, struct err *e)
{
    (void)snprintf(app->run_dir, sizeof app->run_dir, "%s/%s", run_root(), app->name);
    int result = -ENOENT;
    for (int tries = 0; result == -ENOENT && tries < 3; tries++) { /* the last stop of others removes the root */
        result = make_directory(run_root(), e);
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
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (fcntl(lock_fd, F_SETLK, &whole) < 0) {
        if (errno != EAGAIN && errno != EACCES)
            return err_sys(e, -errno, "lock %s/lock", app->run_dir);
        (void)err_set(e, -EBUSY, "application '%s' runs already", app->name);
        return err_hint(e, "stop it with: hostd stop --app %s; or start this one with --name", app->name);
    }
    struct stat locked, named;
    if (fstat(lock_fd, &locked) < 0 || fstatat(app->run_fd, "lock", &named, AT_SYMLINK_NOFOLLOW) < 0 ||
        locked.st_ino != named.st_ino)
        return err_set(e, -EBUSY, "application '%s' is being stopped; try again", app->name);
    app->lock_fd = fd_take(&lock_fd);
    read_ledger(app);
    app->is_kept = app->ledger; /* until we know what to do about it */
    return 0;
}

int rundir_open(struct app *app, struct err *e)
{
    static const char *const directories[] = {"logs", "status", "init"};
    int result = rundir_lock(app, e);
    if (result < 0 && app->lock_fd < 0) {
        (void)rmdir(app->run_dir); /* when it is empty: without its lock no more than that is ours */
        (void)rmdir(run_root());
    }
    if (result < 0)
        return result;
    for (size_t i = 0; i < ARRAY_COUNT(directories); i++)
        if (mkdirat(app->run_fd, directories[i], 0700) < 0 && errno != EEXIST)
            return err_sys(e, -errno, "mkdir %s/%s", app->run_dir, directories[i]);
    return 0;
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
    if (app->lock_fd >= 0 && !app->is_kept) { /* never of an application that somebody else runs */
        /* A walk that was cut short is begun again: what stays would be taken for an application that died. */
        for (int tries = 0; tries < REMOVE_TRIES_MAX; tries++) {
            (void)nftw(app->run_dir, remove_entry, 8, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
            if (access(app->run_dir, F_OK) < 0 && errno == ENOENT)
                break;
        }
        (void)rmdir(run_root()); /* stays while another application runs */
    }
    fd_close(&app->lock_fd);
    fd_close(&app->run_fd);
    fd_close(&app->state_fd);
}
