/* pages.c - see pages.h. */
#include "apps/zoobar/dynamic/pages.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

#include "apps/echo/echo.rpc.h"
#include "apps/zoobar/api/auth.rpc.h"
#include "apps/zoobar/api/bank.rpc.h"
#include "apps/zoobar/api/person.rpc.h"
#include "apps/zoobar/api/profile.rpc.h"
#include "apps/zoobar/dynamic/cookie.h"
#include "apps/zoobar/dynamic/form.h"
#include "apps/zoobar/dynamic/hex.h"
#include "apps/zoobar/dynamic/out.h"
#include "apps/zoobar/dynamic/templates.h"
#include "rpc/base/log.h"
#include "rpc/base/own.h"

#define ROOT "/zoobar/index.cgi"
#define HOME ROOT "/"
#define LOGIN ROOT "/login"
#define POLICY                                                                                                         \
    "default-src 'none'; style-src 'self'; img-src 'self'; script-src 'self'; form-action 'self'; base-uri 'none'; "   \
    "frame-ancestors 'none'"

#define NEXTURL_BYTES_MAX 1024u /* encoded three times as long, and a Location must fit a head */
#define DELAY_MS_MAX 10000u     /* of a transfer, as its form promises */
#define DELAYS_MAX 64u          /* transfers that wait at once: each keeps a fibre of ours and one of the dispatcher */
#define TRANSFER_TRIES_MAX 4u   /* with one key, while the bank cannot be reached */
#define TRANSFER_PAUSE_MS 100u  /* between two of them; waiting for the wire comes on top */
#define KEY_BYTES 16u           /* of a transfer, bank.proto */
#define LOG_BYTES_MAX (OUT_BYTES_MAX / 2) /* of the transfer log's rows on one page */

static struct rpc_peer *auth, *bank, *person, *profile, *echo;
static unsigned delay_count; /* transfers that wait now */

/* One request while it is answered. */
struct page {
    const WebHandleRequest *request;
    WebHandleReply *reply;
    struct form query, body; /* body is empty but for a POST */
    struct login login;      /* username is NULL: nobody is logged in */
    bool is_post;
    bool is_answered; /* by an error or a redirect: nothing more is to be shown */
    struct out out;
};

enum access {
    ACCESS_ANYONE, /* and who is logged in sees that it is so */
    ACCESS_MEMBER, /* others are sent to the login page */
};

struct route {
    const char *path; /* behind ROOT */
    const char *allow;
    enum access access;
    void (*show)(struct page *p);
};

#define GET_ONLY "GET, HEAD"
#define GET_AND_POST "GET, HEAD, POST"

static void show_home(struct page *p);
static void show_login(struct page *p);
static void show_logout(struct page *p);
static void show_users(struct page *p);
static void show_transfer(struct page *p);
static void show_script(struct page *p);
static void show_echo(struct page *p);

static const struct route routes[] = {
    {"/", GET_AND_POST, ACCESS_MEMBER, show_home},       {"/login", GET_AND_POST, ACCESS_ANYONE, show_login},
    {"/logout", "GET", ACCESS_ANYONE, show_logout}, /* no HEAD: it changes something */
    {"/users", GET_ONLY, ACCESS_MEMBER, show_users},     {"/transfer", GET_AND_POST, ACCESS_MEMBER, show_transfer},
    {"/zoobarjs", GET_ONLY, ACCESS_ANYONE, show_script}, {"/echo", GET_ONLY, ACCESS_ANYONE, show_echo},
};

/* ---- answers ---- */

static void page_begin(struct page *p, const char *title)
{
    template_head(&p->out, &(struct template_head){.title = title, .username = p->login.username});
}

static void page_end(struct page *p)
{
    template_foot(&p->out);
}

static void show_error(struct page *p, unsigned status, const char *title, const char *text)
{
    p->is_answered = true;
    p->reply->status = status;
    p->out.used = 0;
    page_begin(p, title);
    template_error(&p->out, &(struct template_error){.title = title, .text = text});
    page_end(p);
}

static void show_unavailable(struct page *p)
{
    show_error(p, 503, "Not now", "A part of zoobar does not answer at the moment. Please try again.");
}

/* A call failed in a way that is not the user's doing: says so in the log. */
static void log_failure(const char *method, enum rpc_status status)
{
    log_line("%s: %s: %s", method, rpc_status_name(status), rpc_error_text());
}

static void redirect(struct page *p, const char *path)
{
    struct out location;
    out_init(&location, p->out.allocator);
    out_location(&location, path);
    p->is_answered = true;
    p->out.used = 0;
    p->reply->status = 302;
    p->reply->location = out_string(&location);
    if (!p->reply->location)
        p->out.is_failed = true;
}

static void redirect_to_login(struct page *p)
{
    const char *asked = p->request->raw_target;
    struct out path;
    if (!form_is_local_path(asked) || strlen(asked) > NEXTURL_BYTES_MAX)
        asked = HOME;
    out_init(&path, p->out.allocator);
    out_raw(&path, LOGIN "?nexturl=", sizeof LOGIN "?nexturl=" - 1);
    out_query_path(&path, asked);
    const char *target = out_string(&path);
    redirect(p, target ? target : LOGIN);
}

static void set_cookie(struct page *p, const char *cookie)
{
    p->reply->set_cookie = rpc_alloc(sizeof *p->reply->set_cookie);
    if (!p->reply->set_cookie || !cookie) {
        p->out.is_failed = true;
        return;
    }
    p->reply->set_cookie[0] = (char *)cookie;
    p->reply->n_set_cookie = 1;
}

/* ---- what was sent ---- */

/* "" when the field is not there or is no text. */
static const char *text_of(const struct form *form, const char *name)
{
    const struct form_field *field = form_find(form, name);
    return field && field->is_text ? field->value : "";
}

static const char *nexturl_of(const struct page *p)
{
    const struct form_field *field = form_find(&p->body, "nexturl");
    if (!field)
        field = form_find(&p->query, "nexturl");
    bool is_good =
        field && field->is_text && field->value_bytes <= NEXTURL_BYTES_MAX && form_is_local_path(field->value);
    return is_good ? field->value : HOME;
}

/* Did a browser load this for a page of another site?  Programs that are no browsers do not send the field. */
static bool is_from_other_site(const WebHandleRequest *request)
{
    const char *site = request->sec_fetch_site;
    return *site && strcasecmp(site, "same-origin") != 0 && strcasecmp(site, "none") != 0;
}

/* The same for a POST, where browsers say the origin as well. */
static bool is_forged_post(const WebHandleRequest *request)
{
    const char *origin = request->origin;
    if (is_from_other_site(request))
        return true;
    if (!*origin)
        return false;
    /* A referrer policy can make the origin of our own page "null"; that of a sandboxed frame is never same-origin. */
    if (strcmp(origin, "null") == 0)
        return strcasecmp(request->sec_fetch_site, "same-origin") != 0;
    if (strncasecmp(origin, "http://", 7) == 0)
        origin += 7;
    else if (strncasecmp(origin, "https://", 8) == 0)
        origin += 8;
    else
        return true;
    return strcasecmp(origin, request->host) != 0;
}

/* ---- who asks ---- */

/* RPC_OK: p->login is somebody whose token is live.  Else nobody is logged in. */
static enum rpc_status check_login(struct page *p)
{
    struct login login;
    if (!cookie_read(p->request->cookie, &login, p->out.allocator))
        return RPC_UNAUTHENTICATED;
    AuthCheckRequest request = AUTH_CHECK_REQUEST__INIT;
    AuthCheckReply *reply;
    request.username = login.username;
    request.token = login.token;
    enum rpc_status status = auth_check(auth, &request, &reply);
    if (status == RPC_OK)
        p->login = login;
    else if (status != RPC_UNAUTHENTICATED)
        log_failure("Auth.Check", status);
    return status;
}

/* Account and profile of a user who has a token.  What is open stays as it is: a crash between the calls is healed by
 * the next login, or by the next page that misses one of the two. */
static enum rpc_status open_account(const struct login *login, int64_t *ret_zoobars)
{
    BankOpenRequest request = BANK_OPEN_REQUEST__INIT;
    BankOpenReply *reply;
    request.username = login->username;
    request.token = login->token;
    enum rpc_status status = bank_open(bank, &request, &reply);
    if (status == RPC_OK)
        *ret_zoobars = reply->zoobars;
    else
        log_failure("Bank.Open", status);
    return status;
}

static enum rpc_status open_profile(const struct login *login)
{
    PersonOpenRequest request = PERSON_OPEN_REQUEST__INIT;
    PersonOpenReply *reply;
    request.username = login->username;
    request.token = login->token;
    enum rpc_status status = person_open(person, &request, &reply);
    if (status != RPC_OK)
        log_failure("Person.Open", status);
    return status;
}

static enum rpc_status balance_of(const char *username, int64_t *ret_zoobars)
{
    BankBalanceRequest request = BANK_BALANCE_REQUEST__INIT;
    BankBalanceReply *reply;
    request.username = (char *)username;
    enum rpc_status status = bank_balance(bank, &request, &reply);
    if (status == RPC_OK)
        *ret_zoobars = reply->zoobars;
    else if (status != RPC_NOT_FOUND)
        log_failure("Bank.Balance", status);
    return status;
}

static enum rpc_status own_balance(const struct page *p, int64_t *ret_zoobars)
{
    enum rpc_status status = balance_of(p->login.username, ret_zoobars);
    return status == RPC_NOT_FOUND ? open_account(&p->login, ret_zoobars) : status;
}

static enum rpc_status own_profile(const struct page *p, const char **ret_profile)
{
    PersonGetRequest request = PERSON_GET_REQUEST__INIT;
    PersonGetReply *reply;
    request.username = p->login.username;
    enum rpc_status status = person_get(person, &request, &reply);
    if (status == RPC_OK) {
        *ret_profile = reply->profile;
    } else if (status == RPC_NOT_FOUND) {
        *ret_profile = "";
        status = open_profile(&p->login);
    } else {
        log_failure("Person.Get", status);
    }
    return status;
}

/* ---- login ---- */

/* RPC_OK: *ret_token is the new token. */
static enum rpc_status ask_auth(const char *username, const char *password, bool is_new, char **ret_token)
{
    enum rpc_status status;
    if (is_new) {
        AuthRegisterRequest request = AUTH_REGISTER_REQUEST__INIT;
        AuthRegisterReply *reply;
        request.username = (char *)username;
        request.password = (char *)password;
        status = auth_register(auth, &request, &reply);
        if (status == RPC_OK)
            *ret_token = reply->token;
    } else {
        AuthLoginRequest request = AUTH_LOGIN_REQUEST__INIT;
        AuthLoginReply *reply;
        request.username = (char *)username;
        request.password = (char *)password;
        status = auth_login(auth, &request, &reply);
        if (status == RPC_OK)
            *ret_token = reply->token;
    }
    return status;
}

/* Answers, or returns what to tell the user on the login page. */
static const char *enter(struct page *p, bool is_new)
{
    const struct form_field *username = form_find(&p->body, "login_username");
    const struct form_field *password = form_find(&p->body, "login_password");
    const char *refused = is_new ? "Registration failed." : "Invalid username or password.";
    if (!username || username->value_bytes == 0)
        return is_new ? "You must supply a username to register." : "You must supply a username to log in.";
    if (!password || password->value_bytes == 0)
        return is_new ? "You must supply a password to register." : "You must supply a password to log in.";
    if (!username->is_text || !password->is_text)
        return refused;

    struct login login = {.username = (char *)username->value};
    enum rpc_status status = ask_auth(username->value, password->value, is_new, &login.token);
    if (status == RPC_ALREADY_EXISTS || status == RPC_INVALID_ARGUMENT || status == RPC_UNAUTHENTICATED)
        return refused;
    if (status != RPC_OK) {
        log_failure(is_new ? "Auth.Register" : "Auth.Login", status);
        show_unavailable(p);
        return NULL;
    }
    int64_t zoobars;
    (void)open_account(&login, &zoobars); /* logged; the login stands, and the next page tries again */
    (void)open_profile(&login);
    set_cookie(p, cookie_set(login.username, login.token, p->out.allocator));
    redirect(p, nexturl_of(p));
    return NULL;
}

static void show_login(struct page *p)
{
    const char *warning = NULL;
    if (form_find(&p->body, "submit_registration"))
        warning = enter(p, true);
    else if (form_find(&p->body, "submit_login"))
        warning = enter(p, false);
    if (p->is_answered)
        return;
    page_begin(p, "Log in");
    template_login(&p->out, &(struct template_login){.warning = warning,
                                                     .username = text_of(&p->body, "login_username"),
                                                     .nexturl = nexturl_of(p)});
    page_end(p);
}

static void show_logout(struct page *p)
{
    if (is_from_other_site(p->request)) {
        show_error(p, 403, "Not from there",
                   "Another site asked to log you out. To log out, use the link of this site.");
        return;
    }
    struct login login;
    if (cookie_read(p->request->cookie, &login, p->out.allocator)) {
        AuthLogoutRequest request = AUTH_LOGOUT_REQUEST__INIT;
        AuthLogoutReply *reply;
        request.username = login.username;
        request.token = login.token;
        enum rpc_status status = auth_logout(auth, &request, &reply);
        if (status != RPC_OK && status != RPC_UNAUTHENTICATED) {
            /* the token may still be live: the cookie stays, so that it can be tried again */
            log_failure("Auth.Logout", status);
            show_unavailable(p);
            return;
        }
    }
    set_cookie(p, cookie_clear());
    redirect(p, LOGIN);
}

/* ---- home ---- */

/* Stores the profile.  Answers, or says how it went in *ret_warning or *ret_note. */
static void save_profile(struct page *p, const struct form_field *update, const char **ret_warning,
                         const char **ret_note)
{
    if (!update->is_text) {
        show_error(p, 400, "Not a text", "A profile is text in UTF-8, without NUL.");
        return;
    }
    PersonSetProfileRequest request = PERSON_SET_PROFILE_REQUEST__INIT;
    PersonSetProfileReply *reply;
    request.username = p->login.username;
    request.token = p->login.token;
    request.profile = (char *)update->value;
    enum rpc_status status = person_set_profile(person, &request, &reply);
    if (status == RPC_NOT_FOUND && (status = open_profile(&p->login)) == RPC_OK)
        status = person_set_profile(person, &request, &reply);
    if (status == RPC_OK) {
        *ret_note = "Your profile is saved.";
    } else if (status == RPC_INVALID_ARGUMENT) {
        *ret_warning = "Your profile is not saved: it has more than 5,000 characters.";
    } else if (status == RPC_UNAUTHENTICATED) {
        redirect_to_login(p); /* the token ended in between */
    } else {
        log_failure("Person.SetProfile", status);
        show_unavailable(p);
    }
}

static void show_home(struct page *p)
{
    struct template_home home = {0};
    const struct form_field *update = form_find(&p->body, "profile_update");
    if (update) {
        save_profile(p, update, &home.warning, &home.note);
        if (p->is_answered)
            return;
        home.profile = update->value;
    }
    if (own_balance(p, &home.zoobars) != RPC_OK || (!update && own_profile(p, &home.profile) != RPC_OK)) {
        show_unavailable(p);
        return;
    }
    home.starts_with_newline = home.profile[0] == '\n' || home.profile[0] == '\r';
    page_begin(p, "Home");
    template_home(&p->out, &home);
    page_end(p);
}

/* ---- users ---- */

/* What the entry may take on the page: names can hold characters that are written as five. */
static size_t row_bytes_max(const BankLogEntry *entry)
{
    return 128 + 5 * (strlen(entry->sender) + strlen(entry->recipient) + strlen(entry->time));
}

/* Newest last; the oldest are left out when the page would get too big. */
static enum rpc_status read_log(const char *username, struct template_users *users)
{
    BankLogRequest request = BANK_LOG_REQUEST__INIT;
    BankLogReply *reply;
    request.username = (char *)username;
    enum rpc_status status = bank_log(bank, &request, &reply);
    if (status != RPC_OK) {
        log_failure("Bank.Log", status);
        return status;
    }
    size_t first = reply->n_entries, bytes = 0;
    while (first > 0 && (bytes += row_bytes_max(reply->entries[first - 1])) <= LOG_BYTES_MAX)
        first--;
    struct template_users_rows *rows = rpc_alloc((reply->n_entries - first + 1) * sizeof *rows);
    if (!rows)
        return RPC_RESOURCE_EXHAUSTED;
    for (size_t i = first; i < reply->n_entries; i++)
        rows[i - first] = (struct template_users_rows){.time = reply->entries[i]->time,
                                                       .sender = reply->entries[i]->sender,
                                                       .recipient = reply->entries[i]->recipient,
                                                       .amount = reply->entries[i]->amount};
    users->rows = rows;
    users->rows_count = reply->n_entries - first;
    users->is_cut = first > 0;
    return RPC_OK;
}

/* RPC_NOT_FOUND: no such user.  A profile that cannot be shown does not keep the rest from being shown. */
static enum rpc_status find_user(const struct page *p, const char *username, struct template_users *users)
{
    enum rpc_status status = balance_of(username, &users->zoobars);
    if (status != RPC_OK)
        return status;
    ProfileRenderRequest request = PROFILE_RENDER_REQUEST__INIT;
    ProfileRenderReply *reply;
    request.owner = (char *)username;
    request.visitor = p->login.username;
    status = profile_render(profile, &request, &reply);
    if (status == RPC_NOT_FOUND)
        return status;
    if (status == RPC_OK) {
        users->profile_html = reply->html;
    } else {
        log_failure("Profile.Render", status);
        users->profile_warning = "This profile cannot be shown at the moment.";
    }
    return read_log(username, users);
}

static void show_users(struct page *p)
{
    const struct form_field *user = form_find(&p->query, "user");
    struct template_users users = {.user = text_of(&p->query, "user")};
    if (user) {
        enum rpc_status status = *users.user ? find_user(p, users.user, &users) : RPC_NOT_FOUND;
        users.is_found = status == RPC_OK;
        if (status == RPC_NOT_FOUND) {
            users.warning = "Cannot find that user.";
        } else if (status != RPC_OK) {
            show_unavailable(p);
            return;
        }
    }
    page_begin(p, "Users");
    template_users(&p->out, &users);
    page_end(p);
}

/* ---- transfer ---- */

/* Unguessable: who knew another's key could use it up before its owner does. */
static bool key_new(uint8_t key[KEY_BYTES])
{
    return getrandom(key, KEY_BYTES, 0) == KEY_BYTES;
}

/* The key of the form that was sent; false when there is none: a client that never saw the form. */
static bool key_read(const char *text, uint8_t key[KEY_BYTES])
{
    if (strlen(text) != 2 * KEY_BYTES)
        return false;
    for (size_t i = 0; i < KEY_BYTES; i++) {
        int byte = hex_byte(text + 2 * i);
        if (byte < 0)
            return false;
        key[i] = (uint8_t)byte;
    }
    return true;
}

static void key_write(const uint8_t key[KEY_BYTES], char text[2 * KEY_BYTES + 1])
{
    static const char hex[] = "0123456789abcdef";
    for (size_t i = 0; i < KEY_BYTES; i++) {
        text[2 * i] = hex[key[i] >> 4];
        text[2 * i + 1] = hex[key[i] & 15];
    }
    text[2 * KEY_BYTES] = '\0';
}

static const char *transfer_hint(enum rpc_status status)
{
    switch (status) {
    case RPC_NOT_FOUND:
        return "There is no user of that name.";
    case RPC_INVALID_ARGUMENT:
        return "An amount is a whole number, 1 or more.";
    case RPC_FAILED_PRECONDITION:
        return "You do not have that many zoobars.";
    case RPC_OUT_OF_RANGE:
        return "That user cannot hold that many zoobars.";
    case RPC_ALREADY_EXISTS:
        return "This form was sent before, with another recipient or amount.";
    case RPC_UNAUTHENTICATED:
        return "You are not logged in any more.";
    case RPC_PERMISSION_DENIED:
        return "The bank does not let you.";
    default:
        return NULL; /* not a refusal: whether the money moved is not known */
    }
}

/*
 * Asks the bank, and again with the same key when it could not be reached: the bank moves the money of a key once.
 * RPC_OK: the bank says that it moved, and *ret_zoobars is the sender's balance.
 */
static enum rpc_status move(const struct page *p, const char *recipient, int64_t amount, uint8_t key[KEY_BYTES],
                            int64_t *ret_zoobars)
{
    BankTransferRequest request = BANK_TRANSFER_REQUEST__INIT;
    BankTransferReply *reply;
    request.sender = p->login.username;
    request.token = p->login.token;
    request.recipient = (char *)recipient;
    request.zoobars = amount;
    request.key = (ProtobufCBinaryData){.len = KEY_BYTES, .data = key};
    for (unsigned tries = 1;; tries++) {
        enum rpc_status status = bank_transfer(bank, &request, &reply);
        if (status == RPC_OK) {
            *ret_zoobars = reply->zoobars;
            return status;
        }
        if (!transfer_hint(status))
            log_failure("Bank.Transfer", status);
        if (status != RPC_UNAVAILABLE || tries == TRANSFER_TRIES_MAX)
            return status;
        rpc_sleep_ms(TRANSFER_PAUSE_MS);
    }
}

/* Between the check of the cookie and the bank, as the client asked.  False: too many wait already. */
static bool wait_as_asked(const struct page *p)
{
    uint32_t ms = form_seconds_ms(text_of(&p->body, "delay"), DELAY_MS_MAX);
    if (ms == 0)
        return true;
    if (delay_count == DELAYS_MAX)
        return false;
    delay_count++;
    rpc_sleep_ms(ms);
    delay_count--;
    return true;
}

/* Sends what the form says.  Fills in what to show; key becomes that of the next form.  RPC_OK: sent. */
static enum rpc_status send_zoobars(struct page *p, uint8_t key[KEY_BYTES], struct template_transfer *show)
{
    const struct form_field *recipient = form_find(&p->body, "recipient");
    const char *text = text_of(&p->body, "zoobars");
    uint8_t sent_key[KEY_BYTES];
    int64_t amount = 0;
    enum rpc_status status = RPC_INVALID_ARGUMENT;
    memcpy(sent_key, key, KEY_BYTES);
    (void)key_read(text_of(&p->body, "transfer_key"), sent_key); /* else the fresh one is used, and another shown */
    if (!recipient->is_text || recipient->value_bytes == 0)
        status = RPC_NOT_FOUND;
    else if (form_amount(text, &amount))
        status = move(p, recipient->value, amount, sent_key, &show->zoobars);

    if (status == RPC_OK) {
        show->warning = rpc_printf("Sent %" PRId64 " zoobars", amount);
        return status;
    }
    show->warning = rpc_printf("Transfer to %s failed", recipient->is_text ? recipient->value : "");
    show->hint = transfer_hint(status);
    show->amount = text;
    show->recipient = recipient->is_text ? recipient->value : "";
    if (!show->hint) {
        show->hint = "The bank did not answer. To try again, send the form below: it will not send the amount twice.";
        memcpy(key, sent_key, KEY_BYTES);
    }
    return status;
}

static void show_transfer(struct page *p)
{
    struct template_transfer show = {0};
    uint8_t key[KEY_BYTES];
    char key_text[2 * KEY_BYTES + 1];
    bool is_sent = false;
    if (!key_new(key)) {
        show_unavailable(p);
        return;
    }
    if (form_find(&p->body, "recipient")) {
        if (!wait_as_asked(p)) {
            show_error(p, 503, "Not now", "Too many transfers wait. Nothing was sent.");
            return;
        }
        is_sent = send_zoobars(p, key, &show) == RPC_OK;
        if (is_sent && !key_new(key)) /* a client without a key of its own has used this one */
            p->out.is_failed = true;
        if (!show.warning)
            p->out.is_failed = true;
    }
    show.is_known = is_sent || own_balance(p, &show.zoobars) == RPC_OK;
    if (!show.is_known && !show.warning) {
        show_unavailable(p);
        return;
    }
    key_write(key, key_text);
    show.transfer_key = key_text;
    page_begin(p, "Transfer");
    template_transfer(&p->out, &show);
    page_end(p);
}

/* ---- the script and echo ---- */

static void show_script(struct page *p)
{
    p->reply->content_type = (char *)"text/javascript";
    /* Included by another site's page it would tell that page who is how rich. */
    if (is_from_other_site(p->request)) {
        p->reply->status = 403;
        return;
    }
    int64_t zoobars;
    if (p->login.username && own_balance(p, &zoobars) == RPC_OK)
        template_zoobarjs(&p->out, &(struct template_zoobarjs){.zoobars = zoobars});
}

static void show_echo(struct page *p)
{
    const struct form_field *field = form_find(&p->query, "s");
    if (field && !field->is_text) {
        show_error(p, 400, "Not a text", "What is echoed is text in UTF-8, without NUL.");
        return;
    }
    EchoSayRequest request = ECHO_SAY_REQUEST__INIT;
    EchoSayReply *reply;
    request.text = (char *)(field ? field->value : "");
    enum rpc_status status = echo_say(echo, &request, &reply);
    if (status != RPC_OK) {
        log_failure("Echo.Say", status);
        show_unavailable(p);
        return;
    }
    page_begin(p, "Echo");
    template_echo(&p->out, &(struct template_echo){.text = reply->text, .caller = reply->caller});
    page_end(p);
}

/* ---- the request ---- */

static const struct route *route_find(const char *path)
{
    if (strncmp(path, ROOT, sizeof ROOT - 1) != 0)
        return NULL;
    path += sizeof ROOT - 1;
    if (*path == '\0')
        path = "/";
    for (size_t i = 0; i < ARRAY_COUNT(routes); i++)
        if (strcmp(path, routes[i].path) == 0)
            return &routes[i];
    return NULL;
}

/* Is the method one of "GET, HEAD"? */
static bool is_allowed(const char *method, const char *allow)
{
    size_t bytes = strlen(method);
    for (; bytes && *allow; allow += strcspn(allow, " "), allow += *allow == ' ')
        if (strncmp(allow, method, bytes) == 0 && (allow[bytes] == ',' || allow[bytes] == '\0'))
            return true;
    return false;
}

/* Reads query and body.  False: answered, or no memory. */
static bool read_forms(struct page *p)
{
    const WebHandleRequest *request = p->request;
    if (form_parse(&p->query, request->query, strlen(request->query), p->out.allocator) < 0)
        p->out.is_failed = true;
    if (!p->is_post || p->out.is_failed)
        return !p->out.is_failed;
    if (is_forged_post(request))
        show_error(p, 403, "Not from there", "This form was sent by a page of another site. Nothing was done.");
    else if (request->body.len > 0 && !form_is_type(request->content_type))
        show_error(p, 415, "Not a form", "What was sent is not of the type application/x-www-form-urlencoded.");
    else if (form_parse(&p->body, request->body.data, request->body.len, p->out.allocator) < 0)
        p->out.is_failed = true;
    return !p->is_answered && !p->out.is_failed;
}

static void answer(struct page *p)
{
    const struct route *route = route_find(p->request->path);
    if (!route) {
        show_error(p, 404, "Not found", "There is no such page.");
        return;
    }
    if (!is_allowed(p->request->method, route->allow)) {
        p->reply->allow = (char *)route->allow;
        show_error(p, 405, "Not that way", "This page cannot be asked for in this way.");
        return;
    }
    if (!read_forms(p))
        return;
    /* Logging out wants the token even if auth does not know it; it asks itself. */
    enum rpc_status status = route->show == show_logout ? RPC_OK : check_login(p);
    if (status == RPC_OK || route->access == ACCESS_ANYONE)
        route->show(p);
    else if (status == RPC_UNAUTHENTICATED)
        redirect_to_login(p);
    else
        show_unavailable(p);
}

enum rpc_status pages_handle(struct rpc_call *call, const WebHandleRequest *request, WebHandleReply *reply)
{
    struct page page = {.request = request, .reply = reply, .is_post = strcmp(request->method, "POST") == 0};
    out_init(&page.out, rpc_allocator());
    reply->status = 200;
    reply->content_type = (char *)"text/html; charset=utf-8";
    reply->cache_control = (char *)"no-store";
    reply->content_security_policy = (char *)POLICY;
    answer(&page);
    if (!out_is_ok(&page.out)) {
        reply->n_set_cookie = 0;
        return rpc_fail(call, RPC_RESOURCE_EXHAUSTED, "no memory for the page, or it is too big");
    }
    reply->body = (ProtobufCBinaryData){.len = page.out.used, .data = (uint8_t *)page.out.bytes};
    return RPC_OK;
}

int pages_start(struct err *e)
{
    const struct {
        const char *name;
        struct rpc_peer **peer;
    } callees[] = {{"auth", &auth}, {"bank", &bank}, {"person", &person}, {"profile", &profile}, {"echo", &echo}};
    for (size_t i = 0; i < ARRAY_COUNT(callees); i++)
        if (!(*callees[i].peer = rpc_peer(callees[i].name)))
            return err_set(e, -ENOLINK, "the service list has no link to %s", callees[i].name);
    uint8_t key[KEY_BYTES];
    if (!key_new(key))
        return err_sys(e, -errno, "random numbers for the keys of transfers");
    return 0;
}
