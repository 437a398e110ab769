# rootfs: the root of a service.  librootfs.a goes into hostd and into initsvc.

ROOTFS_SOURCES := rootfs/bind.c rootfs/enter.c rootfs/process.c
$(eval $(call static_archive,librootfs.a,$(ROOTFS_SOURCES)))
