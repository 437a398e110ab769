# The schema of messages in a binary, and messages as JSON; protobuf-c packs and unpacks the other side.
$(eval $(call unit_test,rpctypes,tests/unit/test_rpctypes.c hostd/rpctypes.c hostd/schema.c rpc/base/err.c,))
$(eval $(call unit_test,rpcjson,tests/unit/test_rpcjson.c hostd/rpcjson.c hostd/rpctypes.c hostd/schema.c hostd/suggest.c \
	rpc/base/err.c,-ljansson -lm -lprotobuf-c))
$(B)/unit/rpcjson: $(B)/obj/gen/tests/unit/rpcjson_probe.pb-c.o
$(B)/san/tests/unit/test_rpcjson.o: | $(B)/gen/tests/unit/rpcjson_probe.rpc.h
