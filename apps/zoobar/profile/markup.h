/*
 * markup.h - a user's text as HTML that is safe in anybody's page.
 *
 * Pure.  The text is read by libgumbo as a browser would read it, into a tree; what is printed is
 * made anew from the tree: names of elements from a list of ours, and text, escaped.  Called by profile.c.
 *
 * Invariants
 *  I1  Nothing of the input is copied as markup: tags come from the list, without any attribute, and all else is
 *      written as text.  So no link, no picture, no script, no style, no id that could pose as one of the page's.
 *  I2  Tags are balanced, no <div> is among them, and at most MARKUP_DEPTH_MAX are open at once: the output cannot
 *      end the element that it is put into.
 *  I3  The parser gets memory from one block and no more, and its time, which grows with the square of the attributes
 *      of a tag, is bounded by MARKUP_CHARACTERS_MAX (4 ms; a usual profile takes 0.2).  A text beyond these bounds, or
 *      whose output would grow beyond MARKUP_HTML_BYTES_MAX, is shown as plain text instead.  Nothing recurses.
 *  I4  The output is UTF-8 without control characters but tabs and line ends.
 */
#ifndef ZOOBAR_PROFILE_MARKUP_H
#define ZOOBAR_PROFILE_MARKUP_H

#include <protobuf-c/protobuf-c.h>
#include <stddef.h>

#define MARKUP_CHARACTERS_MAX 5000u        /* of a profile */
#define MARKUP_BYTES_MAX (20u << 10)       /* that many, of at most 4 bytes */
#define MARKUP_HTML_BYTES_MAX (192u << 10) /* a text of that size, all of it quotes and ampersands, takes 100 KiB */
#define MARKUP_SCRATCH_BYTES (4u << 20)    /* for the parser: a usual profile needs 100 KiB */
#define MARKUP_DEPTH_MAX 32u               /* tags within tags; deeper ones are left out, their text is not */

/* A text is any bytes; NUL and invalid UTF-8 become U+FFFD.  The result is a string of the allocator; NULL: no memory.
 */
char *markup_render(const char *text, size_t bytes, ProtobufCAllocator *allocator);

/* The same without any markup: the text as it was typed, in <pre>. */
char *markup_plain(const char *text, size_t bytes, ProtobufCAllocator *allocator);

#endif
