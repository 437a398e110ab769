/* log.c - see log.h. */
#include "rpc/base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void log_line(const char *format, ...)
{
    static const char hex[] = "0123456789abcdef";
    char text[LOG_LINE_BYTES_MAX];
    char line[LOG_LINE_BYTES_MAX];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args); /* a cut line is still a line */
    va_end(args);

    size_t used = 0;
    for (const char *c = text; *c && used < sizeof line - 5; c++) {
        unsigned char byte = (unsigned char)*c;
        if (byte >= 0x20 && byte != 0x7f) {
            line[used++] = *c;
        } else {
            line[used++] = '\\';
            line[used++] = 'x';
            line[used++] = hex[byte >> 4];
            line[used++] = hex[byte & 15];
        }
    }
    line[used++] = '\n';
    (void)!write(STDERR_FILENO, line, used); /* nowhere to report a log that cannot be written */
}
