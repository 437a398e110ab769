# person: user profiles.  Asks auth, and so is linked with auth's stubs too.
include apps/zoobar/db/db.mk
$(eval $(call static_service,person,apps/zoobar/person/person.c apps/zoobar/person/people.c apps/zoobar/api/session.c \
	$(DB_STATIC_SOURCES),apps/zoobar/api/person apps/zoobar/api/auth,$(DB_STATIC_LIBRARIES)))
