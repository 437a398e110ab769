/* test_control_parse.c - requests of the control socket: which are taken, which are refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "hostd/control_parse.h"
#include "rpc/base/own.h"

/* In a block of its own, so that the sanitizer sees a read behind the end. */
static int parse_bytes(const char *text, size_t bytes, struct control_request *request)
{
    char *copy = malloc(bytes + (bytes == 0));
    struct err e = {0};
    assert_non_null(copy);
    memcpy(copy, text, bytes);
    int result = control_parse(copy, bytes, request, &e);
    assert_true(result == 0 || (result == -EINVAL && e.text[0]));
    free(copy);
    return result;
}

static int parse(const char *text, struct control_request *request)
{
    return parse_bytes(text, strlen(text), request);
}

static void requests_are_taken(void **state)
{
    struct control_request request;
    assert_int_equal(parse("ps\n", &request), 0);
    assert_int_equal(request.verb, CONTROL_PS);
    assert_int_equal(request.word_count, 0);
    assert_int_equal(parse("stop\n", &request), 0);
    assert_int_equal(request.verb, CONTROL_STOP);
    assert_int_equal(parse("operator bank-2_x\n", &request), 0);
    assert_int_equal(request.verb, CONTROL_OPERATOR);
    assert_int_equal(request.word_count, 1);
    assert_string_equal(request.words[0], "bank-2_x");
    assert_int_equal(parse("operator abcdefghijklmnopqrstuvwxyz01234\n", &request), 0); /* 31 characters */
}

static void others_are_refused(void **state)
{
    static const char *const texts[] = {
        "operator\n",
        "operator \n",
        "operator a b\n",
        "operator  a\n",
        "operator a \n",
        "operator A\n",
        "operator ../a\n",
        "operator abcdefghijklmnopqrstuvwxyz012345\n", /* 32 characters */
        "",
        "\n",
        "ps",
        "ps\n\n",
        "ps\nps\n",
        " ps\n",
        "ps \n",
        "ps x\n",
        "ps  x\n",
        "PS\n",
        "p\n",
        "psx\n",
        "stop\r\n",
        "stop\t\n",
        "stop now\n",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n",
    };
    struct control_request request = {.word_count = 7};
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++)
        assert_int_equal(parse(texts[i], &request), -EINVAL);
    assert_int_equal(parse_bytes("ps\0\n", 4, &request), -EINVAL);
    assert_int_equal(parse_bytes("ps\n\0", 4, &request), -EINVAL);
    char long_line[CONTROL_REQUEST_BYTES_MAX + 1];
    memset(long_line, ' ', sizeof long_line);
    memcpy(long_line, "ps", 2);
    long_line[sizeof long_line - 1] = '\n';
    assert_int_equal(parse_bytes(long_line, sizeof long_line, &request), -EINVAL);
    assert_int_equal(request.word_count, 7); /* untouched */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_are_taken),
        cmocka_unit_test(others_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
