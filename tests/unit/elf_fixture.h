/*
 * elf_fixture.h - ELF files made in memory, for tests and fuzzers of what reads them: a dynamic section with the
 * entries asked for.  elf_make() returns the size; the image has ELF_FIXTURE_BYTES.
 */
#ifndef TESTS_UNIT_ELF_FIXTURE_H
#define TESTS_UNIT_ELF_FIXTURE_H

#include <elf.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define ELF_FIXTURE_BYTES 4096
#define ELF_FIXTURE_NEEDED_MAX 8
#define ELF_FIXTURE_BASE 0x400000u /* where it would be loaded: addresses are not offsets */

#if defined(__x86_64__)
#define ELF_FIXTURE_MACHINE EM_X86_64
#else
#define ELF_FIXTURE_MACHINE EM_AARCH64
#endif

struct elf_fixture {
    const char *needed[ELF_FIXTURE_NEEDED_MAX];
    const char *interpreter, *rpath, *runpath;
    uint64_t flags_1;
    uint16_t machine; /* 0 = this one */
};

static inline size_t elf_make(char image[ELF_FIXTURE_BYTES], const struct elf_fixture *fixture)
{
    memset(image, 0, ELF_FIXTURE_BYTES);
    size_t headers_at = sizeof(Elf64_Ehdr), dynamic_at = headers_at + 3 * sizeof(Elf64_Phdr);
    Elf64_Dyn entries[ELF_FIXTURE_NEEDED_MAX + 8] = {{0}};
    size_t count = 0, strings_at = dynamic_at + sizeof entries, used = strings_at + 1;
    const struct {
        int64_t tag;
        const char *text;
    } others[] = {{DT_RPATH, fixture->rpath}, {DT_RUNPATH, fixture->runpath}};
    for (size_t i = 0; i < ELF_FIXTURE_NEEDED_MAX && fixture->needed[i]; i++) {
        entries[count++] = (Elf64_Dyn){.d_tag = DT_NEEDED, .d_un.d_val = used - strings_at};
        memcpy(image + used, fixture->needed[i], strlen(fixture->needed[i]) + 1);
        used += strlen(fixture->needed[i]) + 1;
    }
    for (size_t i = 0; i < 2; i++) {
        if (!others[i].text)
            continue;
        entries[count++] = (Elf64_Dyn){.d_tag = others[i].tag, .d_un.d_val = used - strings_at};
        memcpy(image + used, others[i].text, strlen(others[i].text) + 1);
        used += strlen(others[i].text) + 1;
    }
    if (fixture->flags_1)
        entries[count++] = (Elf64_Dyn){.d_tag = DT_FLAGS_1, .d_un.d_val = fixture->flags_1};
    entries[count++] = (Elf64_Dyn){.d_tag = DT_STRTAB, .d_un.d_ptr = ELF_FIXTURE_BASE + strings_at};
    entries[count++] = (Elf64_Dyn){.d_tag = DT_STRSZ, .d_un.d_val = used - strings_at};
    size_t interpreter_at = used;
    if (fixture->interpreter) {
        memcpy(image + used, fixture->interpreter, strlen(fixture->interpreter) + 1);
        used += strlen(fixture->interpreter) + 1;
    }
    const Elf64_Phdr headers[3] = {
        {.p_type = PT_LOAD, .p_vaddr = ELF_FIXTURE_BASE, .p_filesz = used, .p_memsz = used},
        {.p_type = PT_DYNAMIC,
         .p_offset = dynamic_at,
         .p_vaddr = ELF_FIXTURE_BASE + dynamic_at,
         .p_filesz = sizeof entries},
        {.p_type = fixture->interpreter ? PT_INTERP : PT_NULL,
         .p_offset = interpreter_at,
         .p_filesz = used - interpreter_at},
    };
    Elf64_Ehdr elf = {.e_type = ET_DYN,
                      .e_machine = fixture->machine ? fixture->machine : ELF_FIXTURE_MACHINE,
                      .e_version = EV_CURRENT,
                      .e_phoff = headers_at,
                      .e_phentsize = sizeof(Elf64_Phdr),
                      .e_phnum = 3};
    memcpy(elf.e_ident, ELFMAG, SELFMAG);
    elf.e_ident[EI_CLASS] = ELFCLASS64;
    elf.e_ident[EI_DATA] = ELFDATA2LSB;
    memcpy(image, &elf, sizeof elf);
    memcpy(image + headers_at, headers, sizeof headers);
    memcpy(image + dynamic_at, entries, sizeof entries);
    return used;
}

/* One entry of an ld.so.cache, as ldconfig writes it. */
struct cache_fixture {
    const char *name, *path;
    uint64_t hwcap;
    bool is_of_another_machine;
};

static inline size_t cache_make(char *cache, const struct cache_fixture *entries, uint32_t count)
{
#if defined(__x86_64__)
    const int32_t flags = 0x0303;
#else
    const int32_t flags = 0x0A03;
#endif
    size_t used = 48 + 24 * (size_t)count;
    memset(cache, 0, used);
    memcpy(cache, "glibc-ld.so.cache1.1", 20);
    memcpy(cache + 20, &count, sizeof count);
    for (uint32_t i = 0; i < count; i++) {
        int32_t own = entries[i].is_of_another_machine ? 0x0001 : flags;
        const char *const texts[2] = {entries[i].name, entries[i].path};
        memcpy(cache + 48 + 24 * i, &own, sizeof own);
        for (int k = 0; k < 2; k++) {
            uint32_t at = (uint32_t)used;
            memcpy(cache + 48 + 24 * i + 4 + 4 * k, &at, sizeof at);
            memcpy(cache + used, texts[k], strlen(texts[k]) + 1);
            used += strlen(texts[k]) + 1;
        }
        memcpy(cache + 48 + 24 * i + 16, &entries[i].hwcap, sizeof entries[i].hwcap);
    }
    return used;
}

#endif
