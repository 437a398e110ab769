/* internal.h - what the files of this folder share. */
#ifndef ROOTFS_INTERNAL_H
#define ROOTFS_INTERNAL_H

#include "rootfs/rootfs.h"

/* A tmpfs in no namespace yet: nosuid, nodev, noexec. */
int rootfs_tmpfs(const char *bytes, const char *inodes, const char *mode, int *ret_mount_fd, struct err *e);

/* ---- process.c ---- */
/* While the new root can be written to, and the host's mounts are still there. */
int rootfs_process_prepare(int root_fd, const struct rootfs_process *process, struct err *e);
/* In the new root.  Fills in the results. */
int rootfs_process_finish(struct rootfs_process *process, struct err *e);

#endif
