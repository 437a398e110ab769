# hostd: build, run, test.  `make help` lists the targets.
#
# One file per folder (module.mk) says what the folder builds; this one holds the flags, the pattern rules and the
# targets that people type.  Everything that is made goes below build/.

MAKEFLAGS += --no-builtin-rules
.SUFFIXES:
.DELETE_ON_ERROR:
SHELL := /bin/bash
ifeq ($(origin CC),default)
CC := gcc
endif
ifeq ($(origin CXX),default)
CXX := g++
endif

B := build
WARNINGS := -Wall -Wextra -Werror -Wshadow -Wvla -Wformat=2 -Wundef -Wpointer-arith -Wno-unused-parameter -Wno-missing-field-initializers
C_WARNINGS := -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition
HARDEN := -fstack-protector-strong -D_FORTIFY_SOURCE=2 -fno-common
CPPFLAGS += -D_GNU_SOURCE -I. -I$(B)/gen
CFLAGS ?= -O2 -g
ALL_CFLAGS = -std=c17 $(CFLAGS) $(HARDEN) $(WARNINGS) $(C_WARNINGS) $(CPPFLAGS)
ALL_CXXFLAGS = -std=c++17 $(CFLAGS) $(HARDEN) $(WARNINGS) $(CPPFLAGS) -fno-exceptions -fno-rtti
SAN_FLAGS := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
# Generated and foreign sources are compiled without our warnings.
GEN_CFLAGS = -std=c17 $(CFLAGS) $(HARDEN) -w $(CPPFLAGS)

VERSION := 0.1.0
CPPFLAGS += -DHOSTD_VERSION='"$(VERSION)"'

.PHONY: all deps run test check bench clean help format install unit
all:

# ---- pattern rules -------------------------------------------------------------------------------------------------

$(B)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) $(OBJ_CFLAGS) -MMD -MP -c -o $@ $<
$(B)/obj/%.o: %.cpp
	@mkdir -p $(@D)
	$(CXX) $(ALL_CXXFLAGS) $(OBJ_CFLAGS) -MMD -MP -c -o $@ $<
# The same with sanitizers, for unit tests and fuzzers.
$(B)/san/%.o: %.c
	@mkdir -p $(@D)
	$(CC) -std=c17 $(SAN_FLAGS) $(WARNINGS) $(CPPFLAGS) $(OBJ_CFLAGS) -MMD -MP -c -o $@ $<
$(B)/san/%.o: %.cpp
	@mkdir -p $(@D)
	$(CXX) -std=c++17 $(SAN_FLAGS) $(WARNINGS) $(CPPFLAGS) $(OBJ_CFLAGS) -fno-exceptions -fno-rtti -MMD -MP -c -o $@ $<

# NAME.proto -> NAME.pb-c.[ch] (messages, protobuf-c) -> NAME.rpc.[ch] (our stubs, by a generator linked with the descriptors).
$(B)/gen/%.pb-c.c $(B)/gen/%.pb-c.h &: %.proto
	@mkdir -p $(@D)
	protoc-c --c_out=$(B)/gen $<
$(B)/obj/gen/%.pb-c.o: $(B)/gen/%.pb-c.c
	@mkdir -p $(@D)
	$(CC) $(GEN_CFLAGS) -c -o $@ $<
# The descriptor of `service Bank` in bank.proto is bank__descriptor: file name and service name agree.
$(B)/tools/rpcgen-%: rpc/rpcgen.c rpc/base/hash.h $(B)/obj/gen/%.pb-c.o
	@mkdir -p $(@D)
	$(CC) -std=c17 -O1 -g $(WARNINGS) $(CPPFLAGS) -DRPCGEN_SERVICE=$(notdir $*)__descriptor -DRPCGEN_BASE='"$*"' \
		-o $@ rpc/rpcgen.c $(B)/obj/gen/$*.pb-c.o -lprotobuf-c
$(B)/gen/%.rpc.c $(B)/gen/%.rpc.h &: $(B)/tools/rpcgen-%
	@mkdir -p $(@D)
	$< $(B)/gen/$*.rpc
$(B)/obj/gen/%.rpc.o: $(B)/gen/%.rpc.c $(B)/gen/%.rpc.h rpc/rpc.h
	@mkdir -p $(@D)
	$(CC) $(GEN_CFLAGS) -c -o $@ $<
.SECONDARY:

# $(call static_service,NAME,SOURCES,PROTOS without .proto,LIBRARIES): one static binary, build/bin/NAME.
# Schema notes of the interfaces it serves (fifth argument) are linked in by name: see rpc/rpcgen.c.
define static_service
SERVICES += $(B)/bin/$(1)
$(patsubst %.c,$(B)/obj/%.o,$(2)): | $(patsubst %,$(B)/gen/%.rpc.h,$(3))
$(B)/bin/$(1): $(patsubst %.c,$(B)/obj/%.o,$(2)) $(patsubst %,$(B)/obj/gen/%.rpc.o,$(3)) $(patsubst %,$(B)/obj/gen/%.pb-c.o,$(3)) $(B)/lib/librpc.a
	@mkdir -p $$(@D)
	$$(CC) $$(CFLAGS) -static -Wl,--gc-sections -o $$@ $$(filter-out %.a,$$^) $(B)/lib/librpc.a $(4) -luring -lprotobuf-c
endef

# $(call static_archive,NAME,SOURCES)
define static_archive
$(B)/lib/$(1): $(patsubst %.c,$(B)/obj/%.o,$(2))
	@mkdir -p $$(@D)
	@rm -f $$@
	ar rcs $$@ $$^
endef

# $(call unit_test,NAME,TEST SOURCE and SOURCES UNDER TEST,LIBRARIES): build/unit/NAME with sanitizers, cmocka.
define unit_test
UNIT_TESTS += $(B)/unit/$(1)
$(B)/unit/$(1): $(patsubst %.cpp,$(B)/san/%.o,$(patsubst %.c,$(B)/san/%.o,$(2)))
	@mkdir -p $$(@D)
	$$(CXX) $$(SAN_FLAGS) -o $$@ $$^ -lcmocka $(3)
endef

include rpc/module.mk netconf/module.mk rootfs/module.mk initsvc/module.mk hostd/module.mk apps/module.mk tests/module.mk

-include $(shell [ -d $(B) ] && find $(B) -name '*.d')
