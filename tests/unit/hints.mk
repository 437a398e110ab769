$(eval $(call unit_test,hints,tests/unit/test_hints.c hostd/hints.c rpc/base/err.c,))
