$(eval $(call unit_test,plan,tests/unit/test_plan.c hostd/plan.c hostd/plan_print.c hostd/filter.c $(MANIFEST_SOURCES),-ljansson -lseccomp))
