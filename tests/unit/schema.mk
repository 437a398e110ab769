$(eval $(call unit_test,schema,tests/unit/test_schema.c hostd/schema.c rpc/base/err.c,))
