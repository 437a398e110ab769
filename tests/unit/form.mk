$(eval $(call unit_test,form,tests/unit/test_form.c apps/zoobar/dynamic/form.c))
