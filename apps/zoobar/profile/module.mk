# profile: shows profiles.  libgumbo reads their markup.
$(eval $(call static_service,profile,$(addprefix apps/zoobar/profile/,profile.c markup.c),\
	$(addprefix apps/zoobar/api/,profile person bank),-lgumbo))
