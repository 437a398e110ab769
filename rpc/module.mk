# rpc: librpc.a (linked into every service), librpcbase.a (into everything), and the stub generator.

RPCBASE_SOURCES := rpc/base/err.c rpc/base/log.c
$(eval $(call static_archive,librpcbase.a,$(RPCBASE_SOURCES)))

RPC_SOURCES := rpc/status.c rpc/timer.c rpc/frame.c rpc/codec.c rpc/fibre.c rpc/contract.c rpc/ring.c rpc/task.c rpc/conn.c \
	rpc/listener.c rpc/link.c rpc/operator.c rpc/server.c rpc/client.c rpc/stream.c rpc/worker.c rpc/notes.c rpc/main.c
$(eval $(call static_archive,librpc.a,$(RPC_SOURCES) $(RPCBASE_SOURCES)))
