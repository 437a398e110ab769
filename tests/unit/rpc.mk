# librpc: its pure parts alone, and whole services on sealed rings (test_rpc.c runs the probe both as a child with
# sanitizers and as a static program under the system call list of a sealed service).
$(eval $(call unit_test,frame,tests/unit/test_frame.c rpc/frame.c,))
$(eval $(call unit_test,fibre,tests/unit/test_fibre.c rpc/fibre.c,))
$(eval $(call unit_test,rpc_timer,tests/unit/test_rpc_timer.c rpc/timer.c,))
$(eval $(call unit_test,rpc_spin,tests/unit/test_rpc_spin.c,))
$(eval $(call unit_test,rpc,tests/unit/test_rpc.c tests/unit/rpc_harness.c tests/unit/rpc_probe.c $(RPC_SOURCES) \
	$(RPCBASE_SOURCES),-luring -lprotobuf-c -lseccomp -lpthread))

PROBE_OBJECTS := $(B)/obj/gen/tests/unit/rpc_probe.rpc.o $(B)/obj/gen/tests/unit/rpc_probe.pb-c.o
$(B)/san/tests/unit/test_rpc.o $(B)/san/tests/unit/rpc_probe.o $(B)/obj/tests/unit/rpc_probe.o: \
	| $(B)/gen/tests/unit/rpc_probe.rpc.h
$(B)/unit/rpc: $(PROBE_OBJECTS) | $(B)/test-bin/rpc-probe
$(B)/test-bin/rpc-probe: $(B)/obj/tests/unit/rpc_probe_main.o $(B)/obj/tests/unit/rpc_probe.o $(PROBE_OBJECTS) $(B)/lib/librpc.a
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -static -Wl,--gc-sections -o $@ $(filter-out %.a,$^) $(B)/lib/librpc.a -luring -lprotobuf-c
