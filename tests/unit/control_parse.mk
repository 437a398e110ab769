$(eval $(call unit_test,control_parse,tests/unit/test_control_parse.c hostd/control_parse.c hostd/rules.c rpc/base/err.c,))
