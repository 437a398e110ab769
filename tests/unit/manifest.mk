$(eval $(call unit_test,manifest,tests/unit/test_manifest.c hostd/plan.c hostd/plan_print.c hostd/filter.c hostd/confine.c $(MANIFEST_SOURCES),-ljansson -lseccomp))
