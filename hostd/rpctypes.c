/* rpctypes.c - see rpctypes.h. */
#include "hostd/rpctypes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "rpc/base/own.h"

#define FIELD_NUMBER_MAX 536870911 /* 2^29 - 1: the format's own limit */

static const char *const type_names[] = {
    [FIELD_INT32] = "int32",     [FIELD_SINT32] = "sint32",   [FIELD_SFIXED32] = "sfixed32",
    [FIELD_INT64] = "int64",     [FIELD_SINT64] = "sint64",   [FIELD_SFIXED64] = "sfixed64",
    [FIELD_UINT32] = "uint32",   [FIELD_FIXED32] = "fixed32", [FIELD_UINT64] = "uint64",
    [FIELD_FIXED64] = "fixed64", [FIELD_FLOAT] = "float",     [FIELD_DOUBLE] = "double",
    [FIELD_BOOL] = "bool",       [FIELD_ENUM] = "enum",       [FIELD_STRING] = "string",
    [FIELD_BYTES] = "bytes",     [FIELD_MESSAGE] = "message",
};
_Static_assert(ARRAY_COUNT(type_names) == FIELD_TYPE_COUNT, "every type has a name");

const char *types_field_name(enum field_type type)
{
    return type_names[type];
}

/* While lines are taken: names that are looked up when all are there. */
struct reading {
    struct types *types;
    struct type *current; /* whose fields come; NULL before the first line of a note */
    char nested[TYPES_FIELDS_MAX][SCHEMA_TYPE_NAME_BYTES];
    char inputs[SCHEMA_METHODS_MAX][SCHEMA_TYPE_NAME_BYTES], outputs[SCHEMA_METHODS_MAX][SCHEMA_TYPE_NAME_BYTES];
};

static int malformed(struct err *e)
{
    return err_set(e, -EINVAL, "its schema note of messages has a malformed line");
}

static bool is_word(const struct schema_word *word, const char *text)
{
    return word->bytes == strlen(text) && memcmp(word->at, text, word->bytes) == 0;
}

/* The word as a string; room is enough for what was found valid. */
static void copy(char *to, const struct schema_word *word)
{
    memcpy(to, word->at, word->bytes);
    to[word->bytes] = '\0';
}

static uint32_t find_type(const struct types *types, const char *name)
{
    for (uint32_t i = 0; i < types->count; i++)
        if (strcmp(types->at[i].name, name) == 0)
            return i;
    return TYPES_NONE;
}

/* Decimal, without leading zeros, negative only where min is. */
static bool read_number(const struct schema_word *word, int64_t min, int64_t max, int32_t *ret_number)
{
    bool is_negative = word->at[0] == '-';
    size_t digits = word->bytes - is_negative;
    int64_t number = 0;
    if (digits == 0 || digits > 10 || (word->at[is_negative] == '0' && word->bytes > 1))
        return false;
    for (size_t i = is_negative; i < word->bytes; i++) {
        if (word->at[i] < '0' || word->at[i] > '9')
            return false;
        number = number * 10 + (word->at[i] - '0');
    }
    number = is_negative ? -number : number;
    if (number < min || number > max)
        return false;
    *ret_number = (int32_t)number;
    return true;
}

/* ---- lines ---- */

static int begin_type(struct reading *reading, const struct schema_word words[2], struct err *e)
{
    struct types *types = reading->types;
    char name[SCHEMA_TYPE_NAME_BYTES];
    if (!schema_type_is_valid(words[1].at, words[1].bytes))
        return malformed(e);
    copy(name, &words[1]);
    if (find_type(types, name) != TYPES_NONE)
        return err_set(e, -EINVAL, "its schema notes describe %s twice", name);
    if (types->count == TYPES_MAX)
        return err_set(e, -E2BIG, "it has more than %u messages", TYPES_MAX);
    reading->current = &types->at[types->count++];
    *reading->current = (struct type){.is_enum = is_word(&words[0], "enum"), .field_first = types->field_count};
    memcpy(reading->current->name, name, sizeof name);
    return 0;
}

static int add_field(struct reading *reading, const struct type_field *field, const char *nested, struct err *e)
{
    struct types *types = reading->types;
    struct type *type = reading->current;
    for (uint32_t i = 0; i < type->field_count; i++) {
        const struct type_field *other = &types_fields(types, type)[i];
        /* Two names of one value of an enum are no contradiction. */
        if (strcmp(other->name, field->name) == 0 || (!type->is_enum && other->number == field->number))
            return err_set(e, -EINVAL, "its message %s has two fields %s or two of its number", type->name,
                           field->name);
    }
    if (types->field_count == TYPES_FIELDS_MAX)
        return err_set(e, -E2BIG, "its messages have more than %u fields", TYPES_FIELDS_MAX);
    memcpy(reading->nested[types->field_count], nested, strlen(nested) + 1);
    types->fields[types->field_count++] = *field;
    type->field_count++;
    return 0;
}

static int read_enum_value(struct reading *reading, const struct schema_word *words, int count, struct err *e)
{
    struct type_field field = {.type = FIELD_ENUM, .nested = TYPES_NONE};
    if (count != 2 || !read_number(&words[0], INT32_MIN, INT32_MAX, &field.number))
        return malformed(e);
    copy(field.name, &words[1]);
    return add_field(reading, &field, "", e);
}

static int read_field(struct reading *reading, const struct schema_word *words, int count, struct err *e)
{
    struct type_field field = {.type = FIELD_TYPE_COUNT, .nested = TYPES_NONE};
    char nested[SCHEMA_TYPE_NAME_BYTES] = "";
    if (count < 4 || !read_number(&words[0], 1, FIELD_NUMBER_MAX, &field.number))
        return malformed(e);
    copy(field.name, &words[1]);
    field.is_many = is_word(&words[2], "many");
    if (!field.is_many && !is_word(&words[2], "one"))
        return malformed(e);
    for (uint32_t type = 0; type < FIELD_TYPE_COUNT; type++)
        if (is_word(&words[3], type_names[type]))
            field.type = type;
    bool has_nested = field.type == FIELD_MESSAGE || field.type == FIELD_ENUM;
    if (field.type == FIELD_TYPE_COUNT || count != (has_nested ? 5 : 4) ||
        (has_nested && !schema_type_is_valid(words[4].at, words[4].bytes)))
        return malformed(e);
    if (has_nested)
        copy(nested, &words[4]);
    return add_field(reading, &field, nested, e);
}

static int take_message_line(void *context, const char *line, size_t bytes, struct err *e)
{
    struct reading *reading = context;
    struct schema_word words[5];
    int count = schema_words(line, bytes, ARRAY_COUNT(words), words);
    if (count == 2 && (is_word(&words[0], "message") || is_word(&words[0], "enum")))
        return begin_type(reading, words, e);
    if (count < 2 || !reading->current || words[1].bytes >= TYPES_FIELD_NAME_BYTES ||
        !schema_identifier_is_valid(words[1].at, words[1].bytes))
        return malformed(e);
    return reading->current->is_enum ? read_enum_value(reading, words, count, e) : read_field(reading, words, count, e);
}

static int take_method_line(void *context, const char *line, size_t bytes, struct err *e)
{
    struct reading *reading = context;
    struct types *types = reading->types;
    struct schema_word words[3];
    if (schema_words(line, bytes, ARRAY_COUNT(words), words) != 3 ||
        !schema_method_is_valid(words[0].at, words[0].bytes) || !schema_type_is_valid(words[1].at, words[1].bytes) ||
        !schema_type_is_valid(words[2].at, words[2].bytes))
        return err_set(e, -EINVAL, "its schema note has a line that is not three words");
    if (types->method_count == SCHEMA_METHODS_MAX)
        return err_set(e, -E2BIG, "it declares more than %u methods", SCHEMA_METHODS_MAX);
    copy(types->methods[types->method_count].name, &words[0]);
    copy(reading->inputs[types->method_count], &words[1]);
    copy(reading->outputs[types->method_count], &words[2]);
    types->method_count++;
    return 0;
}

/* ---- what names mean ---- */

static int resolve(struct reading *reading, struct err *e)
{
    struct types *types = reading->types;
    for (uint32_t i = 0; i < types->field_count; i++) {
        struct type_field *field = &types->fields[i];
        if (!reading->nested[i][0])
            continue;
        field->nested = find_type(types, reading->nested[i]);
        if (field->nested == TYPES_NONE || types->at[field->nested].is_enum != (field->type == FIELD_ENUM))
            return err_set(e, -EINVAL, "its schema notes do not describe %s", reading->nested[i]);
    }
    for (uint32_t i = 0; i < types->method_count; i++) {
        struct type_method *method = &types->methods[i];
        method->input = find_type(types, reading->inputs[i]);
        method->output = find_type(types, reading->outputs[i]);
        if (method->input == TYPES_NONE || method->output == TYPES_NONE || types->at[method->input].is_enum ||
            types->at[method->output].is_enum)
            return err_set(e, -EINVAL, "its schema notes do not describe the messages of %s", method->name);
    }
    return 0;
}

/* Levels below a message; more than TYPES_NESTING_MAX also when it contains itself.  Each message is measured once. */
static uint32_t depth_of(const struct types *types, uint32_t index, uint8_t depths[TYPES_MAX], uint32_t level)
{
    if (depths[index] || level > TYPES_NESTING_MAX)
        return level > TYPES_NESTING_MAX ? level : depths[index];
    const struct type *type = &types->at[index];
    uint32_t deepest = 0;
    for (uint32_t i = 0; i < type->field_count && deepest <= TYPES_NESTING_MAX; i++) {
        const struct type_field *field = &types_fields(types, type)[i];
        if (field->type != FIELD_MESSAGE || type->is_enum)
            continue;
        uint32_t depth = depth_of(types, field->nested, depths, level + 1);
        deepest = depth > deepest ? depth : deepest;
    }
    depths[index] = (uint8_t)(deepest < TYPES_NESTING_MAX ? deepest + 1 : TYPES_NESTING_MAX + 1);
    return depths[index];
}

static int check_nesting(const struct types *types, struct err *e)
{
    uint8_t depths[TYPES_MAX] = {0};
    for (uint32_t i = 0; i < types->count; i++)
        if (depth_of(types, i, depths, 1) > TYPES_NESTING_MAX)
            return err_set(e, -EINVAL, "its message %s contains itself, or is nested too deeply", types->at[i].name);
    return 0;
}

int types_read(const void *image, size_t bytes, struct types **ret_types, struct err *e)
{
    FREE_AUTO struct types *types = calloc(1, sizeof *types);
    FREE_AUTO struct reading *reading = calloc(1, sizeof *reading);
    if (!types || !reading)
        return err_set(e, -ENOMEM, "no memory for its schema");
    reading->types = types;
    int result = schema_lines(image, bytes, SCHEMA_METHODS, take_method_line, reading, e);
    if (result == 0)
        result = schema_lines(image, bytes, SCHEMA_MESSAGES, take_message_line, reading, e);
    if (result == 0)
        result = resolve(reading, e);
    if (result == 0)
        result = check_nesting(types, e);
    if (result < 0)
        return result;
    *ret_types = types;
    types = NULL;
    return 0;
}
