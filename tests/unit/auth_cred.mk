$(eval $(call unit_test,auth_cred,tests/unit/test_auth_cred.c apps/zoobar/auth/cred.c apps/zoobar/auth/secret.c \
	apps/zoobar/db/db.c apps/zoobar/db/text.c rpc/base/err.c,-lsqlite3 -lcrypto -lpthread))
