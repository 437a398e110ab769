# What the dispatcher and static do without a network.
HTTP_DIR := apps/zoobar/dispatcher
$(B)/san/tests/unit/test_http%.o $(B)/san/tests/fuzz/fuzz_http%.o: OBJ_CFLAGS += -isystem /usr/share/include
$(eval $(call unit_test,http_head,tests/unit/test_http_head.c $(HTTP_DIR)/http_head.c))
$(eval $(call unit_test,http_chunk,tests/unit/test_http_chunk.c $(HTTP_DIR)/http_chunk.c))
$(eval $(call unit_test,http_url,tests/unit/test_http_url.c $(HTTP_DIR)/http_url.c))
$(eval $(call unit_test,http_reply,tests/unit/test_http_reply.c $(HTTP_DIR)/http_reply.c))
$(eval $(call unit_test,http_route,tests/unit/test_http_route.c $(HTTP_DIR)/route.c rpc/base/err.c))
$(eval $(call unit_test,http_request,tests/unit/test_http_request.c \
	$(addprefix $(HTTP_DIR)/,http_request.c http_head.c http_chunk.c)))
$(B)/unit/http_request: $(B)/lib/libllhttp.a
$(eval $(call unit_test,http_static,tests/unit/test_http_static.c apps/zoobar/static/media.c rpc/base/err.c))
$(eval $(call unit_test,http_pool,tests/unit/test_http_pool.c $(HTTP_DIR)/pool.c))
