$(eval $(call unit_test,template,tests/unit/test_template.c apps/zoobar/dynamic/template.c apps/zoobar/dynamic/out.c rpc/base/err.c))
