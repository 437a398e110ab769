# initsvc: PID 1 of a service, one static binary.

INIT_SOURCES := initsvc/init.c initsvc/loop.c initsvc/adopt.c initsvc/watchdog.c initsvc/seal.c initsvc/exec.c initsvc/ring.c initsvc/wires.c initsvc/logs.c initsvc/process.c initsvc/stage.c
SERVICES += $(B)/bin/initsvc
$(B)/bin/initsvc: $(patsubst %.c,$(B)/obj/%.o,$(INIT_SOURCES)) $(B)/lib/librootfs.a $(B)/lib/librpcbase.a
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -static -Wl,--gc-sections -o $@ $^ -luring
