/*
 * log.h - a program's own lines, one write each, to stderr.
 *
 * Modules never log; programs do.  Text is one line: control characters in it are printed as \xNN, so that nothing
 * that came from outside can start a line of its own.
 */
#ifndef RPC_BASE_LOG_H
#define RPC_BASE_LOG_H

#define LOG_LINE_BYTES_MAX 1024 /* below PIPE_BUF, so that a line is never torn */

void log_line(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
