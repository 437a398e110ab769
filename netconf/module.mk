# netconf: what this folder builds.
