/*
 * manifest.h - the service list as written: names, checked.  Pure, except manifest_load().
 *
 * manifest_load() reads and parses the TOML in an unprivileged child (TOML parsers are large) and takes from it one
 * flat block, which it checks again by itself before it trusts it.  manifest_parse() is the parser itself, as the child
 * runs it and as tests and fuzzers call it.
 *
 * Invariants
 *  I1  Every name is valid and unique, every link names two services, no link twice, every allowed method is one that
 *      the callee's binary declares (its schema note), before anything touches the kernel.
 *  I2  A manifest is one block of memory without pointers: records of fixed size, text as offsets into it.
 *  I3  What manifest_verify() accepted may be used without further checks of bounds, indices or names.
 *
 * Callers: the commands (load), plan and spawn (access), tests and fuzzers (parse, verify).
 */
#ifndef HOSTD_MANIFEST_H
#define HOSTD_MANIFEST_H

#include <stddef.h>
#include <stdint.h>

#include "rpc/base/contract.h"
#include "rpc/base/err.h"

#define MANIFEST_MAGIC 0x6873746du /* "hstm" */
#define MANIFEST_SERVICES_MAX 4096u
#define MANIFEST_LINKS_MAX 8192u
#define MANIFEST_BYTES_MAX (4u << 20) /* of the TOML file, and of the flat block */
#define MANIFEST_LINKS_PER_SERVICE_MAX 256u
#define MANIFEST_INGRESSES_PER_SERVICE_MAX 4u /* each takes hundreds of ring slots */
#define MANIFEST_DATA_PER_SERVICE_MAX 8u      /* each is a descriptor of the start */
#define MANIFEST_FILES_PER_SERVICE_MAX 32u    /* likewise */
#define MANIFEST_METHODS_MAX 256u             /* that one binary declares, so also of one allow list */
#define MANIFEST_CONFIG_PER_SERVICE_MAX 1024u /* leaves of one [service.NAME.config] */
#define MANIFEST_CONFIG_DEPTH_MAX 16u         /* nested tables and arrays in it */
#define MANIFEST_PATH_BYTES_MAX 4096u         /* PATH_MAX: of exec and files.from */
#define MANIFEST_TO_BYTES_MAX 128u            /* of files.to, with its NUL: INIT_PATH_BYTES */
#define MANIFEST_MEMORY_BYTES_MIN (4ull << 20)
#define MANIFEST_MEMORY_BYTES_MAX (1ull << 40)
#define MANIFEST_FILE_BYTES_MIN (1ull << 10)
#define MANIFEST_FILE_BYTES_MAX (1ull << 40)
#define MANIFEST_PIDS_MIN 4u /* PID 1, the program, a worker, and one to spare */
#define MANIFEST_PIDS_MAX 32768u
#define MANIFEST_TIMEOUT_MS_MIN 100u /* of ready_timeout and stop_timeout */
#define MANIFEST_TIMEOUT_MS_MAX 3600000u
#define MANIFEST_WATCHDOG_MS_MIN 1000u /* below that a busy machine looks like a ring that does not turn */
#define MANIFEST_WATCHDOG_OFF UINT32_MAX
#define MANIFEST_CPU_PERCENT_MAX 102400u     /* 1,024 CPUs */
#define MANIFEST_WORDS_PER_SERVICE_MAX 128u  /* arguments, or variables of the environment */
#define MANIFEST_WORDS_BYTES_MAX (32u << 10) /* of both together: they go through one setup message */
#define MANIFEST_MOUNTS_PER_SERVICE_MAX 160u /* paths and libraries of a process: each is a descriptor of the start */

/* Text in the block: offset of a NUL-terminated string; 0 is the empty string. */
typedef uint32_t text_at;

struct manifest_service {
    char name[NAME_BYTES];
    text_at exec;  /* resolved: absolute path of the binary */
    uint32_t line; /* of [service.NAME] */
    uint32_t ingress_first, ingress_count;
    uint32_t data_first, data_count; /* in the `data` array */
    uint32_t files_first, files_count;
    uint32_t operator_first, operator_count; /* in the `methods` array */
    uint32_t config_first, config_count;
    uint64_t memory_bytes;   /* 0 = the default of the plan */
    uint64_t file_bytes;     /* likewise */
    uint32_t pids;           /* 0 = the default of the plan */
    uint32_t cpu_percent;    /* 0 = no limit; 100 = one CPU */
    uint32_t accept_missing; /* enum manifest_missing bits */
    uint32_t methods_first,
        methods_count; /* what the binary's schema note declares, in `methods`; shared by equal execs */
    uint32_t restart;  /* enum manifest_restart */
    uint32_t kind;     /* enum manifest_kind; all below is of a process service only */
    uint32_t ready;    /* enum manifest_ready */
    uint32_t has_proc; /* a /proc of its own */
    uint32_t words_first, args_count, env_count; /* in `words`: arguments, and behind them NAME=value */
    uint32_t mounts_first, mounts_count;         /* in `mounts` */
    uint32_t ready_ms, stop_ms;                  /* 0 = the default of the plan */
    uint32_t watchdog_ms;                        /* 0 = the default of the plan; MANIFEST_WATCHDOG_OFF */
    uint32_t reserved;                           /* keeps the size a multiple of 8 */
};

/* What a service is (design: D4). */
enum manifest_kind {
    KIND_SEALED,  /* a static program of ours: a sealed ring, no socket; the default */
    KIND_PROCESS, /* any program, with sockets on its own wires */
    KIND_COUNT
};

/* When a process service counts as ready. */
enum manifest_ready {
    READY_STARTED, /* its program was executed; the default */
    READY_NOTIFY,  /* it says so: sd_notify(3) */
    READY_COUNT
};

/* A file or directory of the host that a process service sees at the same path. */
struct manifest_mount {
    text_at path;
    uint32_t kind; /* enum manifest_mount_kind */
};

enum manifest_mount_kind {
    MOUNT_PATH,        /* the list names it */
    MOUNT_LIBRARY,     /* of the library closure */
    MOUNT_INTERPRETER, /* likewise; the kernel executes it */
    MOUNT_KIND_COUNT
};

struct manifest_word {
    text_at text;
};

/* When a service that ended is started again. */
enum manifest_restart {
    RESTART_ALWAYS,     /* the default */
    RESTART_ON_FAILURE, /* not after exit code 0 */
    RESTART_NEVER,
    RESTART_COUNT
};

enum manifest_missing {
    MISSING_LANDLOCK = 1u << 0,
    MISSING_MEMORY = 1u << 1, /* the memory controller */
    MISSING_PIDS = 1u << 2,
    MISSING_CPU = 1u << 3,
    MISSING_ALL = (1u << 4) - 1,
};

struct manifest_link {
    uint32_t from, to;                 /* indices of services */
    uint32_t line;                     /* of the [[link]] */
    uint32_t allow_first, allow_count; /* in `methods` */
    uint32_t port;                     /* TCP port of a process callee; 0: the callee is sealed, the plan's port */
};

struct manifest_ingress {
    char name[NAME_BYTES]; /* unique in the application */
    uint32_t address;      /* IPv4, host byte order */
    uint16_t port;
    uint16_t reserved;
};

struct manifest_method {
    char name[METHOD_NAME_BYTES];
};

struct manifest_file {
    text_at from, to; /* absolute path of the host; absolute clean path inside the root */
};

struct manifest_config {
    text_at key, value;
    uint32_t type; /* enum config_type */
};

struct manifest {
    uint32_t magic, total_bytes;
    char app[NAME_BYTES];
    uint32_t services_at, service_count;
    uint32_t links_at, link_count;
    uint32_t ingresses_at, ingress_count;
    uint32_t data_at, data_count; /* names of NAME_BYTES each, unique in the application */
    uint32_t files_at, file_count;
    uint32_t methods_at, method_count;
    uint32_t config_at, config_count;
    uint32_t words_at, word_count;
    uint32_t mounts_at, mount_count;
    uint32_t text_at_, text_bytes; /* offset 0 of the text block is an empty string */
};

/* One or more errors of the file, as they are shown: "app.toml:12:8: unknown key 'memry'; did you mean 'memory'?" +
 * line
 * + caret, each line ended by a newline. */
#define MANIFEST_REPORT_BYTES (64u << 10)

/*
 * Reads, parses (in an unprivileged child) and checks.  Returns 0 and a block to free(), or a negative errno with
 * report filled (several lines, ready to print).  -EINVAL: the file is wrong (exit code 2); others: it could not be
 * read, or the child failed.  Blocks for at most MANIFEST_PARSE_MS_MAX; forks: the calling process must have one
 * thread.
 */
#define MANIFEST_PARSE_MS_MAX 10000
int manifest_load(const char *path, struct manifest **ret_manifest, char report[MANIFEST_REPORT_BYTES]);

/* Where hostd's own programs lie, and bare names of programs are looked up: libexec/hostd beside the bin of an install,
 * else the folder of hostd itself.  Absolute, without symlinks. */
int manifest_bin_dir(char ret_dir[MANIFEST_PATH_BYTES_MAX]);

enum manifest_want {
    WANT_LIBRARY, /* the bytes of an ELF file */
    WANT_TREE,    /* paths of the files below a directory that may be ELF files, each ended by a NUL */
    WANT_CACHE,   /* the bytes of /etc/ld.so.cache, whatever the path */
    WANT_COUNT
};

/* What the parser may ask of the file system.  manifest_load() answers by messages, tests from memory. */
struct manifest_io {
    void *context;
    /* Gives the bytes of the executable file `path`, to be given back with unmap.  -ENOENT, -EACCES (not executable),
     * -EISDIR, -EFBIG or another negative errno. */
    int (*map)(void *context, const char *path, const void **ret_image, size_t *ret_bytes);
    void (*unmap)(void *context, const void *image, size_t bytes);
    /* 0: `path` is a regular file or a directory.  -EINVAL: something else.  -ENXIO: a directory that holds a socket or
     * FIFO.  -E2BIG: one that holds too much to say.  -ENOENT or another negative errno. */
    int (*probe)(void *context, const char *path);
    /* What the library closure of a process service reads, to be given back with unmap.  -ENOENT, -EACCES (not for
     * everybody to read), -EISDIR, -ENOEXEC (no ELF file) or another negative errno. */
    int (*read)(void *context, enum manifest_want want, const char *path, const void **ret_image, size_t *ret_bytes);
};

/*
 * The parser: text of `bytes` bytes, called `name` in messages.  dir: absolute path that relative ones start from;
 * bin_dir: where bare exec names are looked up.  Same results as manifest_load().
 */
int manifest_parse(const char *text, size_t bytes, const char *name, const char *dir, const char *bin_dir,
                   const struct manifest_io *io, struct manifest **ret_manifest, char report[MANIFEST_REPORT_BYTES]);

/* Checks a block that came from an untrusted child: sizes, offsets, indices, terminated text, valid names.  -EINVAL. */
int manifest_verify(const struct manifest *manifest, size_t bytes, struct err *e);

/* ---- access: the arrays, valid after manifest_verify() ---- */
static inline const void *manifest_array(const struct manifest *m, uint32_t at)
{
    return (const char *)m + at;
}
static inline const struct manifest_service *manifest_services(const struct manifest *m)
{
    return manifest_array(m, m->services_at);
}
static inline const struct manifest_link *manifest_links(const struct manifest *m)
{
    return manifest_array(m, m->links_at);
}
static inline const struct manifest_ingress *manifest_ingresses(const struct manifest *m)
{
    return manifest_array(m, m->ingresses_at);
}
static inline const char (*manifest_data(const struct manifest *m))[NAME_BYTES]
{
    return manifest_array(m, m->data_at);
}
static inline const struct manifest_file *manifest_files(const struct manifest *m)
{
    return manifest_array(m, m->files_at);
}
static inline const struct manifest_method *manifest_methods(const struct manifest *m)
{
    return manifest_array(m, m->methods_at);
}
static inline const struct manifest_config *manifest_configs(const struct manifest *m)
{
    return manifest_array(m, m->config_at);
}
static inline const struct manifest_word *manifest_words(const struct manifest *m)
{
    return manifest_array(m, m->words_at);
}
static inline const struct manifest_mount *manifest_mounts(const struct manifest *m)
{
    return manifest_array(m, m->mounts_at);
}
static inline const char *manifest_text(const struct manifest *m, text_at at)
{
    return (const char *)m + m->text_at_ + at;
}

_Static_assert(sizeof(struct manifest_service) % 8 == 0, "an array of services stays aligned");

#endif
