/* control_parse.c - see control_parse.h. */
#include "hostd/control_parse.h"

#include <errno.h>
#include <string.h>

#include "hostd/rules.h"
#include "rpc/base/own.h"

/* A verb that takes words has them here; each is a name as the service list writes it. */
static const struct {
    const char *name;
    size_t word_count;
} verbs[] = {
    [CONTROL_PS] = {"ps", 0},
    [CONTROL_OPERATOR] = {"operator", 1},
    [CONTROL_STOP] = {"stop", 0},
    [CONTROL_STOP_SERVICE] = {"stop-service", 1},
    [CONTROL_RESTART_SERVICE] = {"restart-service", 1},
};
_Static_assert(ARRAY_COUNT(verbs) == CONTROL_VERB_COUNT, "a row per verb");

/* The next word of [*at, end), which is below room bytes long; the space behind it is taken too.  Its length, or 0. */
static size_t take_word(const char **at, const char *end, char *word, size_t room)
{
    const char *space = memchr(*at, ' ', (size_t)(end - *at));
    size_t bytes = (size_t)((space ? space : end) - *at);
    if (bytes == 0 || bytes >= room || (space && space + 1 == end))
        return 0; /* empty, too long, or a space at the end */
    memcpy(word, *at, bytes);
    word[bytes] = '\0';
    *at = space ? space + 1 : end;
    return bytes;
}

int control_parse(const char *bytes, size_t count, struct control_request *ret_request, struct err *e)
{
    struct control_request request = {0};
    char verb[NAME_BYTES];
    if (count == 0 || count > CONTROL_REQUEST_BYTES_MAX || bytes[count - 1] != '\n')
        return err_set(e, -EINVAL, "a request is one line of at most %u bytes", CONTROL_REQUEST_BYTES_MAX);
    const char *at = bytes, *end = bytes + count - 1;
    size_t verb_bytes = take_word(&at, end, verb, sizeof verb);
    size_t known = 0;
    while (known < CONTROL_VERB_COUNT &&
           (verb_bytes != strlen(verbs[known].name) || memcmp(verb, verbs[known].name, verb_bytes) != 0))
        known++;
    if (known == CONTROL_VERB_COUNT)
        return err_set(e, -EINVAL, "unknown request; is this hostd older than the command?");
    request.verb = (enum control_verb)known;
    while (at < end) {
        if (request.word_count == CONTROL_WORDS_MAX || request.word_count == verbs[known].word_count)
            return err_set(e, -EINVAL, "request %s: too many words", verbs[known].name);
        char *word = request.words[request.word_count];
        size_t word_bytes = take_word(&at, end, word, NAME_BYTES);
        if (word_bytes == 0 || strlen(word) != word_bytes || !rule_name(word))
            return err_set(e, -EINVAL, "request %s: a word is no name", verbs[known].name);
        request.word_count++;
    }
    if (request.word_count != verbs[known].word_count)
        return err_set(e, -EINVAL, "request %s: it takes %zu words", verbs[known].name, verbs[known].word_count);
    *ret_request = request;
    return 0;
}
