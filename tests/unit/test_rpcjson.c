/* test_rpcjson.c - messages as JSON: the same bytes as protobuf-c's, and back; what is wrong is named. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "hostd/rpcjson.h"
#include "rpc/base/own.h"
#include "tests/unit/rpcjson_probe.pb-c.h"
#include "tests/unit/rpcjson_probe.rpc.h"
#include "tests/unit/rpctypes.h"

/* As the generator wrote it. */
RPCJSON_PROBE_SCHEMA_NOTE;

static struct types *types;
static uint32_t everything;

static int set_up(void **state)
{
    static char image[FIXTURE_ELF_BYTES];
    char methods[sizeof rpcjson_probe_schema_methods.text + 1] = "";
    memcpy(methods, rpcjson_probe_schema_methods.text, rpcjson_probe_schema_methods.text_bytes);
    size_t bytes =
        fixture_typed_elf(image, methods, rpcjson_probe_schema_messages.text, rpcjson_probe_schema_messages.text_bytes);
    struct err e = {0};
    int result = types_read(image, bytes, &types, &e);
    if (result == 0)
        everything = types->methods[0].input;
    else
        print_error("%s\n", e.text);
    return result;
}

static int tear_down(void **state)
{
    free(types);
    return 0;
}

static int pack(const char *text, uint8_t **ret_bytes, size_t *ret_count, struct err *e)
{
    json_t *object = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(object);
    int result = rpcjson_pack(types, everything, object, ret_bytes, ret_count, e);
    json_decref(object);
    return result;
}

static Everything *packed(const char *text)
{
    FREE_AUTO uint8_t *bytes = NULL;
    size_t count = 0;
    struct err e = {0};
    if (pack(text, &bytes, &count, &e) < 0)
        fail_msg("%s: %s", text, e.text);
    Everything *message = everything__unpack(NULL, count, bytes);
    assert_non_null(message);
    return message;
}

static void every_type_goes_out_as_protobuf_reads_it(void **state)
{
    Everything *m = packed("{\"i32\": -5, \"s32\": -2147483648, \"f32\": \"-7\", \"i64\": \"-9223372036854775808\","
                           "\"s64\": -3, \"f64\": 9223372036854775807, \"u32\": 4294967295, \"x32\": 1,"
                           "\"u64\": \"18446744073709551615\", \"x64\": 2, \"real\": 1.5, \"wide\": -0.25,"
                           "\"flag\": true, \"color\": \"DEEP_RED\", \"text\": \"caf\\u00e9\", \"blob\": \"AAEC/w==\","
                           "\"inner\": {\"name\": \"n\", \"steps\": [1, -1]}, \"many\": [{}, {\"name\": \"z\"}],"
                           "\"numbers\": [1, \"2\"], \"words\": [\"a\", \"\"]}");
    assert_int_equal(m->i32, -5);
    assert_int_equal(m->s32, INT32_MIN);
    assert_int_equal(m->f32, -7);
    assert_true(m->i64 == INT64_MIN);
    assert_int_equal(m->s64, -3);
    assert_true(m->f64 == INT64_MAX);
    assert_int_equal(m->u32, UINT32_MAX);
    assert_int_equal(m->x32, 1);
    assert_true(m->u64 == UINT64_MAX);
    assert_int_equal(m->x64, 2);
    assert_true(m->real == 1.5f && m->wide == -0.25);
    assert_true(m->flag);
    assert_int_equal(m->color, COLOR__DEEP_RED);
    assert_string_equal(m->text, "caf\xc3\xa9");
    assert_int_equal(m->blob.len, 4);
    assert_memory_equal(m->blob.data, "\x00\x01\x02\xff", 4);
    assert_string_equal(m->inner->name, "n");
    assert_int_equal(m->inner->n_steps, 2);
    assert_int_equal(m->inner->steps[1], -1);
    assert_int_equal(m->n_many, 2);
    assert_string_equal(m->many[1]->name, "z");
    assert_int_equal(m->n_numbers, 2);
    assert_int_equal(m->numbers[1], 2);
    assert_int_equal(m->n_words, 2);
    everything__free_unpacked(m, NULL);
    m = packed("{\"text\": null, \"numbers\": null}"); /* left out */
    assert_string_equal(m->text, "");
    everything__free_unpacked(m, NULL);
}

/* What protobuf-c packs, as JSON, packed again, is what it packs. */
static void every_type_comes_back(void **state)
{
    int32_t steps[] = {1, -1, INT32_MIN};
    int64_t numbers[] = {0, -1, INT64_MAX};
    char *words[] = {(char[]){"a"}, (char[]){""}};
    Inner inner = INNER__INIT, empty = INNER__INIT, *many[] = {&inner, &empty};
    inner.name = (char[]){"quote\" and \x7f"};
    inner.steps = steps;
    inner.n_steps = 3;
    Everything m = EVERYTHING__INIT;
    m.i32 = -5;
    m.s32 = -6;
    m.f32 = -7;
    m.i64 = INT64_MIN;
    m.s64 = INT64_MIN;
    m.f64 = -1;
    m.u32 = UINT32_MAX;
    m.x32 = UINT32_MAX;
    m.u64 = UINT64_MAX;
    m.x64 = INT64_MAX;
    m.real = 0.1f;
    m.wide = 0.1;
    m.flag = true;
    m.color = COLOR__DEEP_RED;
    m.text = (char[]){"caf\xc3\xa9"};
    m.blob = (ProtobufCBinaryData){.data = (uint8_t *)"\x00\xff", .len = 2};
    m.inner = &inner;
    m.many = many;
    m.n_many = 2;
    m.numbers = numbers; /* packed, by proto3 */
    m.n_numbers = 3;
    m.words = words;
    m.n_words = 2;
    uint8_t first[1024], second[1024];
    size_t count = everything__pack(&m, first);
    json_t *object = NULL;
    struct err e = {0};
    assert_int_equal(rpcjson_unpack(types, everything, first, count, &object, &e), 0);
    assert_string_equal(json_string_value(json_object_get(object, "color")), "DEEP_RED");
    assert_string_equal(json_string_value(json_object_get(object, "u64")), "18446744073709551615");
    assert_string_equal(json_string_value(json_object_get(object, "blob")), "AP8=");
    FREE_AUTO uint8_t *bytes = NULL;
    size_t again = 0;
    if (rpcjson_pack(types, everything, object, &bytes, &again, &e) < 0)
        fail_msg("%s", e.text);
    json_decref(object);
    Everything *back = everything__unpack(NULL, again, bytes);
    assert_non_null(back);
    assert_int_equal(everything__pack(back, second), count);
    assert_memory_equal(first, second, count);
    everything__free_unpacked(back, NULL);
}

static void what_is_left_out_has_its_default(void **state)
{
    json_t *object = NULL;
    struct err e = {0};
    assert_int_equal(rpcjson_unpack(types, everything, NULL, 0, &object, &e), 0);
    assert_int_equal(json_object_size(object), 20);
    FREE_AUTO char *text = json_dumps(object, JSON_COMPACT);
    assert_string_equal(text,
                        "{\"i32\":0,\"s32\":0,\"f32\":0,\"i64\":0,\"s64\":0,\"f64\":0,\"u32\":0,\"x32\":0,\"u64\":0,"
                        "\"x64\":0,\"real\":0.0,\"wide\":0.0,\"flag\":false,\"color\":\"NONE\",\"text\":\"\","
                        "\"blob\":\"\",\"inner\":null,\"many\":[],\"numbers\":[],\"words\":[]}");
    json_decref(object);
}

static void wrong_json_is_named(void **state)
{
    static const struct {
        const char *json, *says;
    } rows[] = {
        {"[]", "Everything is an object"},
        {"{\"txt\": \"\"}", "no field 'txt' (did you mean 'text'?)"},
        {"{\"inner\": {\"nam\": \"\"}}", "inner: Inner has no field 'nam' (did you mean 'name'?)"},
        {"{\"inner\": []}", "field inner is no message"},
        {"{\"inner\": 1}", "inner: Inner is an object"},
        {"{\"i32\": 2147483648}", "field i32 is no int32"},
        {"{\"i32\": 1.0}", "field i32 is no int32"},
        {"{\"i32\": \"1x\"}", "field i32 is no int32"},
        {"{\"i32\": \" 1\"}", "field i32 is no int32"},
        {"{\"i32\": \"\"}", "field i32 is no int32"},
        {"{\"i32\": [1]}", "field i32 is no int32"},
        {"{\"u32\": -1}", "field u32 is no uint32"},
        {"{\"u32\": 4294967296}", "field u32 is no uint32"},
        {"{\"u64\": \"18446744073709551616\"}", "field u64 is no uint64"},
        {"{\"i64\": \"9223372036854775808\"}", "field i64 is no int64"},
        {"{\"s64\": \"-9223372036854775809\"}", "field s64 is no sint64"},
        {"{\"real\": \"much\"}", "field real is no number"},
        {"{\"flag\": 1}", "field flag is no true or false"},
        {"{\"color\": \"REDD\"}", "Color has no value 'REDD' (did you mean 'RED'?)"},
        {"{\"text\": 1}", "field text is no string"},
        {"{\"blob\": \"A\"}", "field blob is no string of base64"},
        {"{\"blob\": \"AA=A\"}", "field blob is no string of base64"},
        {"{\"blob\": \"AB==\"}", "field blob is no string of base64"}, /* bits that would be lost */
        {"{\"blob\": \"AA==AAAA\"}", "field blob is no string of base64"},
        {"{\"blob\": \"A-_A\"}", "field blob is no string of base64"},
        {"{\"numbers\": 1}", "field numbers is no array"},
        {"{\"numbers\": [null]}", "field numbers is no int64"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        uint8_t *bytes = NULL;
        size_t count;
        struct err e = {0};
        if (pack(rows[i].json, &bytes, &count, &e) != -EINVAL || !strstr(e.text, rows[i].says))
            fail_msg("%s: %s", rows[i].json, e.text);
        assert_null(bytes);
    }
    FREE_AUTO char *large = malloc((2u << 20) + 64);
    assert_non_null(large);
    size_t used = (size_t)sprintf(large, "{\"text\": \"");
    memset(large + used, 'x', 2u << 20);
    (void)sprintf(large + used + (2u << 20), "\"}");
    uint8_t *bytes = NULL;
    size_t count;
    struct err e = {0};
    assert_int_equal(pack(large, &bytes, &count, &e), -E2BIG);
}

static void broken_replies_are_refused(void **state)
{
    static const struct {
        const char *bytes;
        size_t count;
    } rows[] = {
        {"\x08", 1},                                          /* a number that is not there */
        {"\x08\x80", 2},                                      /* ... not all there */
        {"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 11}, /* more than 64 bits */
        {"\x7a\x05xy", 4},                                    /* a string longer than the message */
        {"\x7a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11},
        {"\x7a\x02\xff\xfe", 4},     /* no UTF-8 */
        {"\x7a\x01\x00", 3},         /* jansson takes no NUL */
        {"\x78\x01", 2},             /* a string as a number */
        {"\x0a\x01\x01", 3},         /* a number as bytes, and not many */
        {"\x5d\x00\x00", 3},         /* a float cut short */
        {"\x00\x01", 2},             /* field 0 */
        {"\x0b", 1},                 /* a group */
        {"\xfb\xff\x03\x01", 4},     /* a group, of an unknown field */
        {"\x8a\x01\x02\x0a\x05", 5}, /* inside a message */
        {"\x9a\x01\x02\x01\x80", 5}, /* packed numbers cut short */
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        json_t *object = NULL;
        struct err e = {0};
        FREE_AUTO uint8_t *copy = malloc(rows[i].count);
        assert_non_null(copy);
        memcpy(copy, rows[i].bytes, rows[i].count);
        int result = rpcjson_unpack(types, everything, copy, rows[i].count, &object, &e);
        if (i == 6 && result == 0) { /* a jansson that takes NULs */
            json_decref(object);
            continue;
        }
        if (result != -EPROTO || object)
            fail_msg("row %zu: %d %s", i, result, e.text);
    }
    /* Fields of a newer schema are no fault. */
    json_t *object = NULL;
    struct err e = {0};
    assert_int_equal(rpcjson_unpack(types, everything, (const uint8_t *)"\xf8\xff\x03\x01\x08\x05", 6, &object, &e), 0);
    assert_int_equal(json_integer_value(json_object_get(object, "i32")), 5);
    json_decref(object);
}

static void a_reply_of_very_many_values_is_refused(void **state)
{
    size_t count = 1u << 20;
    FREE_AUTO uint8_t *bytes = malloc(count);
    assert_non_null(bytes);
    for (size_t i = 0; i + 2 < count; i += 3)
        memcpy(bytes + i, "\x92\x01\x00", 3); /* many: one more empty message */
    json_t *object = NULL;
    struct err e = {0};
    assert_int_equal(rpcjson_unpack(types, everything, bytes, count / 3 * 3, &object, &e), -E2BIG);
}

static void nothing_that_is_shown_is_obeyed(void **state)
{
    static const char text[] = "\x7a\x1c"
                               "a\x1b[2J\x7f\xc2\x9b"
                               "b\xe2\x80\xae"
                               "c\xe2\x81\xa6"
                               "d\xe2\x80\xa8"
                               "e\xc3\xa9\xf0\x9f\x98\x80\n";
    json_t *object = NULL;
    struct err e = {0};
    assert_int_equal(rpcjson_unpack(types, everything, (const uint8_t *)text, sizeof text - 1, &object, &e), 0);
    FREE_AUTO char *shown = rpcjson_show(object);
    json_decref(object);
    assert_non_null(shown);
    assert_non_null(
        strstr(shown, "\"text\": \"a\\u001B[2J\\u007f\\u009bb\\u202ec\\u2066d\\u2028e\xc3\xa9\xf0\x9f\x98\x80\\n\""));
    json_t *same = json_loads(shown, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(same);
    json_decref(same);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_goes_out_as_protobuf_reads_it),
        cmocka_unit_test(every_type_comes_back),
        cmocka_unit_test(what_is_left_out_has_its_default),
        cmocka_unit_test(wrong_json_is_named),
        cmocka_unit_test(broken_replies_are_refused),
        cmocka_unit_test(a_reply_of_very_many_values_is_refused),
        cmocka_unit_test(nothing_that_is_shown_is_obeyed),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
