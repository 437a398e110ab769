$(eval $(call unit_test,cgroup,tests/unit/test_cgroup.c hostd/cgroup.c rpc/base/err.c,))
