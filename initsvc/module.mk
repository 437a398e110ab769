# initsvc: what this folder builds.
