/*
 * replay.c - runs a fuzz target over files, one after the other: seeds without libFuzzer, so with any compiler and with
 * coverage counted.  Usage: NAME FILE...
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay(const char *path)
{
    FILE *file = fopen(path, "re");
    if (!file || fseek(file, 0, SEEK_END) < 0) {
        perror(path);
        return 1;
    }
    long size = ftell(file);
    rewind(file);
    uint8_t *data = malloc(size > 0 ? (size_t)size : 1); /* of its own size: a sanitizer sees a read behind it */
    size_t got = data && size > 0 ? fread(data, 1, (size_t)size, file) : 0;
    (void)fclose(file); /* read only */
    if (!data || size < 0 || got != (size_t)size) {
        (void)fprintf(stderr, "%s: cannot be read\n", path);
        free(data);
        return 1;
    }
    (void)LLVMFuzzerTestOneInput(data, got); /* 0, or it has aborted */
    free(data);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        (void)fprintf(stderr, "usage: %s FILE...\n", argv[0]);
        return 2;
    }
    int result = 0;
    for (int i = 1; i < argc; i++)
        result |= replay(argv[i]);
    return result;
}
