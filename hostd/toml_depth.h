/*
 * toml_depth.h - refuses keys of very many parts before the TOML library sees them.  Pure over (text, bytes).
 *
 * The library bounds nested values, but makes a table in a table for each part of `a.a.a = 1` and `[a.a.a]`, and walks
 * them by recursion: a million parts are the end of its stack.  What this scan takes for a key or a string in a
 * document that is no TOML does not matter; the library refuses that.
 *
 * Callers: manifest_parse(); tests and fuzzers.
 */
#ifndef HOSTD_TOML_DEPTH_H
#define HOSTD_TOML_DEPTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TOML_KEY_PARTS_MAX 64u /* service.NAME.config and the 16 levels of a configuration are far below */

/* true: no key has more parts.  false: one has, at this place (both from 1; the column counts bytes). */
bool toml_depth_is_bounded(const char *text, size_t bytes, uint32_t *ret_line, uint32_t *ret_column);

#endif
