# tests: unit tests (one *.mk per subject in tests/unit), tools, and the runner.
include $(wildcard tests/unit/*.mk)
include tests/attacks/module.mk

# Programs that the bats files run inside and beside the services: build/test-bin, never in build/bin.
TEST_TOOLS := $(B)/test-bin/netprobe $(B)/test-bin/addrtrust $(B)/test-bin/forge $(B)/test-bin/rpcprobe \
	$(B)/test-bin/ringprobe $(B)/test-bin/hog $(B)/test-bin/chatter $(B)/test-bin/without $(B)/test-bin/scprobe $(ATTACK_TOOLS)
TEST_APIS := apps/echo/echo $(patsubst %,apps/zoobar/api/%,auth bank person profile web)
TEST_API_OBJECTS := $(patsubst %,$(B)/obj/gen/%.pb-c.o,$(TEST_APIS))

$(B)/obj/tests/tools/message.o: | $(patsubst %,$(B)/gen/%.pb-c.h,$(TEST_APIS))
$(B)/obj/tests/tools/rpcprobe.o: | $(B)/gen/apps/zoobar/api/profile.rpc.h
$(B)/obj/tests/tools/ringprobe.o: | $(B)/gen/apps/echo/echo.rpc.h
$(B)/test-bin/netprobe: $(B)/obj/tests/tools/netprobe.o
$(B)/test-bin/ringprobe: $(B)/obj/tests/tools/ringprobe.o
$(B)/test-bin/without: $(B)/obj/tests/tools/without.o
$(B)/test-bin/chatter: $(B)/obj/tests/tools/chatter.o $(B)/lib/librpc.a
$(B)/test-bin/hog: $(B)/obj/tests/tools/hog.o $(B)/lib/librpc.a
$(B)/test-bin/scprobe: $(B)/obj/tests/tools/scprobe.o
$(B)/test-bin/scprobe: TOOL_LIBRARIES := -lseccomp
$(B)/test-bin/addrtrust: $(B)/obj/tests/tools/addrtrust.o
$(B)/test-bin/forge: $(B)/obj/tests/tools/forge.o $(B)/obj/tests/tools/message.o $(TEST_API_OBJECTS) $(B)/obj/rpc/frame.o
$(B)/test-bin/rpcprobe: $(B)/obj/tests/tools/rpcprobe.o $(B)/obj/tests/tools/message.o $(TEST_API_OBJECTS) \
	$(B)/obj/gen/apps/zoobar/api/profile.rpc.o $(B)/lib/librpc.a
# What makes system calls fail, and what calls without end (tests/faults, stages.bats).
TEST_TOOLS += $(B)/test-bin/inject $(B)/test-bin/asker
$(B)/obj/tests/tools/asker.o: | $(B)/gen/apps/echo/echo.rpc.h
$(B)/test-bin/asker: $(B)/obj/tests/tools/asker.o $(B)/obj/gen/apps/echo/echo.rpc.o $(B)/obj/gen/apps/echo/echo.pb-c.o $(B)/lib/librpc.a
$(B)/test-bin/inject: TOOL_LIBRARIES := -lseccomp
$(B)/test-bin/inject: $(B)/obj/tests/tools/inject.o
$(TEST_TOOLS):
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -static -Wl,--gc-sections -o $@ $(filter-out %.a,$^) $(filter %.a,$^) -luring -lprotobuf-c $(TOOL_LIBRARIES)

# ---- fuzzers: libFuzzer with clang, build/fuzz/NAME; `make fuzz` runs them long, `make test` shortly ----

FUZZ_FLAGS := -g -O1 -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
$(B)/fuzz/obj/%.o: %.c
	@mkdir -p $(@D)
	clang -std=c17 $(FUZZ_FLAGS) -fsanitize=fuzzer-no-link $(WARNINGS) $(CPPFLAGS) -isystem /usr/share/include -MMD -MP -c -o $@ $<
$(B)/fuzz/obj/%.o: %.cpp
	@mkdir -p $(@D)
	clang++ -std=c++17 $(FUZZ_FLAGS) -fsanitize=fuzzer-no-link $(CPPFLAGS) -fno-exceptions -fno-rtti -MMD -MP -c -o $@ $<

# One line per fuzzer: name (of tests/fuzz/fuzz_NAME.c), sources under test, libraries.
define fuzz_target
FUZZERS += $(B)/fuzz/$(1)
$(B)/fuzz/$(1): $(patsubst %.cpp,$(B)/fuzz/obj/%.o,$(patsubst %.c,$(B)/fuzz/obj/%.o,tests/fuzz/fuzz_$(1).c $(2))) $(filter %.a,$(3))
	clang++ $(FUZZ_FLAGS) -fsanitize=fuzzer -o $$@ $$(filter %.o,$$^) $(3)
REPLAYS += $(B)/replay/$(1)
$(B)/replay/$(1): $(B)/san/tests/fuzz/replay.o $(patsubst %.cpp,$(B)/san/%.o,$(patsubst %.c,$(B)/san/%.o,tests/fuzz/fuzz_$(1).c $(2))) $(filter %.a,$(3))
	@mkdir -p $$(@D)
	$$(CXX) $$(SAN_FLAGS) -o $$@ $$(filter %.o,$$^) $(3)
endef

$(eval $(call fuzz_target,frame,rpc/frame.c))
$(eval $(call fuzz_target,codec,rpc/codec.c,-lprotobuf-c))
$(B)/fuzz/obj/tests/fuzz/fuzz_codec.o $(B)/san/tests/fuzz/fuzz_codec.o: | $(B)/gen/tests/unit/rpc_probe.rpc.h
$(B)/fuzz/codec $(B)/replay/codec: $(B)/obj/gen/tests/unit/rpc_probe.pb-c.o
$(eval $(call fuzz_target,form,apps/zoobar/dynamic/form.c apps/zoobar/dynamic/cookie.c apps/zoobar/dynamic/out.c))
$(eval $(call fuzz_target,markup,apps/zoobar/profile/markup.c,-lgumbo))
$(eval $(call fuzz_target,zoobar_text,apps/zoobar/db/text.c))
$(eval $(call fuzz_target,http_head,$(addprefix apps/zoobar/dispatcher/,http_request.c http_head.c http_chunk.c http_url.c),$(B)/lib/libllhttp.a))
$(eval $(call fuzz_target,manifest,$(MANIFEST_SOURCES)))
$(eval $(call fuzz_target,plan,$(MANIFEST_SOURCES) hostd/plan.c hostd/plan_print.c hostd/filter.c,-lseccomp -ljansson))
$(eval $(call fuzz_target,control,hostd/control_parse.c hostd/rules.c rpc/base/err.c))
$(eval $(call fuzz_target,rpcjson,$(addprefix hostd/,rpcjson.c rpctypes.c schema.c suggest.c) rpc/base/err.c,-ljansson -lm))
$(eval $(call fuzz_target,closure,hostd/closure.c hostd/elf.c hostd/rules.c rpc/base/err.c))
$(eval $(call fuzz_target,ledger,hostd/ledger.c hostd/states.c hostd/rules.c rpc/base/err.c))
$(eval $(call fuzz_target,logtail,hostd/logtail.c rpc/base/err.c,-ljansson))

.PHONY: fuzzers fuzz
fuzzers: $(FUZZERS)
# SECONDS=600: how long each.
fuzz: deps
	+@$(BUILD) fuzzers
	@FUZZ_SECONDS=$(or $(FUZZ_SECONDS),600) tests/run --build $(B) fuzz

# ---- coverage: unit tests and the fuzzers' seeds, with gcov's counters in place of sanitizers, in build/cov ----

# Warnings are the other builds'.  Not those that run whole services, a network or a database: they are slow, and what is measured is not in them.
COVERAGE_UNITS = $(filter-out $(addprefix $(B)/unit/,rpc fibre bank_services netconf auth_cred bank_ledger person_people \
	pages http_pool http_static),$(UNIT_TESTS))
.PHONY: coverage coverage-build coverage-programs
coverage-programs: $(COVERAGE_UNITS) $(REPLAYS)
coverage-build:
	+@$(BUILD) B=$(B)/cov CC=gcc CXX=g++ WARNINGS= SAN_FLAGS='-O0 -g --coverage' coverage-programs
coverage: deps
	+@$(BUILD) coverage-build
	@exec tests/coverage $(B)/cov
