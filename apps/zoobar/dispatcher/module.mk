# dispatcher: the only parser of the outside.  llhttp is compiled from the sources of the installed package, in its
# strict mode (the package's header leaves that off).
LLHTTP_DIR := /usr/share/llhttp
LLHTTP_CPPFLAGS := -DLLHTTP_STRICT_MODE=1 -I/usr/share/include/llhttp -I/usr/share/include

$(B)/obj/llhttp/%.o: $(LLHTTP_DIR)/%.c
	@mkdir -p $(@D)
	$(CC) $(GEN_CFLAGS) $(LLHTTP_CPPFLAGS) -c -o $@ $<
$(B)/lib/libllhttp.a: $(B)/obj/llhttp/api.o $(B)/obj/llhttp/http.o $(B)/obj/llhttp/llhttp.o
	@mkdir -p $(@D)
	@rm -f $@
	ar rcs $@ $^

DISPATCHER_DIR := apps/zoobar/dispatcher
DISPATCHER_SOURCES := $(addprefix $(DISPATCHER_DIR)/,dispatcher.c connection.c pool.c http_request.c http_head.c \
	http_chunk.c http_url.c http_reply.c route.c)
# The header of llhttp lies outside of the compiler's own search path.
$(B)/obj/$(DISPATCHER_DIR)/%.o $(B)/san/$(DISPATCHER_DIR)/%.o: OBJ_CFLAGS += -isystem /usr/share/include
$(eval $(call static_service,dispatcher,$(DISPATCHER_SOURCES),apps/zoobar/api/web,$(B)/lib/libllhttp.a))
$(B)/bin/dispatcher: $(B)/lib/libllhttp.a
