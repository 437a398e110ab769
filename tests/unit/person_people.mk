$(eval $(call unit_test,person_people,tests/unit/test_person_people.c apps/zoobar/person/people.c apps/zoobar/db/db.c \
	apps/zoobar/db/text.c rpc/base/err.c,-lsqlite3))
