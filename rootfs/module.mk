# rootfs: what this folder builds.
