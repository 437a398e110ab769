# db: what the services with a database share.  Included by each of them; names only, no rules.
DB_SOURCES := $(addprefix apps/zoobar/db/,db.c text.c)
# Linked statically: noload.c says why.
DB_STATIC_SOURCES := $(DB_SOURCES) apps/zoobar/db/noload.c
DB_STATIC_LIBRARIES := -Wl,--wrap=dlopen -lsqlite3 -lpthread -lm
