/* elf.c - see elf.h. */
#include "hostd/elf.h"

#include <elf.h>
#include <errno.h>
#include <string.h>

#if defined(__x86_64__)
#define OWN_MACHINE EM_X86_64
#elif defined(__aarch64__)
#define OWN_MACHINE EM_AARCH64
#else
#error "which e_machine has this architecture?"
#endif

struct file {
    const char *at;
    size_t bytes;
    Elf64_Phdr headers[ELF_HEADERS_MAX];
    uint32_t header_count;
};

/* Copies `count` bytes at `offset`; the image need not be aligned. */
static bool copy(const struct file *file, uint64_t offset, void *to, size_t count)
{
    if (offset > file->bytes || count > file->bytes - offset)
        return false;
    memcpy(to, file->at + offset, count);
    return true;
}

/* The text at `offset`, ended before `end`; NULL when there is none. */
static const char *text_in(const struct file *file, uint64_t offset, uint64_t end)
{
    if (end > file->bytes || offset >= end || !memchr(file->at + offset, '\0', (size_t)(end - offset)))
        return NULL;
    return file->at + offset;
}

/* Where the file holds what stands at this address when it is loaded. */
static bool offset_of(const struct file *file, uint64_t address, uint64_t *ret_offset)
{
    for (uint32_t i = 0; i < file->header_count; i++) {
        const Elf64_Phdr *header = &file->headers[i];
        if (header->p_type != PT_LOAD || address < header->p_vaddr || address - header->p_vaddr >= header->p_filesz)
            continue;
        *ret_offset = header->p_offset + (address - header->p_vaddr); /* wraps at worst: copies check the bounds */
        return true;
    }
    return false;
}

static int read_headers(struct file *file, struct err *e)
{
    Elf64_Ehdr elf;
    if (!copy(file, 0, &elf, sizeof elf) || memcmp(elf.e_ident, ELFMAG, SELFMAG) != 0)
        return err_set(e, -ENOEXEC, "it is no ELF file");
    if (elf.e_ident[EI_CLASS] != ELFCLASS64 || elf.e_ident[EI_DATA] != ELFDATA2LSB || elf.e_machine != OWN_MACHINE ||
        (elf.e_type != ET_EXEC && elf.e_type != ET_DYN))
        return err_set(e, -ENOEXEC, "it is no program or library of this machine");
    if (elf.e_phentsize != sizeof(Elf64_Phdr) || elf.e_phnum > ELF_HEADERS_MAX ||
        !copy(file, elf.e_phoff, file->headers, elf.e_phnum * sizeof(Elf64_Phdr)))
        return err_set(e, -EINVAL, "its program headers are malformed");
    file->header_count = elf.e_phnum;
    return 0;
}

/* The dynamic section holds offsets into a table of texts that it names itself: found first, used afterwards. */
struct dynamic {
    const struct file *file;
    uint64_t at, count;
    uint64_t strings, strings_end; /* offsets in the file */
};

static bool entry_at(const struct dynamic *dynamic, uint64_t index, Elf64_Dyn *ret_entry)
{
    return index < dynamic->count &&
           copy(dynamic->file, dynamic->at + index * sizeof *ret_entry, ret_entry, sizeof *ret_entry) &&
           ret_entry->d_tag != DT_NULL;
}

static int find_strings(struct dynamic *dynamic, struct err *e)
{
    uint64_t address = 0, bytes = 0;
    Elf64_Dyn entry;
    for (uint64_t i = 0; entry_at(dynamic, i, &entry); i++) {
        if (entry.d_tag == DT_STRTAB)
            address = entry.d_un.d_ptr;
        else if (entry.d_tag == DT_STRSZ)
            bytes = entry.d_un.d_val;
    }
    if (!offset_of(dynamic->file, address, &dynamic->strings) || dynamic->strings > dynamic->file->bytes ||
        bytes > dynamic->file->bytes - dynamic->strings)
        return err_set(e, -EINVAL, "its dynamic section is malformed");
    dynamic->strings_end = dynamic->strings + bytes;
    return 0;
}

static const char *string_at(const struct dynamic *dynamic, uint64_t at)
{
    if (at >= dynamic->strings_end - dynamic->strings)
        return NULL;
    return text_in(dynamic->file, dynamic->strings + at, dynamic->strings_end);
}

static int read_dynamic(const struct file *file, const Elf64_Phdr *header, struct elf *elf, struct err *e)
{
    struct dynamic dynamic = {.file = file, .at = header->p_offset, .count = header->p_filesz / sizeof(Elf64_Dyn)};
    int r = find_strings(&dynamic, e);
    if (r < 0)
        return r;
    Elf64_Dyn entry;
    for (uint64_t i = 0; entry_at(&dynamic, i, &entry); i++) {
        if (entry.d_tag == DT_FLAGS_1) {
            elf->is_no_default = (entry.d_un.d_val & DF_1_NODEFLIB) != 0;
            continue;
        }
        if (entry.d_tag != DT_NEEDED && entry.d_tag != DT_RPATH && entry.d_tag != DT_RUNPATH)
            continue;
        const char *text = string_at(&dynamic, entry.d_un.d_val);
        if (!text || !*text)
            return err_set(e, -EINVAL, "its dynamic section names a text that is not there");
        if (entry.d_tag == DT_RPATH)
            elf->rpath = text;
        else if (entry.d_tag == DT_RUNPATH)
            elf->runpath = text;
        else if (elf->needed_count == ELF_NEEDED_MAX)
            return err_set(e, -E2BIG, "it needs more than %u libraries", ELF_NEEDED_MAX);
        else
            elf->needed[elf->needed_count++] = text;
    }
    return 0;
}

int elf_read(const void *image, size_t bytes, struct elf *ret_elf, struct err *e)
{
    struct file file = {.at = image, .bytes = bytes};
    struct elf elf = {0};
    int r = read_headers(&file, e);
    for (uint32_t i = 0; r == 0 && i < file.header_count; i++) {
        const Elf64_Phdr *header = &file.headers[i];
        if (header->p_type == PT_DYNAMIC) {
            r = read_dynamic(&file, header, &elf, e);
        } else if (header->p_type == PT_INTERP) {
            uint64_t end = header->p_offset + header->p_filesz;
            elf.interpreter = end < header->p_offset ? NULL : text_in(&file, header->p_offset, end);
            if (!elf.interpreter)
                r = err_set(e, -EINVAL, "its interpreter is malformed");
        }
    }
    if (r == 0)
        *ret_elf = elf;
    return r;
}
