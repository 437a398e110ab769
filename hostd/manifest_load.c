/*
 * manifest_load.c - manifest_load(): the parser in a child that may do nothing but parse.  Doing.
 *
 * TOML parsers are large, and hostd is root.  So the parent reads the file's bytes, forks, and the child:
 *
 *   parent                                   child
 *   reads the file (bounded)      ── fork ─▶  drops every right: ids, capabilities, limits, no_new_privs, seccomp
 *   opens what is asked for     ◀─ request ─  needs a program's schema note, or whether a path exists
 *     (a regular, executable file; else only a yes or no)
 *                                 ─ reply ─▶  one descriptor, read-only, or an errno
 *   waits for its end           ◀── exit ───  block or report stand in the memory that both share
 *   copies, manifest_verify()
 *
 * Why requests, rather than a child that opens by itself: the list names programs and files, so they are known only
 * while it is parsed, and they may lie below a home that nobody else may enter.  The alternatives are worse:
 * CAP_DAC_READ_SEARCH would let a parser that was taken over read every file of the host, and two passes need a second
 * format.  As it is, such a parser can learn whether a path exists and read executables and libraries (never
 * /etc/shadow), and has nobody to tell but a parent that checks what it gets.
 *
 * Invariants
 *  I1  The parent takes nothing from the shared memory before the child has ended, and copies it once before it looks.
 *  I2  Every wait ends MANIFEST_PARSE_MS_MAX after the start; the child is gone when manifest_load() returns.
 */
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "hostd/confine.h"
#include "hostd/filter.h"
#include "hostd/manifest.h"
#include "rpc/base/clock.h"
#include "rpc/base/own.h"

#define BINARY_BYTES_MAX (256ll << 20) /* of a program; static ones have a few MiB */
#define CHILD_MEMORY_BYTES_MAX (512u << 20)
#define CHILD_CPU_SECONDS_MAX 8u
#define CHILD_FILES_MAX 8u     /* the socket and one program, with room */
#define TREE_ENTRIES_MAX 32768 /* of one directory: /usr/lib/python3.11 has 1,500; a second, cold */
#define REQUESTS_MAX                                                                                                   \
    (MANIFEST_SERVICES_MAX * 2048u) /* a library is looked for in a few directories; time ends it too */

/* ---- what travels ---- */

enum request_kind {
    REQUEST_MAP = 1,   /* a descriptor of this executable */
    REQUEST_PROBE = 2, /* is there a file or a directory? */
    REQUEST_READ = 3,  /* + enum manifest_want: a descriptor of what a library closure is made from */
};

struct request {
    uint32_t kind;
    char path[MANIFEST_PATH_BYTES_MAX];
};

struct reply {
    int32_t result;
    uint32_t reserved;
    uint64_t bytes; /* of the file */
};

/* Memory of both; the child writes it. */
struct answer {
    int32_t result;
    uint32_t block_bytes;
    char report[MANIFEST_REPORT_BYTES];
    char block[MANIFEST_BYTES_MAX];
};

struct source {
    const char *name; /* of the file, as the user wrote it */
    char *text;
    size_t bytes;
    char dir[PATH_MAX];     /* where it lies */
    char bin_dir[PATH_MAX]; /* where our programs lie */
};

static int report_failure(char report[MANIFEST_REPORT_BYTES], const char *name, int code, const char *what)
{
    (void)snprintf(report, MANIFEST_REPORT_BYTES, "hostd: %s: %s: %s\n", name, what, strerror(-code));
    return code;
}

/* ---- the child ---- */

/* Sends a request, waits for its reply; *ret_fd is -1 when none came with it. */
static int ask(int socket_fd, uint32_t kind, const char *path, uint64_t *ret_bytes, int *ret_fd)
{
    struct request request = {.kind = kind};
    size_t path_bytes = strlen(path);
    if (path_bytes >= sizeof request.path)
        return -ENAMETOOLONG;
    memcpy(request.path, path, path_bytes);
    struct iovec out = {.iov_base = &request, .iov_len = sizeof request};
    struct msghdr message = {.msg_iov = &out, .msg_iovlen = 1};
    if (sendmsg(socket_fd, &message, MSG_NOSIGNAL) != (ssize_t)sizeof request)
        return -EPIPE;

    struct reply reply;
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec in = {.iov_base = &reply, .iov_len = sizeof reply};
    message =
        (struct msghdr){.msg_iov = &in, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    if (recvmsg(socket_fd, &message, MSG_CMSG_CLOEXEC) != (ssize_t)sizeof reply)
        return -EPIPE;
    const struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS)
        memcpy(ret_fd, CMSG_DATA(header), sizeof *ret_fd);
    *ret_bytes = reply.bytes;
    return reply.result;
}

static int map_answer(int socket_fd, uint32_t kind, const char *path, const void **ret_image, size_t *ret_bytes)
{
    FD_AUTO int fd = -1;
    uint64_t bytes = 0;
    int r = ask(socket_fd, kind, path, &bytes, &fd);
    if (r < 0)
        return r;
    if (fd < 0 || bytes == 0)
        return -ENOEXEC;
    /* Somebody who cuts the file now ends this child with a SIGBUS: one clear error, as for every other crash. */
    void *image = mmap(NULL, bytes, PROT_READ, MAP_PRIVATE, fd, 0);
    if (image == MAP_FAILED)
        return -errno;
    *ret_image = image;
    *ret_bytes = bytes;
    return 0;
}

static int io_map(void *context, const char *path, const void **ret_image, size_t *ret_bytes)
{
    return map_answer(*(const int *)context, REQUEST_MAP, path, ret_image, ret_bytes);
}

static int io_read(void *context, enum manifest_want want, const char *path, const void **ret_image, size_t *ret_bytes)
{
    return map_answer(*(const int *)context, REQUEST_READ + want, path, ret_image, ret_bytes);
}

static void io_unmap(void *context, const void *image, size_t bytes)
{
    (void)munmap((void *)(uintptr_t)image, bytes); /* our own mapping: cannot fail */
}

static int io_probe(void *context, const char *path)
{
    FD_AUTO int fd = -1;
    uint64_t bytes;
    return ask(*(const int *)context, REQUEST_PROBE, path, &bytes, &fd);
}

/* What the parser does in the child; tests put something worse in its place. */
typedef void child_work(const struct source *source, int *socket_fd, struct answer *answer);

static void parse_list(const struct source *source, int *socket_fd, struct answer *answer)
{
    const struct manifest_io io = {
        .context = socket_fd, .map = io_map, .unmap = io_unmap, .probe = io_probe, .read = io_read};
    struct manifest *manifest = NULL;
    answer->result = manifest_parse(source->text, source->bytes, source->name, source->dir, source->bin_dir, &io,
                                    &manifest, answer->report);
    if (answer->result == 0) {
        answer->block_bytes = manifest->total_bytes;
        memcpy(answer->block, manifest, manifest->total_bytes);
    }
}

static _Noreturn void run_child(const struct source *source, int socket_fd, const struct filter *filter,
                                child_work *work, struct answer *answer)
{
    /* The socket becomes descriptor 0, and nothing else stays: not the terminal, not hostd's own. */
    if (dup2(socket_fd, 0) < 0 || syscall(SYS_close_range, 1, ~0u, 0) < 0)
        _exit(1);
    int own_socket_fd = 0;
    const struct confine_limits limits = {.cpu_seconds = CHILD_CPU_SECONDS_MAX,
                                          .memory_bytes = CHILD_MEMORY_BYTES_MAX,
                                          .files = CHILD_FILES_MAX,
                                          .is_writing_no_file = true};
    int r = confine_self(filter, &limits);
    if (r < 0) {
        answer->result = r;
        (void)snprintf(answer->report, sizeof answer->report,
                       "hostd: confining the parser: %s (root must be able to become nobody, user %u)\n", strerror(-r),
                       CONFINE_UID);
    } else {
        work(source, &own_socket_fd, answer);
    }
    for (;;) /* raw: what sanitizers do before _exit() is refused here */
        (void)syscall(SYS_exit_group, 0);
}

/* ---- the parent ---- */

/* Opens a file for the child.  Only what anybody could start as a program: see the head of this file. */
static int open_binary(const char *path, uint64_t *ret_bytes, int *ret_fd)
{
    struct stat status;
    /* Not blocking: it may be a FIFO. */
    FD_AUTO int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return -errno;
    if (fstat(fd, &status) < 0)
        return -errno;
    if (S_ISDIR(status.st_mode))
        return -EISDIR;
    if (!S_ISREG(status.st_mode) || !(status.st_mode & 0111))
        return -EACCES;
    if (status.st_size > BINARY_BYTES_MAX)
        return -EFBIG;
    *ret_bytes = (uint64_t)status.st_size;
    *ret_fd = fd_take(&fd);
    return 0;
}

/* For a library closure: an ELF file that everybody may read or execute, or the loader's cache. */
static int open_library(const char *path, bool is_cache, uint64_t *ret_bytes, int *ret_fd)
{
    char magic[4];
    struct stat status;
    FD_AUTO int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 || fstat(fd, &status) < 0)
        return -errno;
    if (S_ISDIR(status.st_mode))
        return -EISDIR;
    if (!S_ISREG(status.st_mode) || !(status.st_mode & (is_cache ? 0004 : 0115)))
        return -EACCES;
    if (status.st_size > BINARY_BYTES_MAX)
        return -EFBIG;
    if (!is_cache && (pread(fd, magic, sizeof magic, 0) != sizeof magic || memcmp(magic, "\177ELF", 4) != 0))
        return -ENOEXEC;
    *ret_bytes = (uint64_t)status.st_size;
    *ret_fd = fd_take(&fd);
    return 0;
}

/* Goes through a directory as a mount of it shows it; symlinks below it are not followed.  list_fd: gets the names of
 * files that look like libraries and modules (programs could not be started there anyway); -1 = nobody asks. */
static int walk(const char *path, int list_fd, uint64_t *ret_bytes)
{
    char *roots[] = {(char *)(uintptr_t)path, NULL};
    FTS *tree = fts_open(roots, FTS_PHYSICAL | FTS_COMFOLLOW | FTS_NOCHDIR | FTS_XDEV, NULL);
    if (!tree)
        return -errno;
    int r = 0, entries = 0;
    for (const FTSENT *entry; r == 0 && (entry = fts_read(tree));) {
        mode_t mode = entry->fts_info == FTS_DEFAULT ? entry->fts_statp->st_mode : 0;
        if (S_ISSOCK(mode) || S_ISFIFO(mode))
            r = -ENXIO; /* read-only or not, it can be connected to, or opened */
        else if (++entries > TREE_ENTRIES_MAX)
            r = -E2BIG;
        else if (list_fd < 0 || entry->fts_info != FTS_F || entry->fts_pathlen >= MANIFEST_PATH_BYTES_MAX ||
                 (!strstr(entry->fts_name, ".so") && !strstr(entry->fts_name, ".node")))
            continue;
        else if (write(list_fd, entry->fts_path, entry->fts_pathlen + 1u) != entry->fts_pathlen + 1)
            r = -ENOMEM;
        else
            *ret_bytes += entry->fts_pathlen + 1u;
    }
    (void)fts_close(tree);
    return r;
}

static int list_tree(const char *path, uint64_t *ret_bytes, int *ret_fd)
{
    FD_AUTO int fd = memfd_create("tree", MFD_CLOEXEC);
    int r = fd < 0 ? -errno : walk(path, fd, ret_bytes);
    if (r == 0 && *ret_bytes == 0)
        r = -ENOENT;
    if (r == 0)
        *ret_fd = fd_take(&fd);
    return r;
}

static int probe(const char *path)
{
    struct stat status;
    if (stat(path, &status) < 0)
        return -errno;
    return S_ISREG(status.st_mode) ? 0 : S_ISDIR(status.st_mode) ? walk(path, -1, NULL) : -EINVAL;
}

/* Takes one request and answers it.  0: go on; 1: the child closed its end; negative: it broke the protocol. */
static int serve(int socket_fd)
{
    struct request request;
    ssize_t got = recv(socket_fd, &request, sizeof request, MSG_DONTWAIT | MSG_TRUNC);
    if (got == 0)
        return 1;
    if (got < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -errno;
    if (got != (ssize_t)sizeof request || !memchr(request.path, '\0', sizeof request.path) || request.path[0] != '/')
        return -EPROTO;

    FD_AUTO int fd = -1;
    struct reply reply = {0};
    if (request.kind == REQUEST_MAP)
        reply.result = open_binary(request.path, &reply.bytes, &fd);
    else if (request.kind == REQUEST_PROBE)
        reply.result = probe(request.path);
    else if (request.kind == REQUEST_READ + WANT_LIBRARY)
        reply.result = open_library(request.path, false, &reply.bytes, &fd);
    else if (request.kind == REQUEST_READ + WANT_TREE)
        reply.result = list_tree(request.path, &reply.bytes, &fd);
    else if (request.kind == REQUEST_READ + WANT_CACHE)
        reply.result = open_library("/etc/ld.so.cache", true, &reply.bytes, &fd);
    else
        return -EPROTO;

    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct iovec out = {.iov_base = &reply, .iov_len = sizeof reply};
    struct msghdr message = {.msg_iov = &out, .msg_iovlen = 1};
    if (fd >= 0) {
        message.msg_control = &control;
        message.msg_controllen = sizeof control;
        control.header =
            (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof fd), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
        memcpy(CMSG_DATA(&control.header), &fd, sizeof fd);
    }
    if (sendmsg(socket_fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) != (ssize_t)sizeof reply)
        return -EPIPE;
    return 0;
}

/* Serves the child until it ends by itself (0), breaks the protocol, or the time is over (-ETIMEDOUT). */
static int attend(int pidfd, int socket_fd, uint32_t time_ms)
{
    const uint64_t end_ms = clock_ms() + time_ms;
    bool is_open = true;
    for (uint32_t requests = 0; requests <= REQUESTS_MAX;) {
        uint64_t now_ms = clock_ms();
        if (now_ms >= end_ms)
            return -ETIMEDOUT;
        struct pollfd polls[] = {{.fd = pidfd, .events = POLLIN}, {.fd = is_open ? socket_fd : -1, .events = POLLIN}};
        if (poll(polls, ARRAY_COUNT(polls), (int)(end_ms - now_ms)) < 0 && errno != EINTR)
            return -errno;
        if (polls[1].revents) {
            int r = serve(socket_fd);
            if (r < 0)
                return r;
            is_open = r == 0;
            requests++;
        } else if (polls[0].revents) {
            return 0;
        }
    }
    return -E2BIG;
}

/* Forks, serves, and sees the child out.  0 when it ended as it should; its answer is then in the shared memory. */
static int run_parser(const struct source *source, child_work *work, uint32_t time_ms, struct answer *answer,
                      char report[MANIFEST_REPORT_BYTES])
{
    struct filter filter;
    struct err e;
    int sockets[2];
    if (filter_parser(&filter, &e) < 0) {
        (void)snprintf(report, MANIFEST_REPORT_BYTES, "hostd: %s\n", e.text);
        return e.code == -EINVAL ? -EIO : e.code; /* EINVAL would say that the list is wrong */
    }
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) < 0)
        return report_failure(report, source->name, -errno, "socket for the parser");
    FD_AUTO int own_fd = sockets[0];
    FD_AUTO int child_fd = sockets[1];
    pid_t pid = fork();
    if (pid < 0)
        return report_failure(report, source->name, -errno, "fork for the parser");
    if (pid == 0)
        run_child(source, child_fd, &filter, work, answer);
    fd_close(&child_fd); /* else its end would not show */

    FD_AUTO int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    int r = pidfd < 0 ? -errno : attend(pidfd, own_fd, time_ms);
    if (r < 0)
        (void)kill(pid, SIGKILL); /* not reaped yet: the pid is still the child's */
    int wait_status = 0;
    while (waitpid(pid, &wait_status, 0) < 0)
        if (errno != EINTR)
            return report_failure(report, source->name, -errno, "waiting for the parser");
    if (r == -ETIMEDOUT) {
        (void)snprintf(report, MANIFEST_REPORT_BYTES, "hostd: %s: the parser did not come to an end in %u ms\n",
                       source->name, time_ms);
        return r;
    }
    if (r < 0)
        return report_failure(report, source->name, r, "the parser asks for nonsense");
    if (WIFSIGNALED(wait_status)) {
        (void)snprintf(report, MANIFEST_REPORT_BYTES, "hostd: %s: the parser crashed (signal %d, %s)\n", source->name,
                       WTERMSIG(wait_status), strsignal(WTERMSIG(wait_status)));
        return -EIO;
    }
    if (!WIFEXITED(wait_status) || WEXITSTATUS(wait_status) != 0)
        return report_failure(report, source->name, -EIO, "the parser failed");
    return 0;
}

/* What the child reported, made safe to print: ended, and nothing in it that a terminal would obey. */
static void take_report(const struct answer *answer, char report[MANIFEST_REPORT_BYTES])
{
    memcpy(report, answer->report, MANIFEST_REPORT_BYTES);
    report[MANIFEST_REPORT_BYTES - 1] = '\0';
    for (char *c = report; *c; c++)
        if (((unsigned char)*c < 0x20 && *c != '\n') || *c == 0x7F)
            *c = '?';
}

static int take_answer(const struct source *source, const struct answer *answer, struct manifest **ret_manifest,
                       char report[MANIFEST_REPORT_BYTES])
{
    if (answer->result < 0) {
        take_report(answer, report);
        return answer->result == -EINVAL ? -EINVAL : -EIO;
    }
    uint32_t bytes = answer->block_bytes;
    if (bytes < sizeof(struct manifest) || bytes > sizeof answer->block)
        return report_failure(report, source->name, -EPROTO, "the parser's answer");
    FREE_AUTO struct manifest *manifest = malloc(bytes);
    if (!manifest)
        return report_failure(report, source->name, -ENOMEM, "the parsed list");
    memcpy(manifest, answer->block, bytes);
    struct err e;
    if (manifest_verify(manifest, bytes, &e) < 0) {
        (void)snprintf(report, MANIFEST_REPORT_BYTES, "hostd: %s: %s\n", source->name, e.text);
        return -EPROTO;
    }
    *ret_manifest = manifest;
    manifest = NULL;
    return 0;
}

/* ---- the file ---- */

int manifest_bin_dir(char ret_dir[MANIFEST_PATH_BYTES_MAX])
{
    char self[PATH_MAX], installed[PATH_MAX];
    ssize_t bytes = readlink("/proc/self/exe", self, sizeof self - 1);
    if (bytes < 0)
        return -errno;
    self[bytes] = '\0';
    char *slash = strrchr(self, '/');
    if (!slash)
        return -ENOENT;
    *(slash == self ? slash + 1 : slash) = '\0';
    struct stat status;
    int needed = snprintf(installed, sizeof installed, "%s/../libexec/hostd", self);
    /* First, because /usr/bin has programs called echo, of other people. */
    if (needed > 0 && (size_t)needed < sizeof installed && stat(installed, &status) == 0 && S_ISDIR(status.st_mode))
        return realpath(installed, ret_dir) ? 0 : -errno;
    memcpy(ret_dir, self, strlen(self) + 1);
    return 0;
}

static int find_dir(const char *path, char ret_dir[PATH_MAX])
{
    if (!realpath(path, ret_dir))
        return -errno;
    char *slash = strrchr(ret_dir, '/');
    *(slash == ret_dir ? slash + 1 : slash) = '\0';
    return 0;
}

static int read_source(const char *path, struct source *source, char report[MANIFEST_REPORT_BYTES])
{
    struct stat status;
    FD_AUTO int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 || fstat(fd, &status) < 0)
        return report_failure(report, path, -errno, "cannot be read");
    if (!S_ISREG(status.st_mode)) {
        (void)snprintf(report, MANIFEST_REPORT_BYTES, "hostd: %s: is no regular file\n", path);
        return -EINVAL;
    }
    if (status.st_size > (off_t)MANIFEST_BYTES_MAX)
        return report_failure(report, path, -EFBIG, "is no list of services");
    source->name = path;
    source->text = malloc((size_t)status.st_size + 1);
    if (!source->text)
        return report_failure(report, path, -ENOMEM, "cannot be read");
    while (source->bytes < (size_t)status.st_size) { /* what grows meanwhile is left for the next time */
        ssize_t got = read(fd, source->text + source->bytes, (size_t)status.st_size - source->bytes);
        if (got < 0 && errno != EINTR)
            return report_failure(report, path, -errno, "cannot be read");
        if (got == 0)
            break;
        if (got > 0)
            source->bytes += (size_t)got;
    }
    int r = find_dir(path, source->dir);
    if (r < 0)
        return report_failure(report, path, r, "its folder");
    r = manifest_bin_dir(source->bin_dir);
    return r < 0 ? report_failure(report, path, r, "the folder of hostd's programs") : 0;
}

int manifest_load(const char *path, struct manifest **ret_manifest, char report[MANIFEST_REPORT_BYTES])
{
    struct source source = {0};
    report[0] = '\0';
    int r = read_source(path, &source, report);
    struct answer *answer = MAP_FAILED;
    if (r == 0) {
        answer = mmap(NULL, sizeof *answer, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (answer == MAP_FAILED)
            r = report_failure(report, path, -errno, "memory for the parser");
    }
    if (r == 0)
        r = run_parser(&source, parse_list, MANIFEST_PARSE_MS_MAX, answer, report);
    if (r == 0)
        r = take_answer(&source, answer, ret_manifest, report);
    if (answer != MAP_FAILED)
        (void)munmap(answer, sizeof *answer); /* our own mapping: cannot fail */
    free(source.text);
    return r;
}
