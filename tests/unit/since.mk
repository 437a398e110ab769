$(eval $(call unit_test,since,tests/unit/test_since.c hostd/since.c,))
