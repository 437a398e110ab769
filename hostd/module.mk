# hostd: the program, build/bin/hostd.  Dynamic: libmnl has no archive.

HOSTD_SOURCES := $(wildcard hostd/*.c)
HOSTD_OBJECTS := $(patsubst %.c,$(B)/obj/%.o,$(HOSTD_SOURCES) initsvc/stage.c rpc/frame.c rpc/status.c) $(B)/obj/hostd/toml.o \
	$(if $(WEAKEN),$(B)/obj/tests/attacks/weak_owner.o)
HOSTD_LIBRARIES := -Wl,-Bstatic -lnftnl -lnl-3 -lseccomp -ljansson -Wl,-Bdynamic -lmnl -static-libstdc++ -static-libgcc

all: $(B)/bin/hostd
$(B)/bin/hostd: $(HOSTD_OBJECTS) $(B)/lib/libnetconf.a $(B)/lib/librootfs.a $(B)/lib/librpcbase.a
	@mkdir -p $(@D)
	$(CXX) $(CFLAGS) -Wl,-z,now -o $@ $^ $(HOSTD_LIBRARIES)

# Manual pages: built by install and by tests, not by all.
MAN_PAGES := $(patsubst hostd/man/%.scd,$(B)/man/%,$(wildcard hostd/man/*.scd))
$(B)/man/%: hostd/man/%.scd
	@mkdir -p $(@D)
	scdoc <$< >$@

# What a unit test of the service list links: everything of it that is pure.
MANIFEST_SOURCES := $(addprefix hostd/,manifest.c manifest_parse.c rules.c report.c suggest.c schema.c toml.cpp toml_depth.c closure.c elf.c) rpc/base/err.c
