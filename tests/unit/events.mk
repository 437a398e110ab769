$(eval $(call unit_test,events,tests/unit/test_events.c hostd/events.c hostd/logtail.c rpc/base/err.c,-ljansson))
