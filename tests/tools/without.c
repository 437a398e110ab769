/*
 * without.c - runs a program without some system calls, as a container's seccomp profile does.
 *
 *     without ERRNO NUMBER[,NUMBER...] PROGRAM [ARGUMENT...]
 */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#define CALLS_MAX 16

int main(int argc, char **argv)
{
    struct sock_filter filter[CALLS_MAX * 2 + 2];
    unsigned short count = 0;
    if (argc < 4) {
        (void)fprintf(stderr, "usage: %s ERRNO NUMBER[,NUMBER...] PROGRAM [ARGUMENT...]\n", argv[0]);
        return 2;
    }
    unsigned int code = (unsigned int)strtoul(argv[1], NULL, 10);
    filter[count++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    char *at = argv[2];
    for (int calls = 0; *at && calls < CALLS_MAX; calls++) {
        unsigned int number = (unsigned int)strtoul(at, &at, 10);
        filter[count++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1);
        filter[count++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (code & SECCOMP_RET_DATA));
        at += *at == ',';
    }
    filter[count++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    const struct sock_fprog program = {.len = count, .filter = filter};
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0) {
        perror("seccomp (root only)");
        return 2;
    }
    (void)execvp(argv[3], argv + 3);
    perror(argv[3]);
    return 2;
}
