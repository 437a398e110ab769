# hostd: what this folder builds.
