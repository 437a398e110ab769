$(eval $(call unit_test,toml_depth,tests/unit/test_toml_depth.c hostd/toml_depth.c,))
