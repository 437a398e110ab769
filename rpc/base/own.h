/*
 * own.h - one owner per resource, and moving it is visible.
 *
 *     FD_AUTO int fd = open(...);      closed when the block ends
 *     *ret_fd = fd_take(&fd);          ... unless it was moved out
 */
#ifndef RPC_BASE_OWN_H
#define RPC_BASE_OWN_H

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

/* Closes *fd unless it is -1, and sets it to -1.  Keeps errno. */
static inline void fd_close(int *fd)
{
    if (*fd >= 0) {
        int saved_errno = errno;
        (void)close(*fd); /* nothing to do about a failed close of a descriptor that we give up */
        *fd = -1;
        errno = saved_errno;
    }
}

static inline int fd_take(int *fd)
{
    int taken = *fd;
    *fd = -1;
    return taken;
}

static inline void free_pointer(void *pointer)
{
    free(*(void **)pointer);
}

#define FD_AUTO __attribute__((cleanup(fd_close)))
#define FREE_AUTO __attribute__((cleanup(free_pointer)))

#define ARRAY_COUNT(array) (sizeof(array) / sizeof((array)[0]))

#endif
