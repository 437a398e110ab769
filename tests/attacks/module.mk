# attacks: the programs that try what a service must not be able to do, and the parts of the weak build that they need.
ATTACK_TOOLS := $(B)/test-bin/attack $(B)/test-bin/witness
ATTACK_OBJECTS := $(patsubst %,$(B)/obj/tests/attacks/%.o,attack identity escape files net frames kernel)
$(ATTACK_OBJECTS): | $(B)/gen/tests/attacks/witness.rpc.h
$(B)/test-bin/attack: $(ATTACK_OBJECTS) $(B)/obj/rpc/frame.o

$(B)/obj/tests/attacks/witness.o: | $(B)/gen/tests/attacks/witness.rpc.h
$(B)/test-bin/witness: $(B)/obj/tests/attacks/witness.o $(B)/obj/gen/tests/attacks/witness.rpc.o \
	$(B)/obj/gen/tests/attacks/witness.pb-c.o $(B)/lib/librpc.a

weak-parts: $(B)/bin/hostd $(B)/bin/initsvc $(B)/bin/bank $(B)/bin/auth $(B)/test-bin/witness
