/* schema.c - see schema.h. */
#include "hostd/schema.h"

#include <elf.h>
#include <errno.h>
#include <string.h>

#include "rpc/base/hash.h"
#include "rpc/base/own.h"

#define NOTE_NAME "hostd"

#if defined(__x86_64__)
#define OWN_MACHINE EM_X86_64
#elif defined(__aarch64__)
#define OWN_MACHINE EM_AARCH64
#else
#error "which e_machine has this architecture?"
#endif

struct bytes {
    const char *at;
    size_t count;
};

/* The part [offset, offset + count) of whole; false when it does not lie inside. */
static bool part(struct bytes whole, uint64_t offset, uint64_t count, struct bytes *ret_part)
{
    if (offset > whole.count || count > whole.count - offset)
        return false;
    *ret_part = (struct bytes){whole.at + offset, (size_t)count};
    return true;
}

static size_t identifier_bytes(const char *text, size_t bytes)
{
    size_t used = 0;
    for (; used < bytes; used++) {
        char c = text[used];
        bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
        if (!is_letter && (used == 0 || c < '0' || c > '9'))
            break;
    }
    return used;
}

bool schema_method_is_valid(const char *name, size_t bytes)
{
    if (bytes >= METHOD_NAME_BYTES)
        return false;
    size_t interface = identifier_bytes(name, bytes);
    if (interface == 0 || interface == bytes || name[interface] != '.')
        return false;
    size_t method = identifier_bytes(name + interface + 1, bytes - interface - 1);
    return method > 0 && interface + 1 + method == bytes;
}

bool schema_identifier_is_valid(const char *name, size_t bytes)
{
    return bytes > 0 && identifier_bytes(name, bytes) == bytes;
}

bool schema_type_is_valid(const char *name, size_t bytes)
{
    if (bytes >= SCHEMA_TYPE_NAME_BYTES)
        return false;
    for (size_t at = 0;;) {
        size_t part_bytes = identifier_bytes(name + at, bytes - at);
        at += part_bytes;
        if (part_bytes == 0 || at == bytes)
            return part_bytes > 0;
        if (name[at++] != '.')
            return false;
    }
}

static int add_method(struct schema *schema, const char *name, size_t bytes, struct err *e)
{
    char method[METHOD_NAME_BYTES] = {0};
    if (!schema_method_is_valid(name, bytes))
        return err_set(e, -EINVAL, "its schema note has a line without a method's name");
    memcpy(method, name, bytes);
    for (uint32_t i = 0; i < schema->count; i++) {
        if (strcmp(schema->methods[i], method) == 0)
            return err_set(e, -EINVAL, "its schema notes declare %s twice", method);
        if (method_id(schema->methods[i]) == method_id(method))
            return err_set(e, -EINVAL, "its methods %s and %s have the same number: rename one", schema->methods[i],
                           method);
    }
    if (schema->count == SCHEMA_METHODS_MAX)
        return err_set(e, -E2BIG, "it declares more than %u methods", SCHEMA_METHODS_MAX);
    memcpy(schema->methods[schema->count++], method, sizeof method);
    return 0;
}

int schema_words(const char *line, size_t bytes, size_t words_max, struct schema_word *words)
{
    size_t count = 0, start = 0;
    for (size_t i = 0; i <= bytes; i++) {
        if (i < bytes && line[i] != ' ')
            continue;
        if (count == words_max || i == start)
            return -EINVAL;
        words[count++] = (struct schema_word){line + start, i - start};
        start = i + 1;
    }
    return (int)count;
}

/* One line: method, request, reply, with single spaces. */
static int read_line(void *context, const char *line, size_t bytes, struct err *e)
{
    struct schema_word words[3];
    if (schema_words(line, bytes, ARRAY_COUNT(words), words) != 3 ||
        !schema_type_is_valid(words[1].at, words[1].bytes) || !schema_type_is_valid(words[2].at, words[2].bytes))
        return err_set(e, -EINVAL, "its schema note has a line that is not three words");
    return add_method(context, words[0].at, words[0].bytes, e);
}

/* ---- the ELF file ---- */

/* What the walk over the notes looks for. */
struct search {
    uint32_t type;
    schema_take *take;
    void *context;
};

static int read_text(const struct search *search, struct bytes text, struct err *e)
{
    while (text.count > 0) {
        const char *newline = memchr(text.at, '\n', text.count);
        if (!newline)
            return err_set(e, -EINVAL, "its schema note does not end with a line");
        size_t line = (size_t)(newline - text.at);
        int r = search->take(search->context, text.at, line, e);
        if (r < 0)
            return r;
        text = (struct bytes){newline + 1, text.count - line - 1};
    }
    return 0;
}

/* Walks one segment of notes.  A segment that is cut off in the middle ends the walk: foreign notes are not ours to
 * judge. */
static int read_notes(const struct search *search, struct bytes segment, uint64_t alignment, struct err *e)
{
    uint64_t at = 0, mask = alignment == 8 ? 7 : 3;
    Elf64_Nhdr header;
    struct bytes name, text, raw;
    while (part(segment, at, sizeof header, &raw)) {
        memcpy(&header, raw.at, sizeof header); /* the image need not be aligned */
        uint64_t name_at = at + sizeof header;
        uint64_t text_at = (name_at + header.n_namesz + mask) & ~mask;
        bool is_ours = header.n_type == search->type && header.n_namesz == sizeof NOTE_NAME &&
                       part(segment, name_at, header.n_namesz, &name) && memcmp(name.at, NOTE_NAME, name.count) == 0;
        if (is_ours) {
            if (!part(segment, text_at, header.n_descsz, &text))
                return err_set(e, -EINVAL, "its schema note is cut off");
            int r = read_text(search, text, e);
            if (r < 0)
                return r;
        }
        at = (text_at + header.n_descsz + mask) & ~mask;
    }
    return 0;
}

static int read_elf(struct bytes file, const struct search *search, bool *ret_is_dynamic, struct err *e)
{
    struct bytes raw;
    Elf64_Ehdr elf;
    if (!part(file, 0, sizeof elf, &raw))
        return err_set(e, -ENOEXEC, "it is no ELF program");
    memcpy(&elf, raw.at, sizeof elf);
    if (memcmp(elf.e_ident, ELFMAG, SELFMAG) != 0)
        return err_set(e, -ENOEXEC, "it is no ELF program");
    if (elf.e_ident[EI_CLASS] != ELFCLASS64 || elf.e_ident[EI_DATA] != ELFDATA2LSB || elf.e_machine != OWN_MACHINE)
        return err_set(e, -ENOEXEC, "it is a program for another machine");
    if (elf.e_type != ET_EXEC && elf.e_type != ET_DYN)
        return err_set(e, -ENOEXEC, "it is an ELF file, but no program");
    if (elf.e_phentsize != sizeof(Elf64_Phdr) || elf.e_phnum == 0 || elf.e_phnum > SCHEMA_HEADERS_MAX)
        return err_set(e, -ENOEXEC, "its program headers are malformed");

    for (uint32_t i = 0; i < elf.e_phnum; i++) {
        Elf64_Phdr header;
        struct bytes segment;
        if (elf.e_phoff > file.count || !part(file, elf.e_phoff + i * sizeof header, sizeof header, &raw))
            return err_set(e, -ENOEXEC, "its program headers lie outside of the file");
        memcpy(&header, raw.at, sizeof header);
        if (header.p_type == PT_INTERP)
            *ret_is_dynamic = true;
        if (header.p_type != PT_NOTE)
            continue;
        if (!part(file, header.p_offset, header.p_filesz, &segment))
            return err_set(e, -ENOEXEC, "its notes lie outside of the file");
        int r = read_notes(search, segment, header.p_align, e);
        if (r < 0)
            return r;
    }
    return 0;
}

int schema_lines(const void *image, size_t bytes, uint32_t type, schema_take *take, void *context, struct err *e)
{
    bool is_dynamic = false;
    const struct search search = {.type = type, .take = take, .context = context};
    return read_elf((struct bytes){image, bytes}, &search, &is_dynamic, e);
}

int schema_read(const void *image, size_t bytes, struct schema *ret_schema, struct err *e)
{
    struct schema schema = {0};
    const struct search search = {.type = SCHEMA_METHODS, .take = read_line, .context = &schema};
    int r = read_elf((struct bytes){image, bytes}, &search, &schema.is_dynamic, e);
    if (r < 0)
        return r;
    *ret_schema = schema;
    return 0;
}
