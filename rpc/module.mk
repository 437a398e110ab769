# rpc: librpc.a (linked into every service), librpcbase.a (into everything), and the stub generator.

RPCBASE_SOURCES := rpc/base/err.c rpc/base/log.c
$(eval $(call static_archive,librpcbase.a,$(RPCBASE_SOURCES)))
