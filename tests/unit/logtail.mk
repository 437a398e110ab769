$(eval $(call unit_test,logtail,tests/unit/test_logtail.c hostd/logtail.c hostd/lastlog.c rpc/base/err.c,-ljansson))
