/*
 * rootfs.h - the root of a service: a tmpfs that holds its binary, the files named in its TOML, its data directory.
 *
 * Two halves, one on each side of the user namespace:
 *   hostd    makes detached mounts (rootfs_file_mount, rootfs_data_mount): only the owner of a file system may clone a
 *            mount of it into nothing, or shift its owners (idmap);
 *   initsvc  puts them into a fresh tmpfs and makes that the root (rootfs_enter), for good.
 *
 * Invariants
 *  I1  Nothing is mounted by a path that a service could have changed: every source is a descriptor.
 *  I2  Everything in the root is read-only, nosuid, nodev; everything but the binary is noexec; only data is writable.
 *      Of a process service also /tmp (noexec); paths and libraries are not noexec, devices not nodev.
 *  I3  After rootfs_enter() no mount of the host is reachable from the namespace.
 */
#ifndef ROOTFS_ROOTFS_H
#define ROOTFS_ROOTFS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rpc/base/err.h"

#define ROOTFS_BYTES_MAX "65536" /* of the tmpfs: directories, empty mount points, a few lines in /etc */
#define ROOTFS_INODES_MAX "1024"

#define ROOTFS_PROCESS_TMP_BYTES "8388608" /* /tmp of a process service; its memory limit counts it */

/* Detached read-only mount of the file or directory tree `fd` (O_PATH is enough).  may_exec: for the service's binary.
 */
int rootfs_file_mount(int fd, bool may_exec, int *ret_mount_fd, struct err *e);

/*
 * Detached writable, noexec mount of the directory `fd`, on which files of owner 0 on disk appear as inside_host_id
 * (the host's number of the service's user id).  -ENOTSUP-like errors name the file system that cannot be idmapped.
 */
int rootfs_data_mount(int fd, uint32_t host_id, int *ret_mount_fd, struct err *e);

/* Detached mount of a device of the host, such as /dev/null: the one kind of mount without nodev. */
int rootfs_device_mount(int fd, int *ret_mount_fd, struct err *e);

struct rootfs_entry {
    const char *to; /* absolute, clean */
    int mount_fd;   /* detached mount; borrowed */
    bool is_directory;
};

/* What the root of a process service has beyond its entries: see process.c. */
struct rootfs_process {
    bool has_proc, has_notify;
    int hosts_fd;  /* result: /etc/hosts, for writing; the root's view of it is read-only */
    int notify_fd; /* result, with has_notify: a datagram socket bound at ROOTFS_NOTIFY_PATH */
};
#define ROOTFS_NOTIFY_PATH "/run/hostd/notify"

/* Builds the root in this mount namespace and enters it; the old one is detached.  The caller is root of its own user
 * namespace, with a mount namespace of its own.  process: NULL for sealed services. */
int rootfs_enter(const struct rootfs_entry *entries, size_t count, struct rootfs_process *process, struct err *e);

#endif
