$(eval $(call unit_test,filter,tests/unit/test_filter.c hostd/filter.c hostd/plan.c rpc/base/err.c,-lseccomp))
