/* test_frame.c - frame.h: one form per frame, and no byte read that is not there. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "rpc/frame.h"

static const struct frame request = {.type = FRAME_REQUEST, .method = 0xA1B2C3D4, .id = 7, .deadline_ms = 500};

static long decode(const uint8_t *bytes, size_t length, uint32_t max, struct frame *frame)
{
    size_t need = 0;
    return frame_decode(bytes, length, max, frame, &need);
}

static void what_is_encoded_is_decoded(void **state)
{
    const struct frame frames[] = {
        request,
        {.type = FRAME_REQUEST, .method = 1, .id = UINT32_MAX, .deadline_ms = UINT32_MAX, .payload_bytes = 3},
        {.type = FRAME_REPLY, .id = 9, .payload_bytes = 100},
        {.type = FRAME_ERROR, .id = 9, .status = 16, .payload_bytes = FRAME_TEXT_BYTES_MAX},
        {.type = FRAME_CANCEL, .id = 0},
    };
    for (size_t i = 0; i < sizeof frames / sizeof frames[0]; i++) {
        uint8_t bytes[FRAME_HEADER_BYTES + FRAME_TEXT_BYTES_MAX] = {0};
        frame_encode(bytes, &frames[i]);
        struct frame frame;
        size_t all = FRAME_HEADER_BYTES + frames[i].payload_bytes;
        assert_int_equal(decode(bytes, sizeof bytes, 1000, &frame), (long)all);
        assert_int_equal(frame.type, frames[i].type);
        assert_int_equal(frame.status, frames[i].status);
        assert_int_equal(frame.method, frames[i].method);
        assert_int_equal(frame.id, frames[i].id);
        assert_int_equal(frame.deadline_ms, frames[i].deadline_ms);
        assert_int_equal(frame.payload_bytes, frames[i].payload_bytes);
        assert_ptr_equal(frame.payload, bytes + FRAME_HEADER_BYTES);
        /* Every shorter piece of it is the start of a frame, and asks for no more than the whole. */
        for (size_t length = 0; length < all; length++) {
            size_t need = 0;
            uint8_t *exact = malloc(length + 1);
            assert_non_null(exact);
            memcpy(exact, bytes, length);
            assert_int_equal(frame_decode(exact, length, 1000, &frame, &need), 0);
            assert_true(need > length && need <= all);
            free(exact);
        }
    }
}

static void a_length_over_the_limit_is_refused_before_its_payload(void **state)
{
    const uint32_t lengths[] = {1001, INT32_MAX, (uint32_t)INT32_MAX + 1, UINT32_MAX,
                                UINT32_MAX - FRAME_HEADER_BYTES + 1};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        struct frame frame = request;
        frame.payload_bytes = lengths[i];
        uint8_t bytes[FRAME_HEADER_BYTES];
        frame_encode(bytes, &frame);
        assert_int_equal(decode(bytes, sizeof bytes, 1000, &frame), -EPROTO);
    }
}

static void every_unused_field_must_be_zero(void **state)
{
    const struct frame wrong[] = {
        {.type = 0},
        {.type = 5},
        {.type = FRAME_REQUEST, .status = 1},
        {.type = FRAME_REPLY, .status = 1},
        {.type = FRAME_REPLY, .method = 1},
        {.type = FRAME_REPLY, .deadline_ms = 1},
        {.type = FRAME_ERROR, .status = 0},
        {.type = FRAME_ERROR, .status = 17},
        {.type = FRAME_ERROR, .status = 1, .method = 1},
        {.type = FRAME_ERROR, .status = 1, .payload_bytes = FRAME_TEXT_BYTES_MAX + 1},
        {.type = FRAME_CANCEL, .payload_bytes = 1},
        {.type = FRAME_CANCEL, .method = 1},
    };
    struct frame frame;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        uint8_t bytes[FRAME_HEADER_BYTES + 256] = {0};
        frame_encode(bytes, &wrong[i]);
        assert_int_equal(decode(bytes, sizeof bytes, 1000, &frame), -EPROTO);
    }
    uint8_t bytes[FRAME_HEADER_BYTES];
    frame_encode(bytes, &request);
    assert_true(decode(bytes, sizeof bytes, 1000, &frame) > 0);
    bytes[3] = 1;
    assert_int_equal(decode(bytes, sizeof bytes, 1000, &frame), -EPROTO);
}

static void another_protocol_is_refused_by_its_first_byte(void **state)
{
    struct frame frame;
    assert_int_equal(decode((const uint8_t *)"G", 1, 1000, &frame), -EPROTO);
    assert_int_equal(decode((const uint8_t *)"\x01\x09", 2, 1000, &frame), -EPROTO);
    assert_int_equal(decode((const uint8_t *)"\0\0\0\0", 4, 1000, &frame), -EPROTO);
    assert_int_equal(decode((const uint8_t *)"", 0, 1000, &frame), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_encoded_is_decoded),
        cmocka_unit_test(a_length_over_the_limit_is_refused_before_its_payload),
        cmocka_unit_test(every_unused_field_must_be_zero),
        cmocka_unit_test(another_protocol_is_refused_by_its_first_byte),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
