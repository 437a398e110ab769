$(eval $(call unit_test,markup,tests/unit/test_markup.c apps/zoobar/profile/markup.c,-lgumbo))
