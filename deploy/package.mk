# What leaves this folder: an installation, a Debian package, an image. Its objects are built apart, without a path of this folder in them.

PREFIX ?= /usr/local
VERSION := $(shell sed -n '1s/.*(\(.*\)).*/\1/p' deploy/debian/changelog)
export SOURCE_DATE_EPOCH ?= $(shell date -d "$$(sed -n 's/^ -- .*>  //p' deploy/debian/changelog | head -1)" +%s)
$(BUILD)/processors/holdfast/main.o: CPPFLAGS += -DHOLDFAST_VERSION='"$(VERSION)"'
$(BUILD)/processors/holdfast/main.o: deploy/debian/changelog
RELEASE := build/release
INSTALLED = $(DESTDIR)$(PREFIX)
LIBEXEC := libexec/holdfast
COMMANDS = $(shell $(RELEASE)/bin/holdfast --help | sed -n 's/^  \([a-z][a-z-]*\) .*/\1/p')
DAEMONS := $(FILTERS) gateway

.PHONY: release binaries manuals units install deb image manifests

binaries: $(BINARIES)

release: ## build binaries, manual pages and units for an installation into build/release
	+$(MAKE) BUILD=$(RELEASE) RPATH= EXTRA_CFLAGS="-ffile-prefix-map=$(CURDIR)=." binaries
	+$(MAKE) manuals units

# A page is the binary's own --help.
manual = help2man --no-info --no-discard-stderr --version-string=$(VERSION) --source="Holdfast $(VERSION)" --manual=Holdfast
manuals:
	@command -v help2man >/dev/null || { echo "make: manual pages need help2man (apt-get install help2man)" >&2; exit 69; }
	@rm -rf $(RELEASE)/man && mkdir -p $(RELEASE)/man
	@$(manual) --section=1 --name="the command line of the reservation pipeline" $(RELEASE)/bin/holdfast -o $(RELEASE)/man/holdfast.1
	@for command in $(COMMANDS); do \
	  $(manual) --section=1 --help-option="$$command --help" --name="$$($(RELEASE)/bin/holdfast --help | sed -n "s/^  $$command  *//p")" \
	    $(RELEASE)/bin/holdfast -o $(RELEASE)/man/holdfast-$$command.1 && sed -i "s/^\.TH HOLDFAST /.TH HOLDFAST-$$(echo $$command | tr a-z A-Z) /; s/^holdfast \\\\- /holdfast-$$command \\\\- /" $(RELEASE)/man/holdfast-$$command.1 || exit 1; done
	@for daemon in $(DAEMONS); do \
	  $(manual) --section=8 --name="$$($(RELEASE)/bin/$$daemon --help | sed -n '1s/^[^:]*: //p')" $(RELEASE)/bin/$$daemon -o $(RELEASE)/man/holdfast-$$daemon.8 && \
	    sed -i "s/^\.TH [^ ]* /.TH HOLDFAST-$$(echo $$daemon | tr a-z A-Z) /; s/^$$daemon \\\\- /holdfast-$$daemon \\\\- /" $(RELEASE)/man/holdfast-$$daemon.8 || exit 1; done

units:
	@mkdir -p $(RELEASE)/units && cp deploy/systemd/holdfast.target $(RELEASE)/units/
	@for daemon in $(DAEMONS); do \
	  [ $$daemon = gateway ] && source=deploy/systemd/gateway@.service.in || source=deploy/systemd/filter@.service.in; \
	  sed -e '/^@HARDENING@$$/{r deploy/systemd/hardening.in' -e 'd}' $$source | sed "s|@NAME@|$$daemon|g; s|@LIBEXEC@|$(PREFIX)/$(LIBEXEC)|; s|@SHARE@|$(PREFIX)/share/holdfast|" > $(RELEASE)/units/holdfast-$$daemon@.service; done

install: release ## install into $(DESTDIR)$(PREFIX)
	install -d $(addprefix $(INSTALLED)/,bin $(LIBEXEC) share/holdfast/topics share/holdfast/avro/history share/man/man1 share/man/man8 share/bash-completion/completions lib/systemd/system) $(DESTDIR)/etc/holdfast
	install -m 755 $(RELEASE)/bin/holdfast $(INSTALLED)/bin/
	install -m 755 $(addprefix $(RELEASE)/bin/,$(DAEMONS)) $(INSTALLED)/$(LIBEXEC)/
	install -m 644 topics/*.topic $(INSTALLED)/share/holdfast/topics/
	install -m 644 $(RELEASE)/gen/schemas.jsonl $(INSTALLED)/share/holdfast/
	install -m 644 avro/*.avsc $(INSTALLED)/share/holdfast/avro/
	install -m 644 avro/history/*.avsc $(INSTALLED)/share/holdfast/avro/history/
	install -m 644 $(RELEASE)/man/*.1 $(INSTALLED)/share/man/man1/
	install -m 644 $(RELEASE)/man/*.8 $(INSTALLED)/share/man/man8/
	install -m 644 deploy/completion/holdfast.bash $(INSTALLED)/share/bash-completion/completions/holdfast
	install -m 644 $(RELEASE)/units/* $(INSTALLED)/lib/systemd/system/
	[ -e $(DESTDIR)/etc/holdfast/holdfast.properties ] || install -m 644 deploy/systemd/holdfast.properties $(DESTDIR)/etc/holdfast/

# In a copy of what Git knows, as dpkg-buildpackage wants debian/ at the top.
deb: ## build a Debian package into build/deb
	@rm -rf build/deb && mkdir -p build/deb/holdfast-$(VERSION)
	@git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents -t build/deb/holdfast-$(VERSION)
	@cp -r deploy/debian build/deb/holdfast-$(VERSION)/debian
	cd build/deb/holdfast-$(VERSION) && dpkg-buildpackage --build=binary --no-sign

manifests: $(addprefix $(BUILD)/bin/,$(FILTERS)) ## make deploy/kubernetes anew from what the filters say of themselves
	build/venv/bin/python deploy/kubernetes/render.py

image: release ## build an OCI image into build/image
	$(PYTHON) deploy/image/make_image.py --version $(VERSION) --release $(RELEASE) --out build/image
