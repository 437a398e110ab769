$(eval $(call unit_test,cookie,tests/unit/test_cookie.c apps/zoobar/dynamic/cookie.c apps/zoobar/dynamic/form.c apps/zoobar/dynamic/out.c))
