$(eval $(call unit_test,process_list,tests/unit/test_process_list.c hostd/plan.c hostd/plan_print.c hostd/filter.c $(MANIFEST_SOURCES),-ljansson -lseccomp))
