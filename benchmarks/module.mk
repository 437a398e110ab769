# benchmarks: what `make bench` runs, below build/bench.  See benchmarks/README.md.

BENCH_PACKAGES := python3
BENCH_TOOLS := $(B)/bench/caller $(B)/bench/raw $(B)/bench/http

$(B)/obj/benchmarks/caller.o: | $(B)/gen/apps/echo/echo.rpc.h
$(B)/bench/caller: $(B)/obj/benchmarks/caller.o $(B)/obj/gen/apps/echo/echo.rpc.o $(B)/obj/gen/apps/echo/echo.pb-c.o $(B)/lib/librpc.a
$(B)/bench/raw: $(B)/obj/benchmarks/raw.o
$(B)/bench/http: $(B)/obj/benchmarks/http.o
$(BENCH_TOOLS):
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -static -Wl,--gc-sections -o $@ $(filter-out %.a,$^) $(filter %.a,$^) -luring -lprotobuf-c

.PHONY: bench bench-tools deps-bench
bench-tools: $(BENCH_TOOLS) $(B)/test-bin/attack # the flood of flood.syn
test-tools: $(BENCH_TOOLS) # tests/bats/bench.bats
deps-bench:
	$(call install,$(RUN_PACKAGES) $(BENCH_PACKAGES))
# ONLY="rpc zoobar.page" runs a part, QUICK=1 shows only that it works.
bench: deps-bench
	+@$(BUILD) all bench-tools
	@exec benchmarks/run --build $(B) $(if $(QUICK),--quick) $(ONLY)
