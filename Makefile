# hostd: build, run, test.  `make help` lists the targets.
#
# One file per folder (module.mk) says what the folder builds; this one holds the flags, the packages, the targets that
# people type, and the pattern rules.  Everything that is made goes below build/.

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
# WEAKEN=1 (`make weak`): a test build whose defences can be left out one by one (rpc/base/weaken.h).
CPPFLAGS += $(if $(WEAKEN),-DHOSTD_WEAKEN)
# Generated and foreign sources are compiled without our warnings.
GEN_CFLAGS = -std=c17 $(CFLAGS) $(HARDEN) -w $(CPPFLAGS)

VERSION := 0.1.0
CPPFLAGS += -DHOSTD_VERSION='"$(VERSION)"'

.PHONY: all man install uninstall deps deps-run deps-install run test check clean help format unit clang test-tools
all:

# ---- packages ------------------------------------------------------------------------------------------------------

# What building and running needs, beyond git and make.
RUN_PACKAGES := gcc g++ libc6-dev libgumbo-dev libjansson-dev libmnl-dev libnftnl-dev libnl-3-dev libprotobuf-c-dev \
	libseccomp-dev libsqlite3-dev libssl-dev libtomlplusplus-dev liburing-dev \
	musl-tools node-llhttp protobuf-c-compiler
# What installing needs beyond that.
INSTALL_PACKAGES := scdoc
# What the tests need beyond that.
TEST_PACKAGES := bats bats-assert bats-support chromium chromium-driver clang clang-format clang-tidy curl iproute2 jq \
	fonts-dejavu-core groff-base lcov libclang-rt-14-dev libcmocka-dev nftables nginx-light procps python3 redis-server \
	shellcheck sqlite3 strace util-linux

# $(call missing,PACKAGES): those that dpkg does not have installed.  Empty where there is no dpkg: others name packages otherwise.
missing = $(filter-out $(shell command -v dpkg-query >/dev/null || echo $(1); \
	dpkg-query -W -f='$${db:Status-Status} $${Package}\n' $(1) 2>/dev/null | sed -n 's/^installed //p'),$(1))
# $(call install,PACKAGES): a recipe that installs what is missing of them; nothing missing: no apt, no time.  Tests want
# programs of nginx and Redis, not their daemons: packages are told not to start any.
define install
	@missing='$(call missing,$(1))'; \
	if [ -z "$$missing" ]; then exit 0; fi; \
	if [ "$$(id -u)" != 0 ]; then echo "apt-get install --no-install-recommends $$missing"; exit 2; fi; \
	set -e; export DEBIAN_FRONTEND=noninteractive; policy=/usr/sbin/policy-rc.d; \
	if [ ! -e $$policy ]; then trap "rm -f $$policy" EXIT; printf '#!/bin/sh\nexit 101\n' >$$policy; chmod +x $$policy; fi; \
	apt-get update; \
	apt-get install -y --no-install-recommends $$missing
endef

# A build that lacks a package says so at once, instead of a compiler's "no such file".
GOALS := $(or $(MAKECMDGOALS),all)
ifneq ($(filter-out deps deps-run deps-install deps-bench run test faults soak fuzz bench install uninstall coverage check clean help format,$(GOALS)),)
MISSING := $(call missing,$(RUN_PACKAGES) $(if $(filter man,$(GOALS)),$(INSTALL_PACKAGES)) $(if $(filter unit test-tools,$(GOALS)),libcmocka-dev) $(if $(filter clang,$(GOALS)),clang))
ifneq ($(MISSING),)
$(error packages are missing: $(MISSING).  As root, run `make deps`)
endif
endif

# ---- targets that people type --------------------------------------------------------------------------------------

help:
	@echo 'make          builds everything into build/bin'
	@echo 'make run      installs what is missing, builds, starts zoobar at http://127.0.0.1:8080/ (as root; Ctrl-C stops it)'
	@echo 'make install  builds, and installs programs, manual pages and the zoobar example below DESTDIR and PREFIX=/usr/local'
	@echo 'make test     installs what is missing, builds, runs every test; ONLY="unit bats/web.bats" runs a part'
	@echo 'make fuzz     runs every fuzzer for FUZZ_SECONDS=600 each; make test does for 20'
	@echo 'make bench    measures; ONLY="rpc zoobar.page" a part of it (benchmarks/README.md)'
	@echo 'make coverage shows which part of the lines of parsers and policy the tests run; make test wants 90 %'
	@echo 'make faults   an error, then SIGKILL, at every system call of a start and of a stop (half an hour; EVERY=10 for a tenth)'
	@echo 'make soak     200 starts and stops, 200 services killed under load, and what the machine holds before and after'
	@echo 'make weak     a test build into build/weak whose defences can be left out: see tests/attacks/README.md'
	@echo 'make check    the rules of the tree: who includes whom, format, shell scripts, static analysis'
	@echo 'make unit     builds the unit tests into build/unit'
	@echo 'make deps     installs the Debian packages that are missing (as root)'
	@echo 'make format   formats the C sources'
	@echo 'make clean    removes build/'

deps:
	$(call install,$(RUN_PACKAGES) $(INSTALL_PACKAGES) $(TEST_PACKAGES))
deps-run:
	$(call install,$(RUN_PACKAGES))
deps-install:
	$(call install,$(RUN_PACKAGES) $(INSTALL_PACKAGES))

# A second make builds: what deps installs must be there when the packages are looked at.
BUILD = $(MAKE) --no-print-directory $(if $(findstring jobserver,$(MAKEFLAGS)),,-j$(shell nproc))

run: deps-run
	+@$(BUILD) all
	@exec $(B)/bin/hostd start apps/zoobar/zoobar.toml

# ONLY: words for tests/run (check, unit, bats, bats/web.bats, unit/frame).
test: deps
	+@$(BUILD) all man unit test-tools fuzzers coverage-build
	+@$(BUILD) weak
	+@$(BUILD) clang
	@exec tests/run --build $(B) $(ONLY)

# hostd in bin, what it starts in libexec/hostd, where no shell finds them: one of them is called echo.  The tree may be
# moved afterwards.  uninstall removes what install put there, and folders that are empty then.
PREFIX ?= /usr/local
INSTALL_BIN = $(DESTDIR)$(PREFIX)/bin
INSTALL_LIBEXEC = $(DESTDIR)$(PREFIX)/libexec/hostd
INSTALL_MAN = $(DESTDIR)$(PREFIX)/share/man
INSTALL_SHARE = $(DESTDIR)$(PREFIX)/share/hostd
install: deps-install
	+@$(BUILD) all man
	install -D -t $(INSTALL_BIN) $(B)/bin/hostd
	install -D -t $(INSTALL_LIBEXEC) $(SERVICES)
	for page in $(MAN_PAGES); do install -D -m 644 -t $(INSTALL_MAN)/man$${page##*.} $$page || exit 1; done
	install -D -m 644 -t $(INSTALL_SHARE)/zoobar apps/zoobar/zoobar.toml
	install -D -m 644 -t $(INSTALL_SHARE)/zoobar/media $(wildcard apps/zoobar/media/*)
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/doc/hostd README.md LICENSE
uninstall:
	rm -f $(INSTALL_BIN)/hostd $(foreach page,$(notdir $(MAN_PAGES)),$(INSTALL_MAN)/man$(subst .,,$(suffix $(page)))/$(page))
	rm -rf $(INSTALL_LIBEXEC) $(INSTALL_SHARE) $(DESTDIR)$(PREFIX)/share/doc/hostd

# hostd and what it starts, with switches for its defences: what tests/attacks shows the attacks to succeed against.
.PHONY: weak weak-parts
weak:
	+@$(BUILD) B=$(B)/weak WEAKEN=1 weak-parts

# The same sources under clang: another compiler's warnings are errors too.
clang:
	+@$(BUILD) B=$(B)/clang CC=clang CXX=clang++ all test-tools

# Each system call of a start and a stop made to fail, and its process killed there.  EVERY=K takes each K-th.
faults: deps
	+@$(BUILD) all test-tools
	@exec tests/faults --build $(B) --every $(or $(EVERY),1)
soak: deps
	+@$(BUILD) all test-tools
	@exec tests/soak --build $(B)

check:
	@exec tests/run --build $(B) check

format:
	clang-format -i $$(git ls-files '*.c' '*.h' '*.cpp')

clean:
	rm -rf $(B)

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
	@# A method may be called like a word of C (Auth.Register): protobuf-c's own service table, which we do not use, would not compile.
	@sed -i -E 's/\(\*(auto|break|case|continue|default|do|register|restrict|return|static|switch)\)\(/(*\1_)(/' $(B)/gen/$*.pb-c.h
$(B)/obj/gen/%.pb-c.o: $(B)/gen/%.pb-c.c
	@mkdir -p $(@D)
	$(CC) $(GEN_CFLAGS) -c -o $@ $<
# The descriptor of `service Bank` in bank.proto is bank__descriptor: file name and service name agree.
$(B)/tools/rpcgen-%: rpc/rpcgen.c rpc/base/hash.h rpc/codec.h $(B)/obj/gen/%.pb-c.o
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

# ---- what the folders build ----------------------------------------------------------------------------------------

include rpc/module.mk netconf/module.mk rootfs/module.mk initsvc/module.mk hostd/module.mk apps/module.mk tests/module.mk benchmarks/module.mk

all: $(SERVICES)
man: $(MAN_PAGES)
unit: $(UNIT_TESTS)
test-tools: $(TEST_TOOLS)

-include $(shell [ -d $(B) ] && find $(B) -name '*.d')
