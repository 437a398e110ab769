# dynamic: the pages.  Templates become C at build time, so the service holds neither files nor a template parser.
DYNAMIC_DIR := apps/zoobar/dynamic
DYNAMIC_TEMPLATES := $(wildcard $(DYNAMIC_DIR)/templates/*.html $(DYNAMIC_DIR)/templates/*.js)
DYNAMIC_PROTOS := apps/echo/echo $(addprefix apps/zoobar/api/,web auth bank person profile)

$(B)/tools/template_gen: $(addprefix $(B)/obj/,$(DYNAMIC_DIR)/template_gen.o $(DYNAMIC_DIR)/template.o rpc/base/err.o)
	@mkdir -p $(@D)
	$(CC) -o $@ $^
$(B)/gen/$(DYNAMIC_DIR)/templates.h: $(B)/tools/template_gen $(DYNAMIC_TEMPLATES)
	@mkdir -p $(@D)
	$< $@ $(DYNAMIC_TEMPLATES)
$(B)/obj/$(DYNAMIC_DIR)/pages.o $(B)/san/$(DYNAMIC_DIR)/pages.o: $(B)/gen/$(DYNAMIC_DIR)/templates.h

$(eval $(call static_service,dynamic,$(addprefix $(DYNAMIC_DIR)/,dynamic.c pages.c cookie.c form.c out.c),\
	$(DYNAMIC_PROTOS)))
