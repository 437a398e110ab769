$(eval $(call unit_test,explain,tests/unit/test_explain.c hostd/explain.c $(MANIFEST_SOURCES),))
