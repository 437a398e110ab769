# auth: credentials.
include apps/zoobar/db/db.mk
$(eval $(call static_service,auth,$(addprefix apps/zoobar/auth/,auth.c cred.c secret.c) $(DB_STATIC_SOURCES),\
	apps/zoobar/api/auth,-lcrypto $(DB_STATIC_LIBRARIES)))
