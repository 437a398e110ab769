# netconf: what this folder builds.  Programs that use it link -lnftnl -lmnl -lnl-3.
NETCONF_SOURCES := netconf/netlink.c netconf/link.c netconf/filter.c
$(patsubst %.c,$(B)/obj/%.o,$(NETCONF_SOURCES)) $(patsubst %.c,$(B)/san/%.o,$(NETCONF_SOURCES)): OBJ_CFLAGS += -I/usr/include/libnl3
$(eval $(call static_archive,libnetconf.a,$(NETCONF_SOURCES)))
