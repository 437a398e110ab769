/* rpctypes.h - for tests and fuzzers: an ELF image with a note of methods and one of messages. */
#ifndef TESTS_UNIT_RPCTYPES_H
#define TESTS_UNIT_RPCTYPES_H

#include "tests/unit/hostd_fixture.h"

/* As fixture_elf(), with a note of type 2 behind the first.  Returns its size. */
static inline size_t fixture_typed_elf(char image[FIXTURE_ELF_BYTES], const char *methods, const void *messages,
                                       size_t messages_bytes)
{
    size_t at = fixture_elf(image, methods, NULL, false);
    Elf64_Phdr header;
    memcpy(&header, image + sizeof(Elf64_Ehdr) + sizeof header, sizeof header);
    at = fixture_note(image, at, "hostd", 2, messages, messages_bytes);
    header.p_filesz = at - header.p_offset;
    memcpy(image + sizeof(Elf64_Ehdr) + sizeof header, &header, sizeof header);
    return at;
}

#endif
