# tests: unit tests (one *.mk per subject in tests/unit), tools, and the runner.
include $(wildcard tests/unit/*.mk)

# Programs that the bats files run inside and beside the services: build/test-bin, never in build/bin.
TEST_TOOLS := $(B)/test-bin/netprobe $(B)/test-bin/addrtrust $(B)/test-bin/forge $(B)/test-bin/rpcprobe \
	$(B)/test-bin/ringprobe $(B)/test-bin/hog $(B)/test-bin/chatter
TEST_APIS := apps/echo/echo $(patsubst %,apps/zoobar/api/%,auth bank person profile web)
TEST_API_OBJECTS := $(patsubst %,$(B)/obj/gen/%.pb-c.o,$(TEST_APIS))

$(B)/obj/tests/tools/message.o: | $(patsubst %,$(B)/gen/%.pb-c.h,$(TEST_APIS))
$(B)/obj/tests/tools/rpcprobe.o: | $(B)/gen/apps/zoobar/api/profile.rpc.h
$(B)/obj/tests/tools/ringprobe.o: | $(B)/gen/apps/echo/echo.rpc.h
$(B)/test-bin/netprobe: $(B)/obj/tests/tools/netprobe.o
$(B)/test-bin/ringprobe: $(B)/obj/tests/tools/ringprobe.o
$(B)/test-bin/chatter: $(B)/obj/tests/tools/chatter.o $(B)/lib/librpc.a
$(B)/test-bin/hog: $(B)/obj/tests/tools/hog.o $(B)/lib/librpc.a
$(B)/test-bin/addrtrust: $(B)/obj/tests/tools/addrtrust.o
$(B)/test-bin/forge: $(B)/obj/tests/tools/forge.o $(B)/obj/tests/tools/message.o $(TEST_API_OBJECTS) $(B)/obj/rpc/frame.o
$(B)/test-bin/rpcprobe: $(B)/obj/tests/tools/rpcprobe.o $(B)/obj/tests/tools/message.o $(TEST_API_OBJECTS) \
	$(B)/obj/gen/apps/zoobar/api/profile.rpc.o $(B)/lib/librpc.a
$(TEST_TOOLS):
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -static -Wl,--gc-sections -o $@ $(filter-out %.a,$^) $(filter %.a,$^) -luring -lprotobuf-c
