$(eval $(call unit_test,bank_ledger,tests/unit/test_bank_ledger.c apps/zoobar/bank/ledger.c apps/zoobar/db/db.c \
	apps/zoobar/db/text.c rpc/base/err.c,-lsqlite3))
