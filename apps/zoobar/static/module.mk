# static: serves files that never change while it runs.
STATIC_SOURCES := apps/zoobar/static/static.c apps/zoobar/static/media.c
$(eval $(call static_service,static,$(STATIC_SOURCES),apps/zoobar/api/web))
