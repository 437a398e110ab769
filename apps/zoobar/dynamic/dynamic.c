/*
 * dynamic.c - the service that makes zoobar's pages.  It keeps nothing: what it shows, it asks for.
 *
 * Web.Handle, called by the dispatcher, is all that it serves; the pages are in pages.c.
 */
#include "apps/zoobar/dynamic/pages.h"

WEB_SCHEMA_NOTE;

int main(int argc, char **argv)
{
    static const struct web_handlers handlers = {.handle = pages_handle};
    const struct rpc_interface interfaces[] = {web_interface(&handlers)};
    const struct rpc_service service = {.interfaces = interfaces, .interface_count = 1, .start = pages_start};
    return rpc_main(argc, argv, &service);
}
