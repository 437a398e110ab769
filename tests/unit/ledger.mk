$(eval $(call unit_test,ledger,tests/unit/test_ledger.c hostd/ledger.c hostd/states.c hostd/rules.c rpc/base/err.c,))
