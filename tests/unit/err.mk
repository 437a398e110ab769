$(eval $(call unit_test,err,tests/unit/test_err.c rpc/base/err.c initsvc/stage.c,))
