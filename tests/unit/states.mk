$(eval $(call unit_test,states,tests/unit/test_states.c hostd/states.c,))
