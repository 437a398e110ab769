/*
 * hostd_fixture.h - what tests and fuzzers of the service list share: binaries made in memory, and a parser over them.
 *
 * fixture_elf() writes an ELF file with one segment of notes; fixture_io answers for the folder FIXTURE_BIN with the
 * programs of fixture_programs[], for a few paths below FIXTURE_DIR, and for the files of fixture_host[], among them
 * a program with its libraries.
 */
#ifndef TESTS_UNIT_HOSTD_FIXTURE_H
#define TESTS_UNIT_HOSTD_FIXTURE_H

#include <elf.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hostd/manifest.h"
#include "tests/unit/elf_fixture.h"

#define FIXTURE_DIR "/srv/app"
#define FIXTURE_BIN "/opt/bin"
#define FIXTURE_ELF_BYTES 8192

#if defined(__x86_64__)
#define FIXTURE_MACHINE EM_X86_64
#else
#define FIXTURE_MACHINE EM_AARCH64
#endif

/* Appends one note, padded to 4; returns the new end. */
static inline size_t fixture_note(char *to, size_t at, const char *name, uint32_t type, const void *text, size_t bytes)
{
    Elf64_Nhdr header = {.n_namesz = (uint32_t)strlen(name) + 1, .n_descsz = (uint32_t)bytes, .n_type = type};
    memcpy(to + at, &header, sizeof header);
    at += sizeof header;
    memcpy(to + at, name, header.n_namesz);
    at += (header.n_namesz + 3u) & ~3u;
    memcpy(to + at, text, bytes);
    return at + ((bytes + 3) & ~(size_t)3);
}

/* An executable whose notes are a foreign one and, for each text that is not NULL, one of hostd.  Returns its size. */
static inline size_t fixture_elf(char image[FIXTURE_ELF_BYTES], const char *first, const char *second, bool is_dynamic)
{
    memset(image, 0, FIXTURE_ELF_BYTES);
    Elf64_Ehdr elf = {.e_type = ET_EXEC,
                      .e_machine = FIXTURE_MACHINE,
                      .e_version = EV_CURRENT,
                      .e_phoff = sizeof elf,
                      .e_phentsize = sizeof(Elf64_Phdr),
                      .e_phnum = 2};
    memcpy(elf.e_ident, ELFMAG, SELFMAG);
    elf.e_ident[EI_CLASS] = ELFCLASS64;
    elf.e_ident[EI_DATA] = ELFDATA2LSB;
    size_t at = sizeof elf + 2 * sizeof(Elf64_Phdr);
    Elf64_Phdr headers[2] = {{.p_type = is_dynamic ? PT_INTERP : PT_LOAD},
                             {.p_type = PT_NOTE, .p_offset = at, .p_align = 4}};
    at = fixture_note(image, at, "GNU", 3, "0123456789012345678", 20);
    if (first)
        at = fixture_note(image, at, "hostd", 1, first, strlen(first));
    if (second)
        at = fixture_note(image, at, "hostd", 1, second, strlen(second));
    headers[1].p_filesz = at - headers[1].p_offset;
    memcpy(image, &elf, sizeof elf);
    memcpy(image + sizeof elf, headers, sizeof headers);
    return at;
}

static const struct {
    const char *name, *schema;
    bool is_dynamic;
} fixture_programs[] = {
    {"bank", "Bank.Open A B\nBank.Balance A B\nBank.Transfer A B\nBank.TransferAsOwner A B\nBank.Log A B\n", false},
    {"echo", "Echo.Say EchoSayRequest EchoSayReply\n", false},
    {"front", NULL, false},
    {"broken", "Broken\n", false},
    {"shared", NULL, true},
};

/* Files of the host, for process services.  A directory holds those whose path begins with its own. */
static const struct {
    const char *path;
    bool is_executable, is_directory, is_script;
    struct elf_fixture elf;
} fixture_host[] = {
    {"/usr/bin/tool", .is_executable = true,
     .elf = {.needed = {"libtool.so", "libc.so.6"}, .interpreter = "/lib64/ld.so", .runpath = "$ORIGIN/../lib"}},
    {"/usr/bin/static", .is_executable = true},
    {"/usr/bin/script", .is_executable = true, .is_script = true},
    {"/usr/bin/torn", .is_executable = true, .elf = {.needed = {"libgone.so"}}},
    {"/usr/lib/libtool.so", .elf = {.needed = {"libc.so.6"}}},
    {"/usr/lib/libc.so.6", .elf = {.interpreter = "/lib64/ld.so"}},
    {"/lib64/ld.so", .is_executable = true},
    {"/usr", .is_directory = true},
    {"/usr/lib", .is_directory = true},
    {"/lib64", .is_directory = true},
    {"/usr/lib/tool", .is_directory = true},
    {"/usr/lib/tool/module.so", .elf = {.needed = {"libmodule.so"}}},
    {"/usr/lib/tool/broken.so", .elf = {.needed = {"libgone.so"}}},
    {"/usr/lib/libmodule.so", .elf = {.needed = {NULL}}},
    {"/usr/share/text", .is_script = true},
};
#define FIXTURE_HOST_COUNT (sizeof fixture_host / sizeof fixture_host[0])

static inline size_t fixture_host_find(const char *path)
{
    size_t i = 0;
    while (i < FIXTURE_HOST_COUNT && strcmp(fixture_host[i].path, path) != 0)
        i++;
    return i;
}

static inline int fixture_host_map(size_t i, const void **ret_image, size_t *ret_bytes)
{
    char *image = malloc(ELF_FIXTURE_BYTES);
    if (!image)
        return -ENOMEM;
    *ret_image = image;
    if (fixture_host[i].is_script) {
        memcpy(image, "#!/bin/sh\n", 11);
        *ret_bytes = 10;
    } else {
        *ret_bytes = elf_make(image, &fixture_host[i].elf);
    }
    return 0;
}

/* As struct manifest_io has it. */
static inline int fixture_read(void *context, enum manifest_want want, const char *path, const void **ret_image,
                               size_t *ret_bytes)
{
    static const char list[] = "/usr/lib/tool/module.so\0/usr/lib/tool/broken.so\0/usr/lib/tool/gone.so";
    size_t i = fixture_host_find(path);
    if (want == WANT_CACHE || i == FIXTURE_HOST_COUNT)
        return -ENOENT;
    if (want == WANT_TREE) {
        char *copy = malloc(sizeof list);
        if (!copy)
            return -ENOMEM;
        memcpy(copy, list, sizeof list);
        *ret_image = copy;
        *ret_bytes = sizeof list;
        return 0;
    }
    if (fixture_host[i].is_directory)
        return -EISDIR;
    return fixture_host[i].is_script ? -ENOEXEC : fixture_host_map(i, ret_image, ret_bytes);
}

static inline int fixture_map(void *context, const char *path, const void **ret_image, size_t *ret_bytes)
{
    if (strcmp(path, FIXTURE_BIN "/text") == 0)
        return -EACCES;
    size_t host = fixture_host_find(path);
    if (host < FIXTURE_HOST_COUNT)
        return fixture_host[host].is_executable ? fixture_host_map(host, ret_image, ret_bytes) : -EACCES;
    for (size_t i = 0; i < sizeof fixture_programs / sizeof fixture_programs[0]; i++) {
        char full[64];
        (void)snprintf(full, sizeof full, FIXTURE_BIN "/%s", fixture_programs[i].name);
        if (strcmp(path, full) != 0)
            continue;
        char *image = malloc(FIXTURE_ELF_BYTES);
        if (!image)
            return -ENOMEM;
        *ret_bytes = fixture_elf(image, fixture_programs[i].schema, NULL, fixture_programs[i].is_dynamic);
        *ret_image = image;
        return 0;
    }
    return -ENOENT;
}

static inline void fixture_unmap(void *context, const void *image, size_t bytes)
{
    free((void *)(uintptr_t)image);
}

static inline int fixture_probe(void *context, const char *path)
{
    if (strcmp(path, FIXTURE_DIR "/media") == 0 || strcmp(path, "/etc/passwd") == 0 ||
        fixture_host_find(path) < FIXTURE_HOST_COUNT)
        return 0;
    if (strcmp(path, "/var/sockets") == 0)
        return -ENXIO;
    return strcmp(path, "/dev/null") == 0 ? -EINVAL : -ENOENT;
}

static const struct manifest_io fixture_io = {
    .map = fixture_map, .unmap = fixture_unmap, .probe = fixture_probe, .read = fixture_read};

static inline int fixture_parse(const char *text, struct manifest **ret_manifest, char report[MANIFEST_REPORT_BYTES])
{
    return manifest_parse(text, strlen(text), "app.toml", FIXTURE_DIR, FIXTURE_BIN, &fixture_io, ret_manifest, report);
}

#endif
