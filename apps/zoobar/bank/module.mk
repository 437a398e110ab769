# bank: accounts and transfers.  Asks auth, and so is linked with auth's stubs too.
include apps/zoobar/db/db.mk
$(eval $(call static_service,bank,apps/zoobar/bank/bank.c apps/zoobar/bank/ledger.c apps/zoobar/api/session.c \
	$(DB_STATIC_SOURCES),apps/zoobar/api/bank apps/zoobar/api/auth,$(DB_STATIC_LIBRARIES)))
