# attacks: the programs that try what a service must not be able to do, and the parts of the weak build that they need.
ATTACK_TOOLS := $(B)/test-bin/attack $(B)/test-bin/witness
ATTACK_OBJECTS := $(patsubst %,$(B)/obj/tests/attacks/%.o,attack wire identity calls escape files net frames kernel)
$(ATTACK_OBJECTS): | $(B)/gen/tests/attacks/witness.rpc.h
$(B)/test-bin/attack: $(ATTACK_OBJECTS) $(B)/obj/rpc/frame.o

$(B)/obj/tests/attacks/witness.o: | $(B)/gen/tests/attacks/witness.rpc.h
$(B)/test-bin/witness: $(B)/obj/tests/attacks/witness.o $(B)/obj/gen/tests/attacks/witness.rpc.o \
	$(B)/obj/gen/tests/attacks/witness.pb-c.o $(B)/lib/librpc.a

# The witness again, from a schema whose message contains itself, and from a generator that lets that pass (row I10f).
NESTED := $(B)/nested/tests/attacks/witness
$(B)/test-bin/witness-nested: tests/attacks/witness.c tests/attacks/witness.proto rpc/rpcgen.c rpc/base/weaken.h $(B)/lib/librpc.a
	@mkdir -p $(@D) $(dir $(NESTED))
	sed 's/WitnessLeaf inner/WitnessNest inner/' tests/attacks/witness.proto >$(NESTED).proto
	protoc-c -I$(B)/nested --c_out=$(B)/nested $(NESTED).proto
	$(CC) $(GEN_CFLAGS) -I$(B)/nested -c -o $(NESTED).pb-c.o $(NESTED).pb-c.c
	$(CC) $(GEN_CFLAGS) -DRPCGEN_SERVICE=witness__descriptor -DRPCGEN_BASE='"tests/attacks/witness"' \
		-o $(B)/nested/rpcgen rpc/rpcgen.c $(NESTED).pb-c.o -lprotobuf-c
	HOSTD_WEAKEN=nesting $(B)/nested/rpcgen $(NESTED).rpc
	$(CC) -I$(B)/nested $(GEN_CFLAGS) -static -Wl,--gc-sections -o $@ tests/attacks/witness.c $(NESTED).rpc.c $(NESTED).pb-c.o \
		$(B)/lib/librpc.a -luring -lprotobuf-c

weak-parts: $(B)/bin/hostd $(B)/bin/initsvc $(B)/bin/bank $(B)/bin/auth $(B)/test-bin/witness $(B)/test-bin/witness-nested
