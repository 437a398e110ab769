# apps: the services.  Each application folder has a file of its own.
include $(wildcard apps/*/module.mk apps/zoobar/*/module.mk)
