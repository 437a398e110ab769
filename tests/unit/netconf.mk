$(eval $(call unit_test,netconf,tests/unit/test_netconf.c netconf/netlink.c netconf/link.c netconf/filter.c rpc/base/err.c,-lnftnl -lmnl -lnl-3))
