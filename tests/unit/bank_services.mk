# auth, bank and person as static programs under the real system call list; the test itself has the sanitizers.
$(eval $(call unit_test,bank_services,tests/unit/test_bank_services.c tests/unit/rpc_harness.c rpc/frame.c rpc/status.c \
	hostd/filter.c hostd/plan.c $(RPCBASE_SOURCES),-luring -lprotobuf-c -lseccomp))
ZOOBAR_MESSAGES := $(patsubst %,$(B)/obj/gen/apps/zoobar/api/%.pb-c.o,auth bank person)
$(B)/san/tests/unit/test_bank_services.o: | $(ZOOBAR_MESSAGES)
$(B)/unit/bank_services: $(ZOOBAR_MESSAGES) | $(patsubst %,$(B)/bin/%,auth bank person)
