# The pages with the test's own services behind the stubs; messages and templates are made first.
PAGES_TEST_PROTOS := apps/echo/echo $(addprefix apps/zoobar/api/,web auth bank person profile)
$(B)/san/tests/unit/test_pages.o $(B)/san/apps/zoobar/dynamic/pages.o: | $(patsubst %,$(B)/gen/%.rpc.h,$(PAGES_TEST_PROTOS))
$(eval $(call unit_test,pages,tests/unit/test_pages.c \
	$(addprefix apps/zoobar/dynamic/,pages.c cookie.c form.c out.c) rpc/base/err.c \
	$(patsubst %,$(B)/obj/gen/%.pb-c.o,$(PAGES_TEST_PROTOS)),-lprotobuf-c))
