# initsvc: PID 1 of a service, one static binary.
#
# Linked with musl: before main() static glibc asks for each property of the CPU, which in a virtual machine is a third
# of a millisecond, and it touches four times the pages.  musl brings no headers of the kernel: they are the system's.  Its
# CMSG_NXTHDR compares different signs.

INIT_SOURCES := initsvc/init.c initsvc/loop.c initsvc/adopt.c initsvc/watchdog.c initsvc/seal.c initsvc/exec.c initsvc/ring.c initsvc/wires.c initsvc/logs.c initsvc/process.c initsvc/stage.c
INIT_OBJECTS := $(patsubst %.c,$(B)/musl/%.o,$(INIT_SOURCES) $(ROOTFS_SOURCES) $(RPCBASE_SOURCES))
MACHINE := $(shell gcc -dumpmachine)
MUSL_INCLUDES := -nostdinc -isystem /usr/include/$(subst -gnu,-musl,$(MACHINE)) \
	$(foreach folder,$(shell $(CC) -print-file-name=include) /usr/include /usr/include/$(MACHINE),-idirafter $(folder))

SERVICES += $(B)/bin/initsvc
$(B)/bin/initsvc: $(INIT_OBJECTS)
	@mkdir -p $(@D)
	musl-gcc $(CFLAGS) -static -Wl,--gc-sections -o $@ $^ /usr/lib/$(MACHINE)/liburing.a
$(B)/musl/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) $(MUSL_INCLUDES) -Wno-sign-compare -MMD -MP -c -o $@ $<
