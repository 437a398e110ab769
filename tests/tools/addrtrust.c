/*
 * addrtrust.c - a callee that believes addresses: what hostd must not be.  The forged caller succeeds against it.
 *
 *     addrtrust PORT ADDRESS=NAME ...
 *
 * Listens on every address of its namespace and answers each connection with one line:
 *
 *     by source: NAME  by destination: NAME
 *
 * the two ways to take a caller's name from an address: the address that the caller has, and the own address that the
 * caller came to (one per link).  The namespaces and wires around it are made by the test that runs it (caller.bats),
 * the way such a design would make them.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const char *name_of(int count, char **names, struct in_addr address)
{
    char text[INET_ADDRSTRLEN];
    (void)inet_ntop(AF_INET, &address, text, sizeof text); /* the buffer is large enough */
    size_t length = strlen(text);
    for (int i = 0; i < count; i++)
        if (strncmp(names[i], text, length) == 0 && names[i][length] == '=')
            return names[i] + length + 1;
    return "nobody";
}

int main(int argc, char **argv)
{
    int one = 1, fd, connection;
    if (argc < 3) {
        fputs("usage: addrtrust PORT ADDRESS=NAME ...\n", stderr);
        return 2;
    }
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[1]))};
    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) != 0 ||
        bind(fd, (struct sockaddr *)&any, sizeof any) != 0 || listen(fd, 8) != 0) {
        perror("addrtrust");
        return 1;
    }
    puts("listening");
    fflush(stdout);
    while ((connection = accept4(fd, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
        struct sockaddr_in peer, own;
        socklen_t bytes = sizeof peer;
        char line[128];
        if (getpeername(connection, (struct sockaddr *)&peer, &bytes) == 0 && (bytes = sizeof own) != 0 &&
            getsockname(connection, (struct sockaddr *)&own, &bytes) == 0) {
            int length =
                snprintf(line, sizeof line, "by source: %s  by destination: %s\n",
                         name_of(argc - 2, argv + 2, peer.sin_addr), name_of(argc - 2, argv + 2, own.sin_addr));
            (void)!write(connection, line, (size_t)length); /* a caller that is gone needs no answer */
        }
        (void)close(connection); /* nothing to lose */
    }
    return 1;
}
