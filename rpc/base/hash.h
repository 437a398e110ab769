/* hash.h - FNV-1a, 32 bits: the number of a method is the hash of its name "Interface.Method". */
#ifndef RPC_BASE_HASH_H
#define RPC_BASE_HASH_H

#include <stdint.h>

static inline uint32_t method_id(const char *name)
{
    uint32_t hash = 2166136261u;
    for (; *name; name++)
        hash = (hash ^ (unsigned char)*name) * 16777619u;
    return hash;
}

#endif
