# SPDX-License-Identifier: MIT
# Tollgate. `make help` lists the targets; every variable with ?= may be set from outside.

PREFIX     ?= /usr/local
DESTDIR    ?=
BINDIR     ?= $(PREFIX)/bin
LIBDIR     ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
MANDIR     ?= $(PREFIX)/share/man
UNITDIR    ?= $(PREFIX)/lib/systemd/user
CC         ?= cc
AR         ?= ar
INSTALL    ?= install
PKG_CONFIG ?= pkg-config
BUILD      ?= build
SAN        ?=
WERROR     ?=
V          ?=

VERSION    := $(shell sed -n 's/^\#define TG_VERSION "\(.*\)"/\1/p' include/tollgate.h)
SOMAJOR    := 0
Q          := $(if $(V),,@)
SAY         = $(if $(V),@:,@printf '  %-5s %s\n')

OPTIMISE   ?= -O2 -g
CFLAGS     ?= $(OPTIMISE)
WARNINGS   := -Wall -Wextra -Wshadow -Wmissing-prototypes -Wconversion $(if $(WERROR),-Werror)
HARDEN     := -fstack-protector-strong -fPIC $(if $(SAN),,-D_FORTIFY_SOURCE=2)
SANFLAGS   := $(if $(SAN),-fsanitize=$(SAN) -fno-sanitize-recover=all -fno-omit-frame-pointer)
TG_CFLAGS   = -std=c11 -D_GNU_SOURCE $(WARNINGS) $(HARDEN) $(SANFLAGS) -Iinclude -MMD -MP
TG_LDFLAGS  = $(SANFLAGS) -Wl,-z,relro,-z,now -Wl,--as-needed

# ------------------------------------------------------------------ packages
# msgpack-c is called msgpack by Debian 12 and msgpack-c by newer releases.
MSGPACK        := $(shell $(PKG_CONFIG) --exists msgpack-c 2>/dev/null && echo msgpack-c || echo msgpack)
EMITTER_PKGS   := libzmq $(MSGPACK)
COLLECTOR_PKGS := libzmq $(MSGPACK) sqlite3 libmicrohttpd yaml-0.1 jansson glib-2.0 libcurl
CLI_PKGS       := libcurl jansson
TEST_PKGS      := cmocka
ALL_PKGS       := $(sort $(EMITTER_PKGS) $(COLLECTOR_PKGS) $(CLI_PKGS) $(TEST_PKGS))
DEBIAN_PKGS    := gcc make pkg-config libzmq3-dev libmsgpack-dev libsqlite3-dev libmicrohttpd-dev \
	libcmocka-dev libyaml-dev libjansson-dev libcurl4-openssl-dev libglib2.0-dev curl
TEST_DEBIAN_PKGS := python3 python3-yaml python3-aiosmtpd nodejs npm ca-certificates openssl
CI_DEBIAN_PKGS := clang clang-tidy libclang-rt-14-dev cppcheck mandoc valgrind spin
# What pkg-config misses is said in one line, before any compiler is started.
need = $(if $(shell $(PKG_CONFIG) --exists $(1) || echo no),$(error missing: $(foreach p,$(1),$(shell \
	$(PKG_CONFIG) --exists $(p) || echo $(p))) (see pkg-config). On Debian and Ubuntu: make deps))
pc_cflags = $(call need,$(1))$(shell $(PKG_CONFIG) --cflags $(1))
pc_libs   = $(shell $(PKG_CONFIG) --libs $(1))

# ------------------------------------------------------------------- sources
CORE_SRC      := $(filter-out $(addprefix emitter/,sender.c delivery.c stream.c report.c wire.c ship.c \
	governor.c link.c list.c asks.c frame.c),$(wildcard emitter/*.c))
EMITTER_SRC   := $(filter-out emitter/ship.c,$(wildcard emitter/*.c))
COLLECTOR_SRC := $(filter-out collector/daemon/main.c,$(wildcard $(addprefix collector/,$(addsuffix /*.c,base govern alarm daemon ingest writer query http))))
CLI_SRC       := $(wildcard collector/cli/*.c)
MIGRATIONS    := $(sort $(wildcard schema/sql/*.sql))
obj = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))

LIBS  := $(addprefix $(BUILD)/,libtollgate.a libtollgate-core.a libtollgate.so.$(SOMAJOR) libtollgate.so)
PROGS := $(addprefix $(BUILD)/,tollgated tollgate tollgate-ship example-gateway)
TESTS := $(patsubst tests/%.c,$(BUILD)/tests/%,$(wildcard tests/emitter/test_*.c tests/collector/test_*.c))
TOOLS := $(patsubst tests/%.c,$(BUILD)/%,$(wildcard tests/tools/*.c tests/bench/*.c))

.DELETE_ON_ERROR:
.PHONY: all deps run demo test check test-asan test-tsan test-openclaw fuzz model bench lint format install uninstall clean help tests
.DEFAULT_GOAL := all

## all: libraries, daemon, command line
all: $(LIBS) $(PROGS)

# ------------------------------------------------------------------- objects
$(BUILD)/obj/emitter/%.o: emitter/%.c
	$(SAY) CC $<
	@mkdir -p $(@D)
	$(Q)$(CC) $(TG_CFLAGS) $(call pc_cflags,$(EMITTER_PKGS)) -fvisibility=hidden $(CFLAGS) -c $< -o $@

$(BUILD)/obj/collector/%.o: collector/%.c
	$(SAY) CC $<
	@mkdir -p $(@D)
	$(Q)$(CC) $(TG_CFLAGS) $(call pc_cflags,$(COLLECTOR_PKGS)) $(CFLAGS) -c $< -o $@

$(BUILD)/obj/tests/%.o: tests/%.c
	$(SAY) CC $<
	@mkdir -p $(@D)
	$(Q)$(CC) $(TG_CFLAGS) -I. $(call pc_cflags,$(ALL_PKGS)) $(CFLAGS) -c $< -o $@

# The migrations travel inside the binary: one C string each, numbered by file name.
$(BUILD)/gen/migrations.c: $(MIGRATIONS) Makefile
	@mkdir -p $(@D)
	@{ echo '#include "collector/writer/migrations.h"'; echo 'const char *const migrations[] = {'; \
	   for f in $(MIGRATIONS); do sed -e 's/\\/\\\\/g' -e 's/"/\\"/g' -e 's/^/"/' -e 's/$$/\\n"/' $$f; echo ','; done; \
	   echo '};'; echo 'const int migrations_count = sizeof migrations / sizeof *migrations;'; } > $@

# So does the price list, byte for byte: an assembler takes it in at once.
$(BUILD)/obj/gen/prices.o: schema/prices.json Makefile
	$(SAY) AS $<
	@mkdir -p $(@D)
	$(Q)printf '%s\n' '.section .rodata' '.global prices_text' '.type prices_text, @object' 'prices_text:' \
		'.incbin "$<"' '.byte 0' '.size prices_text, . - prices_text' '.section .note.GNU-stack,"",%progbits' | \
		$(CC) -x assembler -c - -o $@

$(BUILD)/obj/gen/%.o: $(BUILD)/gen/%.c
	$(SAY) CC $<
	@mkdir -p $(@D)
	$(Q)$(CC) $(TG_CFLAGS) -I. $(CFLAGS) -c $< -o $@

# ----------------------------------------------------------------- libraries
$(BUILD)/libtollgate.a: $(call obj,$(EMITTER_SRC))
$(BUILD)/libtollgate-core.a: $(patsubst emitter/%.c,$(BUILD)/obj/core/%.o,$(CORE_SRC))
$(BUILD)/libcollector.a: $(call obj,$(COLLECTOR_SRC)) $(BUILD)/obj/gen/migrations.o $(BUILD)/obj/gen/prices.o
$(BUILD)/%.a:
	$(SAY) AR $@
	@rm -f $@
	$(Q)$(AR) rcs $@ $^

# The core is the same code without the sender.
$(BUILD)/obj/core/%.o: emitter/%.c
	$(SAY) CC "$< (core)"
	@mkdir -p $(@D)
	$(Q)$(CC) $(TG_CFLAGS) $(call pc_cflags,$(MSGPACK)) -DTG_CORE -fvisibility=hidden $(CFLAGS) -c $< -o $@

$(BUILD)/libtollgate.so.$(SOMAJOR): $(call obj,$(EMITTER_SRC)) emitter/tollgate.map
	$(SAY) LD $@
	$(Q)$(CC) -shared -Wl,-soname,libtollgate.so.$(SOMAJOR) -Wl,-z,nodelete -Wl,--version-script=emitter/tollgate.map \
		$(TG_LDFLAGS) $(LDFLAGS) $(filter %.o,$^) -o $@ $(call pc_libs,$(EMITTER_PKGS)) -lpthread

$(BUILD)/libtollgate.so: $(BUILD)/libtollgate.so.$(SOMAJOR)
	$(Q)ln -sf $(<F) $@

# ------------------------------------------------------------------ programs
LINK = $(Q)$(CC) -pie $(TG_LDFLAGS) $(LDFLAGS) $(filter %.o %.a,$^) -o $@

$(BUILD)/tollgated: $(BUILD)/obj/collector/daemon/main.o $(BUILD)/libcollector.a
	$(SAY) LD $@
	$(LINK) $(call pc_libs,$(COLLECTOR_PKGS)) -lpthread

$(BUILD)/tollgate: $(call obj,$(CLI_SRC)) $(BUILD)/libcollector.a
	$(SAY) LD $@
	$(LINK) $(call pc_libs,$(CLI_PKGS) $(COLLECTOR_PKGS)) -lpthread

$(BUILD)/tollgate-ship: $(BUILD)/obj/emitter/ship.o $(BUILD)/libtollgate.a
	$(SAY) LD $@
	$(LINK) $(call pc_libs,$(EMITTER_PKGS)) -lpthread

$(BUILD)/example-gateway: $(BUILD)/obj/emitter/examples/gateway.o $(BUILD)/libtollgate.a
	$(SAY) LD $@
	$(LINK) $(call pc_libs,$(EMITTER_PKGS)) -lpthread

$(BUILD)/tests/emitter/%: $(BUILD)/obj/tests/emitter/%.o $(BUILD)/libtollgate.a
	$(SAY) LD $@
	@mkdir -p $(@D)
	$(LINK) $(call pc_libs,$(EMITTER_PKGS) cmocka jansson) -lpthread

$(BUILD)/tests/collector/%: $(BUILD)/obj/tests/collector/%.o $(BUILD)/libcollector.a
	$(SAY) LD $@
	@mkdir -p $(@D)
	$(LINK) $(call pc_libs,$(COLLECTOR_PKGS) cmocka) -lpthread

# These ask the collector's own code.
$(BUILD)/tools/price_costs $(BUILD)/tools/payload: $(BUILD)/tools/%: $(BUILD)/obj/tests/tools/%.o $(BUILD)/libcollector.a
	$(SAY) LD $@
	@mkdir -p $(@D)
	$(LINK) $(call pc_libs,$(COLLECTOR_PKGS)) -lpthread
$(BUILD)/tools/% $(BUILD)/bench/%: TOOL_LIBS = $(call pc_libs,$(EMITTER_PKGS) sqlite3 libcurl jansson glib-2.0)
$(BUILD)/tools/%: $(BUILD)/obj/tests/tools/%.o $(BUILD)/libtollgate.a
	$(SAY) LD $@
	@mkdir -p $(@D)
	$(LINK) $(TOOL_LIBS) -lpthread
$(BUILD)/bench/%: $(BUILD)/obj/tests/bench/%.o $(BUILD)/libtollgate.a
	$(SAY) LD $@
	@mkdir -p $(@D)
	$(LINK) $(TOOL_LIBS) -lpthread

# The Node.js addon; NODE_INCLUDE names the directory of node_api.h where it is not Debian's libnode-dev.
NODE_INCLUDE ?=
$(BUILD)/tollgate.node: $(wildcard emitter/bindings/node/*.[ch]) schema/event.def include/tollgate.h $(BUILD)/libtollgate.a
	$(SAY) LD $@
	$(Q)emitter/bindings/node/build.sh $(BUILD) $(NODE_INCLUDE)

## addon: the Node.js addon, for the OpenClaw plugin (needs the headers of node)
addon: $(BUILD)/tollgate.node
.PHONY: addon

tests: all $(TESTS) $(TOOLS)

# ------------------------------------------------------------------- running
## run: start the collector on the embedded default and print its address
run: $(BUILD)/tollgated
	$(Q)exec $(BUILD)/tollgated

## demo: collector and example gateway under a lifelike load; prints what to look at
demo: deps
	$(Q)$(MAKE) --no-print-directory demo-programs
	$(Q)BUILD=$(BUILD) tests/demo.sh

demo-programs: $(addprefix $(BUILD)/,tollgated tollgate example-gateway)
	@:
.PHONY: demo-programs

## test: build everything and run every test but the real gateway's
test: deps deps-test
	$(Q)$(MAKE) --no-print-directory tests
	$(Q)$(MAKE) --no-print-directory check

# What `test` and the sanitizer runs share: run what is built.
check: tests
	$(Q)BUILD=$(BUILD) python3 tests/run.py $(TEST_ARGS)

## test-asan: the tests under address and undefined behaviour sanitizers, then the fuzzers for a moment
test-asan: deps deps-test
	$(Q)$(MAKE) --no-print-directory BUILD=build/asan SAN=address,undefined OPTIMISE="-O1 -g" TEST_ARGS="--sanitizer" tests check
	$(Q)$(MAKE) --no-print-directory fuzz

## test-tsan: the tests under the thread sanitizer
test-tsan: deps deps-test
	$(Q)$(MAKE) --no-print-directory BUILD=build/tsan SAN=thread OPTIMISE="-O1 -g" TEST_ARGS="--sanitizer" tests check

## fuzz: each fuzzer for FUZZ_SECONDS (30), with clang
FUZZ_SECONDS ?= 30
fuzz: deps-ci
	$(Q)BUILD=build/fuzz FUZZ_SECONDS=$(FUZZ_SECONDS) tests/fuzz/run.sh

## model: search the reservation protocol with spin, and wrong ones with it
model: deps-ci
	$(Q)BUILD=build/model CC=$(CC) tests/model/run.sh

## test-openclaw: install the real OpenClaw gateway under build/, drive it, compare
test-openclaw: deps deps-test
	$(Q)$(MAKE) --no-print-directory all
	$(Q)BUILD=$(BUILD) tests/openclaw/run.sh

## bench: print every figure with its ratio to a limit measured in the same run
bench: deps deps-test
	$(Q)$(MAKE) --no-print-directory tests
	$(Q)BUILD=$(BUILD) tests/bench/run.sh

## prices: make schema/prices.json again from the npm package that schema/prices.mjs names
prices: deps-test
	$(Q)node schema/prices.mjs
.PHONY: prices

## lint: cppcheck, clang-tidy, formatting, man pages
C_FILES = $(wildcard include/*.h schema/*.h emitter/*.[ch] emitter/*/*.[ch] emitter/*/*/*.[ch] collector/*/*.[ch] tests/*/*.[ch])
lint: deps-ci $(BUILD)/gen/migrations.c
	$(Q)clang-format --dry-run -Werror $(filter-out include/tollgate.h,$(C_FILES))
	$(Q)cppcheck --quiet --error-exitcode=1 --inline-suppr --std=c11 --enable=warning,performance,portability \
		--suppress=missingIncludeSystem -D_GNU_SOURCE -DNAPI_GNUC_MAJOR -Iinclude emitter collector
	$(Q)printf '%s\n' $(filter-out emitter/bindings/%,$(filter %.c,$(filter emitter/% collector/%,$(C_FILES)))) | \
		xargs -P "$$(nproc)" -n 8 sh -c 'clang-tidy --quiet "$$@" -- -std=c11 -D_GNU_SOURCE -Iinclude \
		$(call pc_cflags,$(COLLECTOR_PKGS)) 2>/dev/null' clang-tidy
	$(Q)mandoc -T lint -W warning $(wildcard collector/man/*.[1-8] emitter/*.[1-8])
	@echo "lint: nothing found"

## format: apply .clang-format
format: deps-ci
	$(Q)clang-format -i $(filter-out include/tollgate.h,$(C_FILES))

# -------------------------------------------------------------- dependencies
# $(call deb,packages): install what is missing, quietly and quickly when nothing is.
SUDO := $(if $(filter 0,$(shell id -u)),,sudo)
deb = @missing=; for p in $(1); do dpkg-query -W -f '$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || missing="$$missing $$p"; done; \
	if [ -n "$$missing" ]; then echo "installing:$$missing"; \
	$(SUDO) apt-get update -qq && DEBIAN_FRONTEND=noninteractive $(SUDO) apt-get install -y -qq --no-install-recommends $$missing >/dev/null; fi
# $(call unpack,program): of Debian's package of that name, for the tests only: installed it would start a service.
UNPACKED := build/debian
unpack = @command -v $(1) >/dev/null || [ -x $(UNPACKED)/usr/bin/$(1) ] || { echo "unpacking: $(1)"; \
	mkdir -p $(UNPACKED) && cd $(UNPACKED) && \
	{ apt-get download -qq $(1) 2>/dev/null || { $(SUDO) apt-get update -qq && apt-get download -qq $(1); }; } && \
	dpkg-deb -x $(1)_*.deb . && rm $(1)_*.deb; }
# A node or npm that did not come from Debian will do.
HAVE_NODE := $(shell command -v npm >/dev/null && command -v node >/dev/null && echo yes)

## deps: install what is missing on Debian and Ubuntu
deps:
	$(call deb,$(DEBIAN_PKGS))
.PHONY: deps-test deps-ci
deps-test:
	$(call deb,$(if $(HAVE_NODE),$(filter-out nodejs npm,$(TEST_DEBIAN_PKGS)),$(TEST_DEBIAN_PKGS)))
	$(call unpack,prometheus)
	$(call unpack,webhook)
deps-ci: deps
	$(call deb,$(CI_DEBIAN_PKGS) clang-format)

# ------------------------------------------------------------------- install
## install: into DESTDIR and PREFIX; uninstall undoes it
install: all
	$(INSTALL) -d $(addprefix $(DESTDIR),$(BINDIR) $(LIBDIR)/pkgconfig $(INCLUDEDIR) $(MANDIR)/man1 $(MANDIR)/man3 $(MANDIR)/man5 $(MANDIR)/man8 $(UNITDIR))
	$(INSTALL) -m 755 $(addprefix $(BUILD)/,tollgated tollgate tollgate-ship) $(DESTDIR)$(BINDIR)
	$(INSTALL) -m 644 $(BUILD)/libtollgate.a $(BUILD)/libtollgate-core.a $(DESTDIR)$(LIBDIR)
	$(INSTALL) -m 755 $(BUILD)/libtollgate.so.$(SOMAJOR) $(DESTDIR)$(LIBDIR)
	ln -sf libtollgate.so.$(SOMAJOR) $(DESTDIR)$(LIBDIR)/libtollgate.so
	sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@LIBDIR@|$(LIBDIR)|' -e 's|@INCLUDEDIR@|$(INCLUDEDIR)|' \
		-e 's|@VERSION@|$(VERSION)|' -e 's|@MSGPACK_LIBS@|$(call pc_libs,$(MSGPACK))|' \
		emitter/tollgate.pc.in > $(DESTDIR)$(LIBDIR)/pkgconfig/tollgate.pc
	chmod 644 $(DESTDIR)$(LIBDIR)/pkgconfig/tollgate.pc
	$(INSTALL) -m 644 include/tollgate.h $(DESTDIR)$(INCLUDEDIR)
	for m in $(MANPAGES); do $(INSTALL) -m 644 $$m $(DESTDIR)$(MANDIR)/man$${m##*.}; done
	sed 's|/usr/local/bin|$(BINDIR)|' collector/daemon/tollgated.service > $(DESTDIR)$(UNITDIR)/tollgated.service
	chmod 644 $(DESTDIR)$(UNITDIR)/tollgated.service
	[ ! -f $(BUILD)/tollgate.node ] || { $(INSTALL) -d $(DESTDIR)$(LIBDIR)/tollgate && \
		$(INSTALL) -m 755 $(BUILD)/tollgate.node $(DESTDIR)$(LIBDIR)/tollgate; }
MANPAGES = $(wildcard collector/man/*.[1-8] emitter/*.[1-8])

## uninstall: remove what install put there
uninstall:
	rm -f $(DESTDIR)$(LIBDIR)/tollgate/tollgate.node $(addprefix $(DESTDIR)$(BINDIR)/,tollgated tollgate tollgate-ship) \
		$(addprefix $(DESTDIR)$(LIBDIR)/,libtollgate.a libtollgate-core.a libtollgate.so.$(SOMAJOR) libtollgate.so pkgconfig/tollgate.pc) \
		$(DESTDIR)$(INCLUDEDIR)/tollgate.h $(DESTDIR)$(UNITDIR)/tollgated.service \
		$(foreach m,$(MANPAGES),$(DESTDIR)$(MANDIR)/man$(patsubst .%,%,$(suffix $(m)))/$(notdir $(m)))

## clean: remove build/
clean:
	rm -rf build

## help: this list
help:
	@sed -n 's/^## \([a-z-]*\): /  \1|/p' Makefile | awk -F'|' '{printf "%-16s %s\n", $$1, $$2}'

-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)
