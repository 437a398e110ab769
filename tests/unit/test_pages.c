/*
 * test_pages.c - the pages, with services of the test's own behind the stubs: what is asked, and what is shown.
 *
 * The services here are one small world of two users, kept in this file; each can be told to fail.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "apps/echo/echo.rpc.h"
#include "apps/zoobar/api/auth.rpc.h"
#include "apps/zoobar/api/bank.rpc.h"
#include "apps/zoobar/api/person.rpc.h"
#include "apps/zoobar/api/profile.rpc.h"
#include "apps/zoobar/dynamic/pages.h"
#include "rpc/base/log.h"
#include "rpc/base/own.h"
#include "tests/unit/test_pages_arena.h"

#define KEY_BYTES 16
#define LOG_MAX 1000

/* ---- the world ---- */

struct user {
    const char *name, *token;
    char profile[256];
    int64_t zoobars;
    bool is_open;
};

static struct world {
    struct user users[2];
    enum rpc_status auth_fails, bank_fails, person_fails, profile_fails, echo_fails; /* all calls of it, if not OK */
    unsigned transfers_lost; /* so many next transfers happen, but their answer does not arrive */
    unsigned transfer_calls, moved, registered, slept_ms;
    uint8_t key[KEY_BYTES]; /* of the last transfer that moved */
    size_t log_count;
    const char *log_name;
    bool ends_token_while_asleep;
} world;

static struct user *user_of(const char *name)
{
    for (size_t i = 0; i < ARRAY_COUNT(world.users); i++)
        if (strcmp(world.users[i].name, name) == 0)
            return &world.users[i];
    return NULL;
}

static bool is_live(const char *name, const char *token)
{
    const struct user *user = user_of(name);
    return user && strcmp(user->token, token) == 0;
}

static int world_make(void **state)
{
    world =
        (struct world){.users = {{"alice", "tok-a", "I am alice", 10, true}, {"b<o>b & 'co'", "tok-b", "", 10, true}}};
    return 0;
}

static void *made(size_t bytes)
{
    return test_take(NULL, bytes);
}

enum rpc_status auth_check(struct rpc_peer *peer, const AuthCheckRequest *request, AuthCheckReply **ret_reply)
{
    if (world.auth_fails)
        return world.auth_fails;
    return is_live(request->username, request->token) ? RPC_OK : RPC_UNAUTHENTICATED;
}

enum rpc_status auth_login(struct rpc_peer *peer, const AuthLoginRequest *request, AuthLoginReply **ret_reply)
{
    if (world.auth_fails)
        return world.auth_fails;
    if (!user_of(request->username) || strcmp(request->password, "secret") != 0)
        return RPC_UNAUTHENTICATED;
    *ret_reply = made(sizeof **ret_reply);
    (*ret_reply)->token = (char *)user_of(request->username)->token;
    return RPC_OK;
}

enum rpc_status auth_register(struct rpc_peer *peer, const AuthRegisterRequest *request, AuthRegisterReply **ret_reply)
{
    if (world.auth_fails)
        return world.auth_fails;
    if (user_of(request->username))
        return RPC_ALREADY_EXISTS;
    world.registered++;
    struct user *user = &world.users[0];
    *user = (struct user){.name = request->username, .token = "tok-new"};
    *ret_reply = made(sizeof **ret_reply);
    (*ret_reply)->token = (char *)"tok-new";
    return RPC_OK;
}

enum rpc_status auth_logout(struct rpc_peer *peer, const AuthLogoutRequest *request, AuthLogoutReply **ret_reply)
{
    if (world.auth_fails)
        return world.auth_fails;
    if (!is_live(request->username, request->token))
        return RPC_UNAUTHENTICATED;
    user_of(request->username)->token = "";
    return RPC_OK;
}

enum rpc_status bank_open(struct rpc_peer *peer, const BankOpenRequest *request, BankOpenReply **ret_reply)
{
    if (world.bank_fails)
        return world.bank_fails;
    if (!is_live(request->username, request->token))
        return RPC_UNAUTHENTICATED;
    struct user *user = user_of(request->username);
    if (!user->is_open) {
        user->is_open = true;
        user->zoobars = 10;
    }
    *ret_reply = made(sizeof **ret_reply);
    (*ret_reply)->zoobars = user->zoobars;
    return RPC_OK;
}

enum rpc_status bank_balance(struct rpc_peer *peer, const BankBalanceRequest *request, BankBalanceReply **ret_reply)
{
    const struct user *user = user_of(request->username);
    if (world.bank_fails)
        return world.bank_fails;
    if (!user || !user->is_open)
        return RPC_NOT_FOUND;
    *ret_reply = made(sizeof **ret_reply);
    (*ret_reply)->zoobars = user->zoobars;
    return RPC_OK;
}

enum rpc_status bank_transfer(struct rpc_peer *peer, const BankTransferRequest *request, BankTransferReply **ret_reply)
{
    world.transfer_calls++;
    if (world.bank_fails)
        return world.bank_fails;
    assert_int_equal(request->key.len, KEY_BYTES);
    assert_true(request->zoobars >= 1);
    struct user *from = user_of(request->sender), *to = user_of(request->recipient);
    if (!is_live(request->sender, request->token))
        return RPC_UNAUTHENTICATED;
    if (!to)
        return RPC_NOT_FOUND;
    if (world.moved == 0 || memcmp(world.key, request->key.data, KEY_BYTES) != 0) {
        if (from->zoobars < request->zoobars)
            return RPC_FAILED_PRECONDITION;
        from->zoobars -= request->zoobars;
        to->zoobars += request->zoobars;
        memcpy(world.key, request->key.data, KEY_BYTES);
        world.moved++;
    }
    if (world.transfers_lost) {
        world.transfers_lost--;
        return RPC_UNAVAILABLE;
    }
    *ret_reply = made(sizeof **ret_reply);
    (*ret_reply)->zoobars = from->zoobars;
    return RPC_OK;
}

enum rpc_status bank_log(struct rpc_peer *peer, const BankLogRequest *request, BankLogReply **ret_reply)
{
    if (world.bank_fails)
        return world.bank_fails;
    *ret_reply = made(sizeof **ret_reply);
    (*ret_reply)->n_entries = world.log_count;
    (*ret_reply)->entries = made((world.log_count + 1) * sizeof *(*ret_reply)->entries);
    for (size_t i = 0; i < world.log_count; i++) {
        BankLogEntry *entry = (*ret_reply)->entries[i] = made(sizeof *entry);
        entry->sender = (char *)world.log_name;
        entry->recipient = (char *)request->username;
        entry->amount = (int64_t)i + 1;
        entry->time = (char *)"Thu Nov 24 18:22:48 1986";
    }
    return RPC_OK;
}

enum rpc_status person_open(struct rpc_peer *peer, const PersonOpenRequest *request, PersonOpenReply **ret_reply)
{
    if (world.person_fails)
        return world.person_fails;
    return is_live(request->username, request->token) ? RPC_OK : RPC_UNAUTHENTICATED;
}

enum rpc_status person_get(struct rpc_peer *peer, const PersonGetRequest *request, PersonGetReply **ret_reply)
{
    if (world.person_fails)
        return world.person_fails;
    if (!user_of(request->username))
        return RPC_NOT_FOUND;
    *ret_reply = made(sizeof **ret_reply);
    (*ret_reply)->profile = user_of(request->username)->profile;
    return RPC_OK;
}

enum rpc_status person_set_profile(struct rpc_peer *peer, const PersonSetProfileRequest *request,
                                   PersonSetProfileReply **ret_reply)
{
    if (world.person_fails)
        return world.person_fails;
    if (!is_live(request->username, request->token))
        return RPC_UNAUTHENTICATED;
    (void)snprintf(user_of(request->username)->profile, sizeof world.users[0].profile, "%s", request->profile);
    return RPC_OK;
}

enum rpc_status profile_render(struct rpc_peer *peer, const ProfileRenderRequest *request,
                               ProfileRenderReply **ret_reply)
{
    if (world.profile_fails)
        return world.profile_fails;
    *ret_reply = made(sizeof **ret_reply);
    (*ret_reply)->html = (char *)"<i>rendered</i>";
    return RPC_OK;
}

enum rpc_status echo_say(struct rpc_peer *peer, const EchoSayRequest *request, EchoSayReply **ret_reply)
{
    if (world.echo_fails)
        return world.echo_fails;
    *ret_reply = made(sizeof **ret_reply);
    (*ret_reply)->text = request->text;
    (*ret_reply)->caller = (char *)"dynamic";
    return RPC_OK;
}

/* ---- what librpc gives ---- */

struct rpc_peer *rpc_peer(const char *name)
{
    return (struct rpc_peer *)(uintptr_t)8; /* the stubs above never look */
}

const char *rpc_status_name(enum rpc_status status)
{
    return "STATUS";
}

const char *rpc_error_text(void)
{
    return "";
}

void log_line(const char *format, ...)
{
}

enum rpc_status rpc_fail(struct rpc_call *call, enum rpc_status status, const char *format, ...)
{
    return status;
}

void rpc_sleep_ms(uint32_t ms)
{
    world.slept_ms += ms;
    if (world.ends_token_while_asleep)
        world.users[0].token = "another";
}

ProtobufCAllocator *rpc_allocator(void)
{
    return &test_arena;
}

void *rpc_alloc(size_t bytes)
{
    return made(bytes);
}

char *rpc_printf(const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    int bytes = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    assert_true(bytes >= 0 && (size_t)bytes < sizeof text);
    return strcpy(made((size_t)bytes + 1), text);
}

/* ---- a client ---- */

static WebHandleRequest request_of(const char *method, const char *path, const char *query)
{
    WebHandleRequest request = WEB_HANDLE_REQUEST__INIT;
    request.method = (char *)method;
    request.path = strcat(strcpy(made(512), "/zoobar/index.cgi"), path);
    request.query = (char *)query;
    request.raw_target = *query ? strcat(strcat(strcpy(made(2048), request.path), "?"), query) : request.path;
    request.host = (char *)"127.0.0.1:8080";
    request.cookie = (char *)"PyZoobarLogin=alice#tok-a";
    return request;
}

static WebHandleRequest post_of(const char *path, const char *body)
{
    WebHandleRequest request = request_of("POST", path, "");
    request.content_type = (char *)"application/x-www-form-urlencoded";
    request.body = (ProtobufCBinaryData){.len = strlen(body), .data = (uint8_t *)body};
    return request;
}

static const char *body; /* of the last answer, as a string */

static WebHandleReply ask(const WebHandleRequest *request, unsigned status)
{
    WebHandleReply reply = WEB_HANDLE_REPLY__INIT;
    assert_int_equal(pages_handle(NULL, request, &reply), RPC_OK);
    char *text = made(reply.body.len + 1);
    if (reply.body.len)
        memcpy(text, reply.body.data, reply.body.len);
    body = text;
    if (reply.status != status)
        fail_msg("%s %s: %u, not %u\n%s", request->method, request->raw_target, reply.status, status, body);
    assert_string_equal(reply.cache_control, "no-store");
    assert_non_null(strstr(reply.content_security_policy, "default-src 'none'"));
    if (status == 302) {
        assert_int_equal(reply.body.len, 0);
        assert_int_equal(reply.location[0], '/');
        assert_int_not_equal(reply.location[1], '/');
    }
    return reply;
}

static WebHandleReply get(const char *path, const char *query, unsigned status)
{
    WebHandleRequest request = request_of("GET", path, query);
    return ask(&request, status);
}

static WebHandleReply get_as(const char *path, const char *cookie, unsigned status)
{
    WebHandleRequest request = request_of("GET", path, "");
    request.cookie = (char *)cookie;
    return ask(&request, status);
}

static WebHandleReply post(const char *path, const char *form, unsigned status)
{
    WebHandleRequest request = post_of(path, form);
    return ask(&request, status);
}

static void has(const char *text)
{
    if (!strstr(body, text))
        fail_msg("no %s in\n%s", text, body);
}

static void has_no(const char *text)
{
    if (strstr(body, text))
        fail_msg("%s in\n%s", text, body);
}

/* ---- the tests ---- */

static void pages_for_members_want_a_login(void **state)
{
    static const char *const cookies[] = {"", "PyZoobarLogin=", "PyZoobarLogin=alice", "PyZoobarLogin=alice#wrong",
                                          "PyZoobarLogin=nobody#tok-a"};
    for (size_t i = 0; i < ARRAY_COUNT(cookies); i++) {
        assert_string_equal(get_as("/", cookies[i], 302).location,
                            "/zoobar/index.cgi/login?nexturl=/zoobar/index.cgi/");
        assert_string_equal(get_as("", cookies[i], 302).location, "/zoobar/index.cgi/login?nexturl=/zoobar/index.cgi");
        (void)get_as("/users", cookies[i], 302);
        (void)get_as("/transfer", cookies[i], 302);
        (void)get_as("/zoobarjs", cookies[i], 200);
        assert_string_equal(body, "");
        (void)get_as("/echo", cookies[i], 200);
        has_no("Log out");
    }
    WebHandleRequest request = request_of("GET", "/users", "user=a%20b&x=1");
    request.cookie = (char *)"";
    assert_string_equal(ask(&request, 302).location,
                        "/zoobar/index.cgi/login?nexturl=/zoobar/index.cgi/users%3Fuser%3Da%2520b%26x%3D1");
    request = post_of("/transfer", "recipient=alice&zoobars=1");
    request.cookie = (char *)"PyZoobarLogin=alice#wrong";
    (void)ask(&request, 302);
    assert_int_equal(world.transfer_calls, 0);
}

static void login_and_registration_set_the_cookie(void **state)
{
    WebHandleReply reply = post("/login",
                                "login_username=alice&login_password=secret&submit_login=Log+in&nexturl="
                                "%2Fzoobar%2Findex.cgi%2Fusers%3Fuser%3Dx",
                                302);
    assert_string_equal(reply.location, "/zoobar/index.cgi/users?user=x");
    assert_int_equal(reply.n_set_cookie, 1);
    assert_string_equal(reply.set_cookie[0], "PyZoobarLogin=alice#tok-a; Path=/; HttpOnly; SameSite=Lax");
    reply = post("/login", "login_username=new%23+%25%3B%0A&login_password=x&submit_registration=Register", 302);
    assert_string_equal(reply.location, "/zoobar/index.cgi/");
    assert_string_equal(reply.set_cookie[0], "PyZoobarLogin=new#%20%25%3B%0A#tok-new; Path=/; HttpOnly; SameSite=Lax");
    assert_int_equal(world.registered, 1);
    assert_true(world.users[0].is_open);
}

static void failed_logins_say_why(void **state)
{
    static const struct {
        const char *form, *text;
    } cases[] = {
        {"submit_registration=Register&login_password=x", "You must supply a username to register."},
        {"submit_registration=Register&login_username=&login_password=x", "You must supply a username to register."},
        {"submit_registration=Register&login_username=new", "You must supply a password to register."},
        {"submit_registration=Register&login_username=alice&login_password=x", "Registration failed."},
        {"submit_registration=Register&login_username=a%00b&login_password=x", "Registration failed."},
        {"submit_registration=Register&login_username=%FF&login_password=x", "Registration failed."},
        {"submit_login=Log+in&login_password=x", "You must supply a username to log in."},
        {"submit_login=Log+in&login_username=alice&login_password=", "You must supply a password to log in."},
        {"submit_login=Log+in&login_username=alice&login_password=wrong", "Invalid username or password."},
        {"submit_login=Log+in&login_username=nobody&login_password=secret", "Invalid username or password."},
        {"submit_login=Log+in&login_username=alice&login_password=secret%00x", "Invalid username or password."},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        WebHandleRequest request = post_of("/login", cases[i].form);
        request.cookie = (char *)"";
        assert_int_equal(ask(&request, 200).n_set_cookie, 0);
        has(cases[i].text);
        has("class=\"warning\"");
    }
    assert_int_equal(world.registered, 0);
    (void)post("/login", "login_username=alice&login_password=secret", 200); /* no button */
    world.auth_fails = RPC_UNAVAILABLE;
    (void)post("/login", "login_username=alice&login_password=secret&submit_login=1", 503);
}

static void the_login_form_is_the_one_clients_know(void **state)
{
    WebHandleRequest request = request_of("GET", "/login", "nexturl=/zoobar/index.cgi/users%3Fuser=%22%3E");
    request.cookie = (char *)"";
    (void)ask(&request, 200);
    has("<form name=\"loginform\"");
    has("name=\"login_username\"");
    has("name=\"login_password\"");
    has("name=\"submit_login\"");
    has("name=\"submit_registration\"");
    has("name=\"nexturl\" value=\"/zoobar/index.cgi/users?user=&#34;&gt;\"");
}

static void no_redirect_leaves_the_site(void **state)
{
    static const char *const bad[] = {"//other.example",
                                      "https://other.example",
                                      "/%5Cother.example",
                                      "/%09/other.example",
                                      "",
                                      "other",
                                      "/a%0d%0aX:%20y",
                                      "/%00"};
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        char form[256];
        (void)snprintf(form, sizeof form, "login_username=alice&login_password=secret&submit_login=1&nexturl=%s",
                       bad[i]);
        assert_string_equal(post("/login", form, 302).location, "/zoobar/index.cgi/");
    }
}

static void a_broken_registration_heals(void **state)
{
    world.users[0].is_open = false;
    (void)get("/", "", 200);
    has("10 zoobars");
    assert_true(world.users[0].is_open);
    world.users[0].is_open = false;
    (void)post("/login", "login_username=alice&login_password=secret&submit_login=1", 302);
    assert_true(world.users[0].is_open);
}

static void logging_out_ends_the_token(void **state)
{
    WebHandleReply reply = get("/logout", "", 302);
    assert_string_equal(reply.location, "/zoobar/index.cgi/login");
    assert_int_equal(reply.n_set_cookie, 1);
    assert_non_null(strstr(reply.set_cookie[0], "PyZoobarLogin=; "));
    assert_string_equal(world.users[0].token, "");
    (void)get("/", "", 302);
    (void)get("/logout", "", 302); /* again: nothing to end, no error */
    (void)world_make(NULL);
    world.auth_fails = RPC_UNAVAILABLE; /* never says logged out when the token may live */
    assert_int_equal(get("/logout", "", 503).n_set_cookie, 0);
    (void)world_make(NULL);
    WebHandleRequest request = request_of("GET", "/logout", "");
    request.sec_fetch_site = (char *)"cross-site";
    (void)ask(&request, 403);
    assert_string_equal(world.users[0].token, "tok-a");
}

static void home_shows_balance_and_profile(void **state)
{
    (void)get("/", "", 200);
    has("Log out alice</a>");
    has(">Home</a> | <a href=\"/zoobar/index.cgi/users\">Users</a> | <a "
        "href=\"/zoobar/index.cgi/transfer\">Transfer</a>");
    const char *balance = strstr(body, "Balance:"), *amount = strstr(body, "10 zoobars");
    assert_true(balance && amount > balance && !memchr(balance, '\n', (size_t)(amount - balance)));
    has("<form name=\"profileform\" id=\"profileform\" method=\"POST\"");
    has("cols=\"72\">I am alice</textarea>");
    has("name=\"profile_submit\"");
    has_no("<script");
    (void)get("", "", 200);
    has("10 zoobars");
}

static void a_profile_is_saved_and_shown_as_text(void **state)
{
    (void)post("/", "profile_update=%0D%0A%3C%2Ftextarea%3E%3Cscript%3E&profile_submit=Save", 200);
    assert_string_equal(world.users[0].profile, "\r\n</textarea><script>");
    has("&#10;\r\n&lt;/textarea&gt;&lt;script&gt;</textarea>"); /* a parser drops the first line end */
    has("saved");
    (void)post("/", "profile_update=a%00b", 400);
    world.person_fails = RPC_INVALID_ARGUMENT;
    (void)post("/", "profile_update=x", 200);
    has("5,000");
    world.person_fails = RPC_UNAVAILABLE;
    (void)post("/", "profile_update=x", 503);
}

static void users_shows_profile_balance_and_log(void **state)
{
    (void)get("/users", "", 200);
    has("<form name=\"profileform\" id=\"profileform\" method=\"GET\"");
    has("name=\"user\"");
    has_no("profileheader");
    has_no("Cannot find");
    world.log_count = 2;
    world.log_name = "<b>x";
    (void)get("/users", "user=b%3Co%3Eb+%26+%27co%27", 200);
    has("<div id=\"profileheader\">");
    has("b&lt;o&gt;b &amp; &#39;co&#39;");
    has("<div id=\"profile\"><i>rendered</i></div>");
    has("<span id=\"zoobars\" class=\"10\">");
    has("<table class=\"log\"");
    has("<tr><td>Thu Nov 24 18:22:48 1986</td><td>&lt;b&gt;x</td><td>b&lt;o&gt;b &amp; "
        "&#39;co&#39;</td><td>2</td></tr>");
    has_no("<o>");
    assert_true(strstr(body, "id=\"profile\"") < strstr(body, "id=\"zoobars\""));
    assert_true(strstr(body, "id=\"zoobars\"") < strstr(body, "class=\"log\""));
}

static void unknown_users_cannot_be_found(void **state)
{
    static const char *const queries[] = {"user=", "user=nobody", "user=..", "user=alice%00", "user=%FF"};
    for (size_t i = 0; i < ARRAY_COUNT(queries); i++) {
        (void)get("/users", queries[i], 200);
        has("Cannot find that user.");
        has_no("profileheader");
    }
    world.profile_fails = RPC_DEADLINE_EXCEEDED; /* a profile that fails takes nothing else with it */
    (void)get("/users", "user=alice", 200);
    has("<span id=\"zoobars\" class=\"10\">");
    has("cannot be shown");
}

static void a_long_log_is_cut_not_refused(void **state)
{
    char name[129];
    memset(name, '\'', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    world.log_count = LOG_MAX;
    world.log_name = name;
    (void)get("/users", "user=alice", 200);
    has("<td>1000</td>");
    has_no("<td>1</td>");
    has("Older transfers");
    world.log_name = "bob";
    (void)get("/users", "user=alice", 200);
    has("<td>1</td>");
    has_no("Older transfers");
}

static void transfers_send(void **state)
{
    (void)get("/transfer", "", 200);
    has("<form name=\"transferform\" id=\"transferform\" method=\"POST\"");
    has("name=\"recipient\"");
    has("name=\"zoobars\"");
    has("name=\"submission\"");
    has("<span id=\"myZoobars\">10</span>");
    has("<script src=\"/zoobar/index.cgi/zoobarjs\"></script>");
    has_no("class=\"warning\"");
    (void)post("/transfer", "recipient=b%3Co%3Eb+%26+%27co%27&zoobars=3&submission=Send", 200);
    has("<span class=\"warning\" role=\"status\">Sent 3 zoobars</span>");
    has("<span id=\"myZoobars\">7</span>");
    (void)post("/transfer", "recipient=b%3Co%3Eb+%26+%27co%27&zoobars=3&submission=Send", 200);
    assert_int_equal(world.moved, 2); /* a client without a key means two */
}

static void refused_transfers_are_never_shown_as_sent(void **state)
{
    static const char *const forms[] = {
        "recipient=nobody&zoobars=1",
        "recipient=alice&zoobars=11",
        "recipient=alice&zoobars=-1",
        "recipient=alice&zoobars=0",
        "recipient=alice&zoobars=1.5",
        "recipient=alice&zoobars=NaN",
        "recipient=alice&zoobars=1e1",
        "recipient=alice&zoobars=%2B1",
        "recipient=alice&zoobars=18446744073709551617",
        "recipient=alice&zoobars=",
        "recipient=alice",
        "recipient=alice&zoobars=1%00",
        "recipient=&zoobars=1",
        "recipient=alice%00&zoobars=1",
        "recipient=alice&zoobars=__import__('os')",
    };
    for (size_t i = 0; i < ARRAY_COUNT(forms); i++) {
        (void)post("/transfer", forms[i], 200);
        has_no("Sent ");
        has("<span class=\"warning\" role=\"status\">Transfer to ");
        has(" failed</span>");
    }
    (void)post("/transfer", "recipient=%3Cscript%3E&zoobars=1", 200);
    has("Transfer to &lt;script&gt; failed");
    assert_int_equal(world.moved, 0);
    (void)post("/transfer", "zoobars=1", 200);
    has_no("class=\"warning\"");
}

static void one_form_moves_money_once(void **state)
{
    (void)get("/transfer", "", 200);
    const char *key = strstr(body, "name=\"transfer_key\" value=\"");
    assert_non_null(key);
    char form[256], again[33];
    (void)snprintf(again, sizeof again, "%.32s", key + strlen("name=\"transfer_key\" value=\""));
    (void)snprintf(form, sizeof form, "recipient=alice&zoobars=1&transfer_key=%s", again);
    world.users[1].token = "tok-b";
    WebHandleRequest request = post_of("/transfer", form);
    request.cookie = (char *)"PyZoobarLogin=b%3Co%3Eb%20%26%20'co'#tok-b";
    (void)ask(&request, 200);
    has("Sent 1 zoobars");
    has_no(again); /* the next form is another */
    (void)ask(&request, 200);
    has("Sent 1 zoobars");
    assert_int_equal(world.moved, 1);
    assert_int_equal(world.users[0].zoobars, 11);
    (void)post("/transfer", "recipient=alice&zoobars=1&transfer_key=short", 200);
    assert_int_equal(world.moved, 2);
}

static void a_lost_answer_doubles_nothing(void **state)
{
    world.transfers_lost = 2;
    (void)post("/transfer", "recipient=b%3Co%3Eb+%26+%27co%27&zoobars=4", 200);
    has("Sent 4 zoobars");
    assert_int_equal(world.transfer_calls, 3);
    assert_int_equal(world.users[0].zoobars, 6);
    world.transfers_lost = 1000;
    (void)post("/transfer", "recipient=b%3Co%3Eb+%26+%27co%27&zoobars=4", 200);
    has_no("Sent ");
    has("failed");
    has("value=\"4\"");
    char hex[33];
    for (size_t i = 0; i < KEY_BYTES; i++)
        (void)snprintf(hex + 2 * i, 3, "%02x", world.key[i]);
    has(hex); /* sending the form again is the same transfer */
}

static void the_bank_checks_the_token_itself(void **state)
{
    world.ends_token_while_asleep = true;
    (void)post("/transfer", "recipient=b%3Co%3Eb+%26+%27co%27&zoobars=4&delay=2.5", 200);
    assert_int_equal(world.slept_ms, 2500);
    has("failed");
    assert_int_equal(world.moved, 0);
    (void)world_make(NULL);
    (void)post("/transfer", "recipient=b%3Co%3Eb+%26+%27co%27&zoobars=4&delay=3600", 200);
    assert_int_equal(world.slept_ms, 10000);
    has("Sent 4 zoobars");
}

static void the_script_tells_its_own_site_only(void **state)
{
    WebHandleReply reply = get("/zoobarjs", "", 200);
    assert_string_equal(reply.content_type, "text/javascript");
    has("var myZoobars = 10;");
    static const char *const sites[] = {"cross-site", "same-site"};
    for (size_t i = 0; i < ARRAY_COUNT(sites); i++) {
        WebHandleRequest request = request_of("GET", "/zoobarjs", "");
        request.sec_fetch_site = (char *)sites[i];
        (void)ask(&request, 403);
        assert_string_equal(body, "");
    }
    WebHandleRequest request = request_of("GET", "/zoobarjs", "");
    request.sec_fetch_site = (char *)"same-origin";
    (void)ask(&request, 200);
    has("var myZoobars = 10;");
}

static void echo_shows_text_and_caller(void **state)
{
    WebHandleRequest request = request_of("GET", "/echo", "s=hi");
    request.cookie = (char *)"";
    (void)ask(&request, 200);
    has("You said \"hi\" from dynamic");
    (void)get("/echo", "s=%3Cscript%3Ealert(1)%3C/script%3E", 200);
    has("You said \"&lt;script&gt;alert(1)&lt;/script&gt;\" from dynamic");
    has("Log out alice");
    (void)get("/echo", "", 200);
    has("You said \"\" from dynamic");
    (void)get("/echo", "s=%00", 400);
    world.auth_fails = RPC_UNAVAILABLE;
    (void)get("/echo", "s=hi", 200);
    world.echo_fails = RPC_UNAVAILABLE;
    (void)get("/echo", "s=hi", 503);
}

static void forged_posts_are_refused(void **state)
{
    static const struct {
        const char *origin, *site;
        bool is_ours;
    } cases[] = {
        {"", "", true}, /* a program */
        {"http://127.0.0.1:8080", "", true},
        {"https://127.0.0.1:8080", "same-origin", true},
        {"http://127.0.0.1:8080", "same-origin", true},
        {"", "none", true},
        {"null", "same-origin", true},
        {"null", "", false},
        {"null", "cross-site", false},
        {"http://other.example", "", false},
        {"http://other.example", "same-origin", false},
        {"http://127.0.0.1:8081", "same-site", false},
        {"http://127.0.0.1", "", false},
        {"http://127.0.0.1:8080.other.example", "", false},
        {"http://127.0.0.1:8080", "cross-site", false},
        {"127.0.0.1:8080", "", false},
        {"", "cross-site", false},
        {"", "same-site", false},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        (void)world_make(NULL);
        WebHandleRequest request = post_of("/transfer", "recipient=b%3Co%3Eb+%26+%27co%27&zoobars=1");
        request.origin = (char *)cases[i].origin;
        request.sec_fetch_site = (char *)cases[i].site;
        (void)ask(&request, cases[i].is_ours ? 200 : 403);
        assert_int_equal(world.moved, cases[i].is_ours);
    }
    (void)world_make(NULL);
    WebHandleRequest request = post_of("/transfer", "recipient=b%3Co%3Eb+%26+%27co%27&zoobars=1");
    request.content_type = (char *)"text/plain";
    (void)ask(&request, 415);
    request = request_of("GET", "/transfer", "recipient=b%3Co%3Eb+%26+%27co%27&zoobars=1");
    (void)ask(&request, 200); /* a link moves nothing */
    assert_int_equal(world.moved, 0);
}

static void unknown_paths_and_methods(void **state)
{
    static const char *const paths[] = {"/nothing", "/users/", "/users/x", "//", "x", "/Login"};
    for (size_t i = 0; i < ARRAY_COUNT(paths); i++)
        (void)get(paths[i], "", 404);
    assert_string_equal(post("/users", "user=alice", 405).allow, "GET, HEAD");
    assert_string_equal(post("/logout", "", 405).allow, "GET");
    WebHandleRequest request = request_of("HEAD", "/users", "");
    (void)ask(&request, 200);
    request = request_of("HEAD", "/logout", "");
    (void)ask(&request, 405);
    request = request_of("GE", "/users", "");
    (void)ask(&request, 405);
    request = request_of("", "/users", "");
    (void)ask(&request, 405);
    request = request_of("GET", "/", "");
    request.path = (char *)"/other";
    (void)ask(&request, 404);
}

static void services_that_fail_give_a_page(void **state)
{
    world.auth_fails = RPC_UNAVAILABLE; /* not the login page: the login may be good */
    (void)get("/", "", 503);
    (void)world_make(NULL);
    world.bank_fails = RPC_UNAVAILABLE;
    (void)get("/", "", 503);
    (void)get("/users", "user=alice", 503);
    (void)get("/transfer", "", 503);
    (void)get("/zoobarjs", "", 200);
    assert_string_equal(body, "");
    (void)post("/transfer", "recipient=alice&zoobars=1", 200);
    has("failed");
    has("<span id=\"myZoobars\">?</span>");
}

static int start(void **state)
{
    struct err e;
    return pages_start(&e);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, world_make, test_arena_clear)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(pages_for_members_want_a_login),
        TEST(login_and_registration_set_the_cookie),
        TEST(failed_logins_say_why),
        TEST(the_login_form_is_the_one_clients_know),
        TEST(no_redirect_leaves_the_site),
        TEST(a_broken_registration_heals),
        TEST(logging_out_ends_the_token),
        TEST(home_shows_balance_and_profile),
        TEST(a_profile_is_saved_and_shown_as_text),
        TEST(users_shows_profile_balance_and_log),
        TEST(unknown_users_cannot_be_found),
        TEST(a_long_log_is_cut_not_refused),
        TEST(transfers_send),
        TEST(refused_transfers_are_never_shown_as_sent),
        TEST(one_form_moves_money_once),
        TEST(a_lost_answer_doubles_nothing),
        TEST(the_bank_checks_the_token_itself),
        TEST(the_script_tells_its_own_site_only),
        TEST(echo_shows_text_and_caller),
        TEST(forged_posts_are_refused),
        TEST(unknown_paths_and_methods),
        TEST(services_that_fail_give_a_page),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
