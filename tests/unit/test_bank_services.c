/*
 * auth, bank and person as they ship: the static programs, in an empty root without /proc, /dev and /etc, under hostd's
 * system call list for services with data, on sealed rings.  The test plays PID 1 (rpc_harness.h) and the callers.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/seccomp.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "apps/zoobar/api/auth.pb-c.h"
#include "apps/zoobar/api/bank.pb-c.h"
#include "apps/zoobar/api/person.pb-c.h"
#include "hostd/filter.h"
#include "rpc/base/clock.h"
#include "rpc/base/hash.h"
#include "rpc/base/own.h"
#include "rpc/rpc.h"
#include "tests/unit/rpc_harness.h"

#define SOON_MS 20000u /* an answer that comes at all comes within this, on a busy machine too */
#define SERVICE_UID 1000u

static char bin_directory[256]; /* build/bin */
static char root[64];           /* of all three: each finds only its own directory's files open to it */
static struct sim auth, bank, person;
static uint16_t auth_from_bank, auth_from_person; /* ports of auth's listeners for these callers */
static int dynamic_to_auth = -1, dynamic_to_bank = -1, profile_to_bank = -1, dynamic_to_person = -1;

/* ---- starting a service as PID 1's child would ---- */

static char program[300];
static struct filter filter;

static int run_confined(int argc, char **argv)
{
    const struct sock_fprog code = {.len = (unsigned short)filter.count, .filter = filter.instructions};
    const struct rlimit files = {PLAN_FILES_OPEN_MAX, PLAN_FILES_OPEN_MAX};
    char *const none[] = {NULL};
    int fd = open(program, O_PATH | O_CLOEXEC);
    if (fd < 0 || chroot(root) < 0 || chdir("/") < 0)
        return 90;
    if (geteuid() == 0 && (setgroups(0, NULL) < 0 || setresgid(SERVICE_UID, SERVICE_UID, SERVICE_UID) < 0 ||
                           setresuid(SERVICE_UID, SERVICE_UID, SERVICE_UID) < 0))
        return 91;
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || setrlimit(RLIMIT_NOFILE, &files) < 0 ||
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &code) < 0)
        return 92;
    (void)syscall(SYS_execveat, fd, "", argv, none, AT_EMPTY_PATH);
    return 93;
}

static void start(struct sim_spec *spec, struct sim *sim)
{
    snprintf(program, sizeof program, "%s/%s", bin_directory, spec->name);
    spec->run = run_confined;
    spec->fibres_max = 256;
    assert_int_equal(sim_start(spec, sim), 0);
    for (size_t k = 0; k < spec->link_count; k++)
        (void)close(spec->links[k].fd); /* the ring has it */
}

static void await_ready(struct sim *sim)
{
    if (!sim_note(sim, NOTE_READY, SOON_MS, NULL))
        fail_msg("not ready: %s", sim_log(sim));
}

static void start_auth(void)
{
    uint16_t port;
    struct sim_spec spec = {
        .name = "auth",
        .links = {{"dynamic",
                   LINK_IN,
                   1,
                   wire_listener(&port),
                   {"Auth.Register", "Auth.Login", "Auth.Check", "Auth.Logout"}},
                  {"bank", LINK_IN, 1, wire_listener(&auth_from_bank), {"Auth.Check"}},
                  {"person", LINK_IN, 1, wire_listener(&auth_from_person), {"Auth.Check"}}},
        .link_count = 3,
        .config = {"scrypt_log2_n", "14"},
    };
    dynamic_to_auth = wire_connect(port);
    start(&spec, &auth);
    await_ready(&auth);
}

/* dynamic's list is wider than the application's: it may try TransferAsOwner. */
static struct sim_spec bank_spec(bool is_plain)
{
    uint16_t from_dynamic, from_profile;
    struct sim_spec spec = {
        .name = "bank",
        .is_plain = is_plain,
        .links = {{"dynamic",
                   LINK_IN,
                   1,
                   wire_listener(&from_dynamic),
                   {"Bank.Open", "Bank.Balance", "Bank.Transfer", "Bank.Log", "Bank.TransferAsOwner"}},
                  {"profile",
                   LINK_IN,
                   1,
                   wire_listener(&from_profile),
                   {"Bank.Balance", "Bank.Log", "Bank.TransferAsOwner"}},
                  {"auth", LINK_OUT, 1, wire_connect(auth_from_bank), {"Auth.Check"}}},
        .link_count = 3,
        .config = {"opening_balance", "10"},
    };
    fd_close(&dynamic_to_bank);
    fd_close(&profile_to_bank);
    dynamic_to_bank = wire_connect(from_dynamic);
    profile_to_bank = wire_connect(from_profile);
    return spec;
}

static void start_bank(bool is_plain)
{
    struct sim_spec spec = bank_spec(is_plain);
    start(&spec, &bank);
    await_ready(&bank);
}

static void start_person(void)
{
    uint16_t port;
    struct sim_spec spec = {
        .name = "person",
        .links = {{"dynamic", LINK_IN, 1, wire_listener(&port), {"Person.Open", "Person.Get", "Person.SetProfile"}},
                  {"auth", LINK_OUT, 1, wire_connect(auth_from_person), {"Auth.Check"}}},
        .link_count = 2,
    };
    dynamic_to_person = wire_connect(port);
    start(&spec, &person);
    await_ready(&person);
}

static const char *const directories[] = {"cred", "bank", "person"};

static void make_root(void)
{
    strcpy(root, "/tmp/zoobar-services-XXXXXX");
    assert_non_null(mkdtemp(root));
    assert_int_equal(chmod(root, 0711), 0);
    for (size_t k = 0; k < ARRAY_COUNT(directories); k++) {
        char path[128];
        snprintf(path, sizeof path, "%s/%s", root, directories[k]);
        assert_int_equal(mkdir(path, 0700), 0);
        if (geteuid() == 0)
            assert_int_equal(chown(path, SERVICE_UID, SERVICE_UID), 0);
    }
}

static void remove_root(void)
{
    static const char *const suffixes[] = {"", "-wal", "-shm"};
    for (size_t k = 0; k < ARRAY_COUNT(directories); k++) {
        char path[160];
        for (size_t m = 0; m < ARRAY_COUNT(suffixes); m++) {
            snprintf(path, sizeof path, "%s/%s/%s.db%s", root, directories[k], directories[k], suffixes[m]);
            (void)unlink(path); /* not all are there */
        }
        snprintf(path, sizeof path, "%s/%s", root, directories[k]);
        (void)rmdir(path);
    }
    (void)rmdir(root);
}

static int set_up(void **state)
{
    make_root();
    start_auth();
    start_bank(false);
    start_person();
    return 0;
}

static int tear_down(void **state)
{
    int failures = sim_stop(&bank) != 0;
    failures += sim_stop(&person) != 0;
    failures += sim_stop(&auth) != 0;
    fd_close(&dynamic_to_auth);
    fd_close(&dynamic_to_bank);
    fd_close(&profile_to_bank);
    fd_close(&dynamic_to_person);
    remove_root();
    return -failures;
}

/* ---- calling ---- */

static uint32_t next_id = 1;
static struct raw_reply last;

static uint32_t ask(int fd, const char *method, const void *request)
{
    static uint8_t payload[8192];
    size_t bytes = protobuf_c_message_get_packed_size(request);
    assert_true(bytes <= sizeof payload);
    (void)protobuf_c_message_pack(request, payload);
    raw_frame(fd, (struct frame){.type = FRAME_REQUEST,
                                 .method = method_id(method),
                                 .id = next_id,
                                 .deadline_ms = 10000,
                                 .payload_bytes = (uint32_t)bytes,
                                 .payload = payload});
    return next_id++;
}

/* The next answer of any call, in `last`. */
static enum rpc_status take(int fd)
{
    assert_int_equal(raw_receive(fd, SOON_MS, &last), 1);
    return last.type == FRAME_REPLY ? RPC_OK : (enum rpc_status)last.status;
}

static enum rpc_status call(int fd, const char *method, const void *request)
{
    uint32_t id = ask(fd, method, request);
    enum rpc_status status = take(fd);
    assert_int_equal(last.id, id);
    return status;
}

static void *unpack(const ProtobufCMessageDescriptor *descriptor)
{
    void *message = protobuf_c_message_unpack(descriptor, NULL, last.payload_bytes, last.payload);
    assert_non_null(message);
    return message;
}

struct token {
    char text[128];
};

static enum rpc_status enter(const char *method, const char *username, const char *password, struct token *ret_token)
{
    AuthLoginRequest request = AUTH_LOGIN_REQUEST__INIT; /* of one shape with AuthRegisterRequest, as are the replies */
    request.username = (char *)username;
    request.password = (char *)password;
    enum rpc_status status = call(dynamic_to_auth, method, &request);
    if (status == RPC_OK) {
        AuthLoginReply *reply = unpack(&auth_login_reply__descriptor);
        snprintf(ret_token->text, sizeof ret_token->text, "%s", reply->token);
        auth_login_reply__free_unpacked(reply, NULL);
    }
    return status;
}

static enum rpc_status about_token(const char *method, const char *username, const char *token)
{
    AuthCheckRequest request = AUTH_CHECK_REQUEST__INIT;
    request.username = (char *)username;
    request.token = (char *)token;
    return call(dynamic_to_auth, method, &request);
}

static int64_t take_zoobars(enum rpc_status status)
{
    if (status != RPC_OK)
        return -(int64_t)status;
    BankBalanceReply *reply = unpack(&bank_balance_reply__descriptor); /* all that answer zoobars have this shape */
    int64_t zoobars = reply->zoobars;
    bank_balance_reply__free_unpacked(reply, NULL);
    return zoobars;
}

static int64_t open_account(const char *username, const char *token)
{
    BankOpenRequest request = BANK_OPEN_REQUEST__INIT;
    request.username = (char *)username;
    request.token = (char *)token;
    return take_zoobars(call(dynamic_to_bank, "Bank.Open", &request));
}

static int64_t balance(int fd, const char *username)
{
    BankBalanceRequest request = BANK_BALANCE_REQUEST__INIT;
    request.username = (char *)username;
    return take_zoobars(call(fd, "Bank.Balance", &request));
}

static uint8_t key_bytes[16];

static ProtobufCBinaryData key_of(uint64_t number)
{
    memset(key_bytes, 0, sizeof key_bytes);
    memcpy(key_bytes, &number, sizeof number);
    return (ProtobufCBinaryData){.len = sizeof key_bytes, .data = key_bytes};
}

static BankTransferRequest transfer_request(const char *sender, const char *token, const char *recipient,
                                            int64_t zoobars, uint64_t key)
{
    BankTransferRequest request = BANK_TRANSFER_REQUEST__INIT;
    request.sender = (char *)sender;
    request.token = (char *)token;
    request.recipient = (char *)recipient;
    request.zoobars = zoobars;
    request.key = key_of(key);
    return request;
}

/* The sender's balance afterwards, or minus the status. */
static int64_t transfer(const char *sender, const char *token, const char *recipient, int64_t zoobars, uint64_t key)
{
    BankTransferRequest request = transfer_request(sender, token, recipient, zoobars, key);
    return take_zoobars(call(dynamic_to_bank, "Bank.Transfer", &request));
}

static int64_t transfer_as_owner(int fd, const char *owner, const char *recipient, int64_t zoobars, uint64_t key)
{
    BankTransferAsOwnerRequest request = BANK_TRANSFER_AS_OWNER_REQUEST__INIT;
    request.owner = (char *)owner;
    request.recipient = (char *)recipient;
    request.zoobars = zoobars;
    request.key = key_of(key);
    return take_zoobars(call(fd, "Bank.TransferAsOwner", &request));
}

/* A new user with 10 zoobars. */
static struct token new_user(const char *username)
{
    struct token token;
    assert_int_equal(enter("Auth.Register", username, "secret", &token), RPC_OK);
    assert_int_equal(open_account(username, token.text), 10);
    return token;
}

/* ---- the promises ---- */

static void tokens_live_and_die(void **state)
{
    struct token first, second;
    static char longest[4096 + 2];
    memset(longest, 'p', 4096);
    assert_int_equal(enter("Auth.Register", "alice", "secret", &first), RPC_OK);
    assert_int_equal(enter("Auth.Register", "alice", "other", &second), RPC_ALREADY_EXISTS);
    assert_int_equal(about_token("Auth.Check", "alice", first.text), RPC_OK);
    assert_int_equal(enter("Auth.Login", "alice", "Secret", &second), RPC_UNAUTHENTICATED);
    assert_int_equal(enter("Auth.Login", "bob", "secret", &second), RPC_UNAUTHENTICATED);
    assert_int_equal(enter("Auth.Login", "alice", "", &second), RPC_INVALID_ARGUMENT);
    assert_int_equal(enter("Auth.Register", "", "secret", &second), RPC_INVALID_ARGUMENT);
    assert_int_equal(enter("Auth.Register", "bob", "", &second), RPC_INVALID_ARGUMENT);
    assert_int_equal(enter("Auth.Register", "max", longest, &second), RPC_OK);
    assert_int_equal(enter("Auth.Login", "max", longest, &second), RPC_OK);
    longest[4096] = 'p';
    assert_int_equal(enter("Auth.Register", "bob", longest, &second), RPC_INVALID_ARGUMENT);
    assert_int_equal(enter("Auth.Login", "max", longest, &second), RPC_INVALID_ARGUMENT);
    assert_int_equal(about_token("Auth.Check", "alice", first.text), RPC_OK); /* none of that ended it */
    assert_int_equal(enter("Auth.Login", "alice", "secret", &second), RPC_OK);
    assert_string_not_equal(first.text, second.text);
    assert_int_equal(about_token("Auth.Check", "alice", first.text), RPC_UNAUTHENTICATED);
    assert_int_equal(about_token("Auth.Logout", "alice", first.text), RPC_UNAUTHENTICATED);
    assert_int_equal(about_token("Auth.Check", "alice", second.text), RPC_OK);
    assert_int_equal(about_token("Auth.Logout", "alice", second.text), RPC_OK);
    assert_int_equal(about_token("Auth.Check", "alice", second.text), RPC_UNAUTHENTICATED);
    assert_int_equal(about_token("Auth.Check", "alice", ""), RPC_UNAUTHENTICATED);
}

static void bank_asks_auth(void **state)
{
    struct token alice = new_user("alice"), bob = new_user("bob");
    assert_int_equal(open_account("alice", alice.text), 10); /* idempotent */
    assert_int_equal(open_account("alice", bob.text), -RPC_UNAUTHENTICATED);
    assert_int_equal(transfer("alice", bob.text, "bob", 1, 1), -RPC_UNAUTHENTICATED);
    assert_int_equal(transfer("alice", "", "bob", 1, 1), -RPC_UNAUTHENTICATED);
    assert_int_equal(transfer("alice", alice.text, "bob", 3, 1), 7);
    assert_int_equal(transfer("alice", alice.text, "bob", 3, 1), 7);
    assert_int_equal(transfer("alice", alice.text, "bob", 2, 1), -RPC_ALREADY_EXISTS);
    assert_int_equal(transfer("alice", alice.text, "bob", 8, 2), -RPC_FAILED_PRECONDITION);
    assert_int_equal(transfer("alice", alice.text, "bob", 0, 2), -RPC_INVALID_ARGUMENT);
    assert_int_equal(transfer("alice", alice.text, "bob", -3, 2), -RPC_INVALID_ARGUMENT);
    assert_int_equal(transfer("alice", alice.text, "bob", INT64_MIN, 2), -RPC_INVALID_ARGUMENT);
    assert_int_equal(transfer("alice", alice.text, "carol", 1, 2), -RPC_NOT_FOUND);
    assert_int_equal(transfer("alice", alice.text, "", 1, 2), -RPC_NOT_FOUND);
    assert_int_equal(transfer("alice", alice.text, "alice", 7, 2), 7);
    BankTransferRequest request = transfer_request("alice", alice.text, "bob", 1, 3);
    request.key.len = 15;
    assert_int_equal(call(dynamic_to_bank, "Bank.Transfer", &request), RPC_INVALID_ARGUMENT);
    request.key.len = 0;
    assert_int_equal(call(dynamic_to_bank, "Bank.Transfer", &request), RPC_INVALID_ARGUMENT);
    assert_int_equal(about_token("Auth.Logout", "alice", alice.text), RPC_OK);
    assert_int_equal(transfer("alice", alice.text, "bob", 1, 4), -RPC_UNAUTHENTICATED);
    assert_int_equal(transfer("alice", alice.text, "bob", 3, 1), -RPC_UNAUTHENTICATED); /* nor for a replay */
    assert_int_equal(balance(dynamic_to_bank, "alice"), 7);
    assert_int_equal(balance(dynamic_to_bank, "bob"), 13);
    assert_int_equal(balance(dynamic_to_bank, "carol"), -RPC_NOT_FOUND);

    BankLogRequest log_request = BANK_LOG_REQUEST__INIT;
    log_request.username = "bob";
    assert_int_equal(call(dynamic_to_bank, "Bank.Log", &log_request), RPC_OK);
    BankLogReply *log = unpack(&bank_log_reply__descriptor);
    assert_int_equal(log->n_entries, 1);
    assert_string_equal(log->entries[0]->sender, "alice");
    assert_string_equal(log->entries[0]->recipient, "bob");
    assert_int_equal(log->entries[0]->amount, 3);
    assert_int_equal(strlen(log->entries[0]->time), 24);
    bank_log_reply__free_unpacked(log, NULL);
    log_request.username = "carol";
    assert_int_equal(call(dynamic_to_bank, "Bank.Log", &log_request), RPC_OK);
    assert_int_equal(last.payload_bytes, 0);
}

static void try_as_owner(void)
{
    assert_int_equal(transfer_as_owner(profile_to_bank, "alice", "bob", 2, 10), 8);
    assert_int_equal(transfer_as_owner(profile_to_bank, "alice", "bob", 2, 10), 8);
    assert_int_equal(transfer_as_owner(profile_to_bank, "alice", "bob", 9, 11), -RPC_FAILED_PRECONDITION);
    assert_int_equal(transfer_as_owner(profile_to_bank, "alice", "bob", -1, 11), -RPC_INVALID_ARGUMENT);
    assert_int_equal(transfer_as_owner(profile_to_bank, "nobody", "bob", 1, 11), -RPC_NOT_FOUND);
    assert_int_equal(transfer_as_owner(dynamic_to_bank, "alice", "bob", 2, 12), -RPC_PERMISSION_DENIED);
    assert_int_equal(transfer_as_owner(dynamic_to_bank, "alice", "bob", 2, 10), -RPC_PERMISSION_DENIED);
    /* What is wrong otherwise is not told to who may not ask. */
    assert_int_equal(transfer_as_owner(dynamic_to_bank, "nobody", "bob", -1, 12), -RPC_PERMISSION_DENIED);
    assert_int_equal(balance(profile_to_bank, "alice"), 8);
    assert_int_equal(balance(profile_to_bank, "bob"), 12);
}

static void only_profile_acts_for_owners(void **state)
{
    (void)new_user("alice");
    (void)new_user("bob");
    try_as_owner();
}

/* Plain mode: nobody vouches for the name, and it is looked at all the same. */
static void only_profile_acts_for_owners_in_plain_mode(void **state)
{
    assert_int_equal(sim_stop(&bank), 0);
    start_bank(true);
    (void)new_user("alice");
    (void)new_user("bob");
    try_as_owner();
}

static void profiles_want_the_token(void **state)
{
    struct token alice = new_user("alice"), bob = new_user("bob");
    PersonOpenRequest open = PERSON_OPEN_REQUEST__INIT;
    PersonSetProfileRequest set = PERSON_SET_PROFILE_REQUEST__INIT;
    PersonGetRequest get = PERSON_GET_REQUEST__INIT;
    static char longer[5001 + 1];
    open.username = set.username = get.username = "alice";
    open.token = set.token = bob.text;
    set.profile = "mine";
    assert_int_equal(call(dynamic_to_person, "Person.Get", &get), RPC_NOT_FOUND);
    assert_int_equal(call(dynamic_to_person, "Person.Open", &open), RPC_UNAUTHENTICATED);
    assert_int_equal(call(dynamic_to_person, "Person.Get", &get), RPC_NOT_FOUND);
    open.token = set.token = alice.text;
    assert_int_equal(call(dynamic_to_person, "Person.SetProfile", &set), RPC_NOT_FOUND);
    assert_int_equal(call(dynamic_to_person, "Person.Open", &open), RPC_OK);
    assert_int_equal(call(dynamic_to_person, "Person.Open", &open), RPC_OK);
    set.profile = "#!python\r\nprint(1)\r\n";
    assert_int_equal(call(dynamic_to_person, "Person.SetProfile", &set), RPC_OK);
    set.token = bob.text;
    assert_int_equal(call(dynamic_to_person, "Person.SetProfile", &set), RPC_UNAUTHENTICATED);
    set.token = alice.text;
    memset(longer, 'x', sizeof longer - 1);
    set.profile = longer;
    assert_int_equal(call(dynamic_to_person, "Person.SetProfile", &set), RPC_INVALID_ARGUMENT);
    set.profile = "no \xff text";
    assert_int_equal(call(dynamic_to_person, "Person.SetProfile", &set), RPC_INVALID_ARGUMENT);
    assert_int_equal(call(dynamic_to_person, "Person.Get", &get), RPC_OK);
    PersonGetReply *reply = unpack(&person_get_reply__descriptor);
    assert_string_equal(reply->profile, "#!python\r\nprint(1)\r\n");
    person_get_reply__free_unpacked(reply, NULL);
}

static void no_answer_of_auth_is_a_refusal(void **state)
{
    struct token alice = new_user("alice");
    sim_kill(&auth);
    BankTransferRequest request = transfer_request("alice", alice.text, "alice", 1, 1);
    uint32_t id = next_id++;
    uint8_t payload[512];
    size_t bytes = protobuf_c_message_pack(&request.base, payload);
    raw_frame(dynamic_to_bank, (struct frame){.type = FRAME_REQUEST,
                                              .method = method_id("Bank.Transfer"),
                                              .id = id,
                                              .deadline_ms = 300,
                                              .payload_bytes = (uint32_t)bytes,
                                              .payload = payload});
    enum rpc_status status = take(dynamic_to_bank);
    assert_true(status == RPC_UNAVAILABLE || status == RPC_DEADLINE_EXCEEDED);
    assert_int_equal(balance(dynamic_to_bank, "alice"), 10);
    fd_close(&dynamic_to_auth);
    start_auth(); /* for the tear down */
}

/* Many passwords at once: most are told to come again, Check goes on being answered, memory does not grow. */
static void hashing_is_bounded(void **state)
{
    enum { LOGINS = 150 };
    struct token alice = new_user("alice");
    AuthLoginRequest login = AUTH_LOGIN_REQUEST__INIT;
    int done = 0, exhausted = 0;
    login.username = "alice";
    login.password = "wrong";
    uint64_t asked_ms = clock_ms();
    for (int k = 0; k < LOGINS; k++)
        (void)ask(dynamic_to_auth, "Auth.Login", &login);
    int another = wire_connect(auth_from_bank);
    AuthCheckRequest check = AUTH_CHECK_REQUEST__INIT;
    check.username = "alice";
    check.token = alice.text;
    uint64_t slowest_ms = 0;
    for (int k = 0; k < 20; k++) {
        uint64_t begin = clock_ms();
        assert_int_equal(call(another, "Auth.Check", &check), RPC_OK);
        uint64_t took = clock_ms() - begin;
        slowest_ms = took > slowest_ms ? took : slowest_ms;
        (void)usleep(5000);
    }
    long rss_kib = sim_rss_kib(&auth);
    for (int k = 0; k < LOGINS; k++) {
        enum rpc_status status = take(dynamic_to_auth);
        assert_true(status == RPC_UNAUTHENTICATED || status == RPC_RESOURCE_EXHAUSTED);
        done += status == RPC_UNAUTHENTICATED;
        exhausted += status == RPC_RESOURCE_EXHAUSTED;
    }
    uint64_t all_ms = clock_ms() - asked_ms;
    (void)close(another);
    print_message("# %d hashed in %d ms, %d turned away, slowest check %d ms, auth %ld KiB\n", done, (int)all_ms,
                  exhausted, (int)slowest_ms, rss_kib);
    assert_true(done >= 32 && done <= 80);
    /* One that waited for the queue would take about all of it, however busy the machine is. */
    assert_true(slowest_ms < all_ms / 2);
    assert_true(rss_kib < 64 * 1024);
    struct token again;
    assert_int_equal(enter("Auth.Login", "alice", "secret", &again), RPC_OK);
}

#define MANY 1000
#define AT_ONCE 40
#define KILLS 5
#define USERS 8

struct wish {
    int sender, recipient;
    int64_t amount, answer; /* answer: balance, or minus the status; NO_ANSWER */
    uint32_t id;
};
#define NO_ANSWER INT64_MIN

static char names[USERS][24];
static struct token tokens[USERS];

static void ask_wish(struct wish *wish, size_t number)
{
    BankTransferRequest request = transfer_request(names[wish->sender], tokens[wish->sender].text,
                                                   names[wish->recipient], wish->amount, 5000 + number);
    wish->id = ask(dynamic_to_bank, "Bank.Transfer", &request);
}

/* Takes one answer; false at the end of the connection. */
static bool take_wish(struct wish *wishes)
{
    if (raw_receive(dynamic_to_bank, SOON_MS, &last) != 1)
        return false;
    for (size_t k = 0; k < MANY; k++) {
        if (wishes[k].id != last.id)
            continue;
        assert_true(wishes[k].answer == NO_ANSWER);
        wishes[k].answer = take_zoobars(last.type == FRAME_REPLY ? RPC_OK : (enum rpc_status)last.status);
        return true;
    }
    fail_msg("an answer that nobody asked for");
    return false;
}

static int64_t total(void)
{
    int64_t sum = 0;
    for (int k = 0; k < USERS; k++) {
        int64_t zoobars = balance(dynamic_to_bank, names[k]);
        assert_true(zoobars >= 0);
        sum += zoobars;
    }
    return sum;
}

/* A thousand transfers, forty at a time, and the bank killed in the middle, five times: each happens once. */
static void kill_loses_and_doubles_nothing(void **state)
{
    static struct wish wishes[MANY];
    unsigned seed = 11;
    int64_t expected[USERS];
    for (int k = 0; k < USERS; k++) {
        snprintf(names[k], sizeof names[k], "user %d", k);
        tokens[k] = new_user(names[k]);
        expected[k] = 10;
    }
    for (int k = 0; k < MANY; k++)
        wishes[k] = (struct wish){rand_r(&seed) % USERS, rand_r(&seed) % USERS, 1 + rand_r(&seed) % 4, NO_ANSWER, 0};
    size_t asked = 0, answered = 0, in_flight = 0;
    for (int kills = 0; kills < KILLS; kills++) {
        for (size_t until = asked + MANY / (KILLS + 1); asked < until || in_flight < AT_ONCE / 2;) {
            if (in_flight < AT_ONCE) {
                ask_wish(&wishes[asked], asked);
                asked++, in_flight++;
            } else {
                assert_true(take_wish(wishes));
                answered++, in_flight--;
            }
        }
        (void)usleep((unsigned)rand_r(&seed) % 3000); /* in step with nothing */
        sim_kill(&bank);
        for (; take_wish(wishes); in_flight--) /* what it had sent before it died */
            answered++;
        in_flight = 0;
        start_bank(false);
        assert_int_equal(total(), 10 * USERS);
    }
    /* Everything again: what was answered gets its answer, the rest its first. */
    for (size_t k = 0; k < MANY; k++) {
        struct wish *wish = &wishes[k];
        int64_t before = wish->answer;
        wish->answer = NO_ANSWER;
        ask_wish(wish, k);
        assert_true(take_wish(wishes));
        if (before != NO_ANSWER && before >= 0)
            assert_int_equal(wish->answer, before);
        if (wish->answer >= 0) {
            expected[wish->sender] -= wish->amount;
            expected[wish->recipient] += wish->amount;
        } else {
            assert_int_equal(wish->answer, -RPC_FAILED_PRECONDITION);
        }
    }
    for (int k = 0; k < USERS; k++)
        assert_int_equal(balance(dynamic_to_bank, names[k]), expected[k]);
    assert_int_equal(total(), 10 * USERS);
    print_message("# %zu of %zu had been answered when the bank was killed, %d times\n", answered, asked, KILLS);
}

/* A database that is none: the service ends with one line, and is never ready. */
static void wrong_database_is_a_refusal(void **state)
{
    char path[128], log[1024] = "";
    int status = 0;
    assert_int_equal(sim_stop(&bank), 0);
    snprintf(path, sizeof path, "%s/bank/bank.db-wal", root); /* from what is left in it the rest could be mended */
    assert_int_equal(unlink(path), 0);
    snprintf(path, sizeof path, "%s/bank/bank.db", root);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    for (int k = 0; k < 1000; k++)
        fputs("not a database ", file);
    assert_int_equal(fclose(file), 0);
    struct sim_spec spec = bank_spec(false);
    start(&spec, &bank);
    assert_false(sim_note(&bank, NOTE_READY, SOON_MS, NULL)); /* the pipe ends with the program */
    assert_int_equal(waitpid(bank.pid, &status, 0), bank.pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 1);
    snprintf(log, sizeof log, "%s", sim_log(&bank));
    assert_non_null(strstr(log, "/bank/bank.db"));
    assert_non_null(strstr(log, "not a database"));
    assert_int_equal(unlink(path), 0);
    start_bank(false);
}

int main(int argc, char **argv)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(tokens_live_and_die),          TEST(bank_asks_auth),
        TEST(only_profile_acts_for_owners), TEST(only_profile_acts_for_owners_in_plain_mode),
        TEST(profiles_want_the_token),      TEST(no_answer_of_auth_is_a_refusal),
        TEST(hashing_is_bounded),           TEST(kill_loses_and_doubles_nothing),
        TEST(wrong_database_is_a_refusal),
    };
    struct err e = {0};
    /* build/unit/bank_services -> build/bin */
    const char *slash = strrchr(argv[0], '/');
    snprintf(bin_directory, sizeof bin_directory, "%.*s/../bin", slash ? (int)(slash - argv[0]) : 1,
             slash ? argv[0] : ".");
    if (filter_service(PROFILE_DATA, &filter, &e) < 0) {
        fprintf(stderr, "filter: %s\n", e.text);
        return 1;
    }
    harness_enter();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
