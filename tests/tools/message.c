/* message.c - see message.h. */
#include "tests/tools/message.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apps/echo/echo.pb-c.h"
#include "apps/zoobar/api/auth.pb-c.h"
#include "apps/zoobar/api/bank.pb-c.h"
#include "apps/zoobar/api/person.pb-c.h"
#include "apps/zoobar/api/profile.pb-c.h"
#include "apps/zoobar/api/web.pb-c.h"

static const ProtobufCServiceDescriptor *const services[] = {&auth__descriptor,    &bank__descriptor,
                                                             &echo__descriptor,    &person__descriptor,
                                                             &profile__descriptor, &web__descriptor};

int message_method(const char *name, struct message_method *ret_method)
{
    const char *dot = strchr(name, '.');
    for (size_t i = 0; dot != NULL && i < sizeof services / sizeof *services; i++) {
        const ProtobufCServiceDescriptor *service = services[i];
        if (strlen(service->name) != (size_t)(dot - name) || strncmp(service->name, name, (size_t)(dot - name)) != 0)
            continue;
        const ProtobufCMethodDescriptor *method = protobuf_c_service_descriptor_get_method_by_name(service, dot + 1);
        if (method == NULL)
            return -1;
        *ret_method = (struct message_method){.name = name, .input = method->input, .output = method->output};
        return 0;
    }
    return -1;
}

static int field_set(ProtobufCMessage *message, const ProtobufCFieldDescriptor *field, char *value)
{
    void *at = (char *)message + field->offset;
    char *end = value;
    switch (field->type) {
    case PROTOBUF_C_TYPE_STRING:
        *(char **)at = value;
        return 0;
    case PROTOBUF_C_TYPE_BYTES:
        *(ProtobufCBinaryData *)at = (ProtobufCBinaryData){.len = strlen(value), .data = (uint8_t *)value};
        return 0;
    case PROTOBUF_C_TYPE_INT64:
        *(int64_t *)at = strtoll(value, &end, 10);
        return *value != 0 && *end == 0 ? 0 : -1;
    case PROTOBUF_C_TYPE_UINT32:
        *(uint32_t *)at = (uint32_t)strtoul(value, &end, 10);
        return *value != 0 && *end == 0 ? 0 : -1;
    default:
        return -1;
    }
}

ProtobufCMessage *message_make(const ProtobufCMessageDescriptor *type, char **fields, size_t count)
{
    ProtobufCMessage *message = calloc(1, type->sizeof_message);
    if (message == NULL)
        return NULL;
    type->message_init(message);
    for (size_t i = 0; i < count; i++) {
        char *equals = strchr(fields[i], '=');
        if (equals != NULL)
            *equals = 0;
        const ProtobufCFieldDescriptor *field = protobuf_c_message_descriptor_get_field_by_name(type, fields[i]);
        if (equals == NULL || field == NULL || field_set(message, field, equals + 1) != 0) {
            fprintf(stderr, "%s takes no %s=%s\n", type->name, fields[i], equals ? equals + 1 : "");
            return NULL;
        }
    }
    return message;
}

static void field_text(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field, char *out, size_t bytes)
{
    const void *at = (const char *)message + field->offset;
    switch (field->type) {
    case PROTOBUF_C_TYPE_STRING:
        (void)snprintf(out, bytes, "%s", *(char *const *)at); /* a long one is cut */
        break;
    case PROTOBUF_C_TYPE_INT64:
        (void)snprintf(out, bytes, "%" PRId64, *(const int64_t *)at);
        break;
    case PROTOBUF_C_TYPE_UINT32:
        (void)snprintf(out, bytes, "%" PRIu32, *(const uint32_t *)at);
        break;
    default:
        out[0] = 0;
    }
}

void message_text(const ProtobufCMessage *message, char *out, size_t bytes)
{
    out[0] = 0;
    for (unsigned i = 0; i < message->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &message->descriptor->fields[i];
        char value[128];
        size_t used = strlen(out);
        if (field->label == PROTOBUF_C_LABEL_REPEATED) {
            const size_t *number = (const size_t *)((const char *)message + field->quantifier_offset);
            (void)snprintf(out + used, bytes - used, " %s.%zu", field->name, *number); /* cut at the end of out */
        } else {
            field_text(message, field, value, sizeof value);
            (void)snprintf(out + used, bytes - used, " %s=%s", field->name, value); /* the same */
        }
    }
}

void message_field(const ProtobufCMessage *message, const char *name, char *out, size_t bytes)
{
    const ProtobufCFieldDescriptor *field = protobuf_c_message_descriptor_get_field_by_name(message->descriptor, name);
    out[0] = 0;
    if (field != NULL && field->label != PROTOBUF_C_LABEL_REPEATED)
        field_text(message, field, out, bytes);
}
