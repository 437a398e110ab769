/*
 * profile.c - the service that shows profiles: what a user wrote, as HTML that is safe in a visitor's page.
 *
 * Profile.Render asks person for the text.  A text whose first line is "#!python" is a program, and is shown as text.
 */
#include <stdbool.h>
#include <string.h>

#include "apps/zoobar/api/person.rpc.h"
#include "apps/zoobar/api/profile.rpc.h"
#include "apps/zoobar/profile/markup.h"

PROFILE_SCHEMA_NOTE;

static bool is_program(const char *text)
{
    static const char first_line[] = "#!python";
    size_t bytes = sizeof first_line - 1;
    return strncmp(text, first_line, bytes) == 0 && (text[bytes] == '\0' || text[bytes] == '\r' || text[bytes] == '\n');
}

static enum rpc_status render(struct rpc_call *call, const ProfileRenderRequest *request, ProfileRenderReply *reply)
{
    PersonGetRequest get = PERSON_GET_REQUEST__INIT;
    PersonGetReply *person;
    get.username = request->owner;
    enum rpc_status status = person_get(rpc_peer("person"), &get, &person);
    if (status != RPC_OK)
        return rpc_fail(call, status, "person: %s", rpc_error_text());
    size_t bytes = strlen(person->profile);
    if (is_program(person->profile)) {
        const char *text = markup_plain(person->profile, bytes, rpc_allocator());
        reply->html = text ? rpc_printf("<p><i>This profile is a program. It is shown as text.</i></p>%s", text) : NULL;
    } else {
        reply->html = markup_render(person->profile, bytes, rpc_allocator());
    }
    return reply->html ? RPC_OK : rpc_fail(call, RPC_RESOURCE_EXHAUSTED, "no memory for the profile");
}

int main(int argc, char **argv)
{
    static const struct profile_handlers handlers = {.render = render};
    const struct rpc_interface interfaces[] = {profile_interface(&handlers)};
    const struct rpc_service service = {.interfaces = interfaces, .interface_count = 1};
    return rpc_main(argc, argv, &service);
}
