/*
 * err.h - one failure as a value: a code and one line of text for a person.
 *
 * Fixed size, no allocation, no pointers: it may cross a socket as it is.
 * Functions that can fail return 0 or a negative errno and, where a person needs
 * more than the number, fill a `struct err` given as their last parameter:
 *
 *     if (fd < 0)
 *         return err_sys(e, -errno, "service '%s': open %s", name, path);
 *
 * Modules fill it, programs print it.  Used by every folder.
 */
#ifndef RPC_BASE_ERR_H
#define RPC_BASE_ERR_H

#define ERR_TEXT_BYTES 512 /* one line on a terminal, with room for two paths */

struct err {
    int code; /* negative errno, 0 = no error */
    char text[ERR_TEXT_BYTES];
};

/* Sets text (printf form) and code; returns code.  For failures that no system call reported. e may be NULL. */
int err_set(struct err *e, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* The same, and appends ": " and the name of the errno.  code is a negative errno. */
int err_sys(struct err *e, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Appends a hint, as " (hint)", to an error that is already set; keeps the code and returns it. */
int err_hint(struct err *e, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Puts "prefix: " (printf form) in front of the text; keeps the code and returns it. */
int err_prefix(struct err *e, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
