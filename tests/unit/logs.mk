$(eval $(call unit_test,logs,tests/unit/test_logs.c initsvc/logs.c,))
