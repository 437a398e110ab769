$(eval $(call unit_test,closure,tests/unit/test_closure.c hostd/closure.c hostd/elf.c hostd/rules.c rpc/base/err.c,))
