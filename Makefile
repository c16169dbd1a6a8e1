# Holdfast's build. `make help` says it all.
#
# A filter is a folder of processors/ with a main.c that declares `const struct processor <name>` (_ for -): the build finds it.

BUILD ?= build
CC := gcc
PYTHON := /usr/bin/python3
CLANG = $(lastword $(sort $(wildcard /usr/bin/clang-[0-9][0-9])))
# Of one version on every machine: another one lays out otherwise.
CLANG_FORMAT ?= build/venv/bin/clang-format
# make V=1 shows the commands.
Q := $(if $(V),,@)

# Another librdkafka than the system's, where scripts/setup --librdkafka brought one: chosen when a binary starts, not when it is built.
RPATH ?= -Wl,-rpath,$(CURDIR)/build/librdkafka
PACKAGES := rdkafka avro-c libmicrohttpd gnutls libcurl jansson libcrypto
WARNINGS := -Wall -Wextra -Wconversion -Wswitch-enum -Wshadow -Wstrict-prototypes -Werror \
  -Wno-format-truncation # messages are bounded on purpose
# -isystem: warnings are for our code, not for the libraries' headers.
CPPFLAGS += -D_GNU_SOURCE -Iprocessors -I$(BUILD) $(patsubst -I%,-isystem %,$(shell pkg-config --cflags $(PACKAGES) 2>/dev/null))
CFLAGS ?= -O2 -g
ALL_CFLAGS = -std=c11 $(WARNINGS) -fno-omit-frame-pointer $(CFLAGS) $(EXTRA_CFLAGS)
# The sanitizers have an allocator of their own.
ALLOCATOR := $(if $(findstring -fsanitize,$(EXTRA_CFLAGS)),,-ljemalloc)
LDLIBS := $(LDFLAGS) $(RPATH) $(EXTRA_OBJECTS) $(ALLOCATOR) -lrocksdb $(shell pkg-config --libs $(PACKAGES) 2>/dev/null) -lxxhash -lpthread

FILTERS := $(patsubst processors/%/main.c,%,$(filter-out processors/holdfast/%,$(wildcard processors/*/main.c)))
MAIN := processors/runtime/main/filter.c
RUNTIME_SOURCES := $(filter-out $(MAIN),$(wildcard processors/runtime/*/*.c))
RUNTIME := $(patsubst %.c,$(BUILD)/%.o,$(RUNTIME_SOURCES)) $(BUILD)/gen/records.o
AUDITOR_SOURCES := $(wildcard processors/auditor/*.c)
AUDITOR := $(patsubst %.c,$(BUILD)/%.o,$(AUDITOR_SOURCES))
filter_objects = $(patsubst %.c,$(BUILD)/%.o,$(wildcard processors/$(1)/*.c))
ALL_FILTER_OBJECTS := $(foreach f,$(FILTERS),$(call filter_objects,$(f)))
symbol = $(subst -,_,$(1))

BINARIES := $(addprefix $(BUILD)/bin/,$(FILTERS) holdfast gateway)
UNIT_TESTS := $(patsubst tests/unit/%.c,$(BUILD)/tests/%,$(wildcard tests/unit/test_*.c))

.PHONY: all help new test-build tsan unit fuzz fuzz-build fuzz-targets chaos sim sim-mutants check schema-check schema-release format format-check layering clean
.DEFAULT_GOAL := all
.SECONDARY:

all: $(BINARIES) $(BUILD)/bin/provider-simulator ## build every binary into build/bin

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | sort | expand -t 18
	@echo; echo "scripts/setup installs what is needed, scripts/demo shows it, scripts/test runs every test."

# ---- what is generated ----

$(BUILD)/gen/.made: scripts/codegen $(wildcard avro/*.avsc avro/history/*.avsc tests/unit/avro/*.avsc tests/unit/avro/history/*.avsc)
	@mkdir -p $(BUILD)/gen
	$(PYTHON) scripts/codegen generate avro $(BUILD)/gen
	$(PYTHON) scripts/codegen generate tests/unit/avro $(BUILD)/gen --prefix sample
	@touch $@

$(BUILD)/gen/records.c $(BUILD)/gen/sample_records.c: $(BUILD)/gen/.made

$(BUILD)/gen/processors.c: $(foreach f,$(FILTERS),processors/$(f)/main.c) Makefile
	@mkdir -p $(BUILD)/gen
	@{ echo '/* Made by the Makefile: every filter that the build found. */'; echo '#include "runtime/contract/processors.h"'; \
	   for f in $(call symbol,$(FILTERS)); do echo "extern const struct processor $$f;"; done; \
	   echo 'const struct processor *const all_processors[] = {'; for f in $(call symbol,$(FILTERS)); do echo "  &$$f,"; done; echo '  NULL};'; } > $@

# ---- what is compiled ----

$(BUILD)/%.o: %.c $(BUILD)/gen/.made
	@mkdir -p $(dir $@)
	$(Q)$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -MMD -MP -c $< -o $@

$(BUILD)/gen/%.o: $(BUILD)/gen/%.c $(BUILD)/gen/.made
	$(Q)$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -c $< -o $@

$(BUILD)/filters/%.o: $(MAIN) $(BUILD)/gen/.made
	@mkdir -p $(dir $@)
	$(Q)$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -DHOLDFAST_PROCESSOR=$(call symbol,$*) -c $< -o $@

define filter_rule
$(BUILD)/bin/$(1): $(BUILD)/filters/$(1).o $(call filter_objects,$(1)) $(RUNTIME)
	@mkdir -p $$(dir $$@)
	$(Q)$(CC) $(ALL_CFLAGS) $$^ $(LDLIBS) -o $$@
endef
$(foreach f,$(FILTERS),$(eval $(call filter_rule,$(f))))

# What the gateway checks tokens with: `holdfast token` does the same.
TOKENS := $(addprefix $(BUILD)/processors/gateway/,base64url.o key.o key_source.o keys.o jwk.o token.o token_cache.o token_sign.o)
$(BUILD)/bin/holdfast: $(call filter_objects,holdfast) $(TOKENS) $(AUDITOR) $(ALL_FILTER_OBJECTS) $(BUILD)/gen/processors.o $(RUNTIME)
	@mkdir -p $(dir $@)
	$(Q)$(CC) $(ALL_CFLAGS) $^ $(LDLIBS) -o $@

GATEWAY := $(call filter_objects,gateway)
# The entrance's own rules of a valid command.
$(BUILD)/bin/gateway: $(GATEWAY) $(BUILD)/processors/reserve-requested/checks.o $(RUNTIME)
	@mkdir -p $(dir $@)
	$(Q)$(CC) $(ALL_CFLAGS) $^ $(LDLIBS) -o $@

$(BUILD)/bin/store-work: $(RUNTIME)
$(BUILD)/bin/pass-through: $(addprefix $(BUILD)/processors/runtime/base/,arena.o read_line.o settings.o)
$(BUILD)/bin/pass-through $(BUILD)/bin/store-work $(BUILD)/bin/http-load: $(BUILD)/bin/%: $(BUILD)/tests/bench/%.o
	@mkdir -p $(dir $@)
	$(Q)$(CC) $(ALL_CFLAGS) $^ $(LDLIBS) -o $@

PROVIDER := $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/lib/provider*.c))
$(BUILD)/bin/provider-simulator: $(PROVIDER)
	@mkdir -p $(dir $@)
	$(Q)$(CC) $(ALL_CFLAGS) $^ $(LDLIBS) -o $@

TEST_SUPPORT := $(filter-out $(PROVIDER),$(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/lib/*.c)))
BOOK_READER := $(addprefix $(BUILD)/processors/holdfast/,audit_provider.o view_client.o)
FILE_READERS := $(addprefix $(BUILD)/processors/holdfast/,topic_file.o script.o wait.o)
$(BUILD)/tests/%: $(BUILD)/tests/unit/%.o $(TEST_SUPPORT) $(AUDITOR) $(BOOK_READER) $(FILE_READERS) $(filter-out %/gateway.o,$(GATEWAY)) $(BUILD)/gen/sample_records.o $(BUILD)/gen/processors.o $(ALL_FILTER_OBJECTS) $(RUNTIME)
	$(Q)$(CC) $(ALL_CFLAGS) $^ $(LDLIBS) -lcmocka -o $@

# The simulator has objects of its own: the deliberately broken versions are compiled into them alone.
SIM_SOURCES := $(wildcard tests/sim/*.c) $(AUDITOR_SOURCES) $(filter-out processors/runtime/kafka/% processors/runtime/main/% processors/runtime/http/%,$(RUNTIME_SOURCES)) processors/runtime/http/calls.c \
  $(foreach f,$(FILTERS),$(wildcard processors/$(f)/*.c))
SIM_OBJECTS := $(patsubst %.c,$(BUILD)/sim/%.o,$(SIM_SOURCES)) $(BUILD)/gen/records.o $(BUILD)/gen/processors.o
$(BUILD)/sim/%.o: %.c $(BUILD)/gen/.made
	@mkdir -p $(dir $@)
	$(Q)$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -DHOLDFAST_MUTANTS -MMD -MP -c $< -o $@

$(BUILD)/bin/sim: $(SIM_OBJECTS)
	@mkdir -p $(dir $@)
	$(Q)$(CC) $(ALL_CFLAGS) $^ $(LDLIBS) -o $@

# ---- what is tested ----

SANITIZERS := -fsanitize=address,undefined -fno-sanitize-recover=all
TEST_BUILD = $(MAKE) BUILD=build/test CFLAGS="-O1 -g" EXTRA_CFLAGS="$(SANITIZERS) -DHOLDFAST_FAILPOINTS"

test-build: ## build binaries and unit tests with sanitizers and failpoints into build/test
	+$(TEST_BUILD) all unit-tests build/test/bin/sim

unit-tests: $(UNIT_TESTS)

# Data races: the unit tests that have threads, and every filter on a real broker, with views under load.
TSAN_OBJECT := build/tsan/tests/tsan/c11_threads.o
TSAN_TESTS := $(addprefix build/tsan/tests/test_,store keys limits gateway)
TSAN_BUILD = $(MAKE) BUILD=build/tsan CFLAGS="-O1 -g" EXTRA_CFLAGS="-fsanitize=thread -DHOLDFAST_FAILPOINTS"
TSAN_RUN := TSAN_OPTIONS="suppressions=$(CURDIR)/tests/tsan/suppressions exitcode=66"
tsan: ## look for data races with ThreadSanitizer
	+$(TSAN_BUILD) $(TSAN_OBJECT)
	+$(TSAN_BUILD) EXTRA_OBJECTS=$(TSAN_OBJECT) all $(TSAN_TESTS)
	for test in $(TSAN_TESTS); do $(TSAN_RUN) $$test || exit 1; done
	$(TSAN_RUN) HOLDFAST_BIN=build/tsan/bin $(BUILD)/venv/bin/python -m pytest -q --tb=short -p no:cacheprovider tests/kafka/test_views.py tests/kafka/test_stories.py tests/kafka/test_gateway.py

# make sim SEED=4711 tells the story of one seed; make sim SEEDS=100000 FROM=1 JOBS=2 runs many. MUTANT=name breaks it first.
SEEDS ?= 1000
FROM ?= 1
JOBS ?= 2
sim: $(BUILD)/bin/sim ## simulate: SEED=n one with its story, SEEDS=n many
	@$< $(if $(SEED),--seed $(SEED),--seeds $(SEEDS) --from $(FROM) --jobs $(JOBS)) $(if $(MUTANT),--mutant $(MUTANT))

sim-mutants: $(BUILD)/bin/sim ## each deliberately broken version must be found
	@$< --mutants --seeds $(if $(filter command line,$(origin SEEDS)),$(SEEDS),10000) --from $(FROM) --jobs $(JOBS) $(if $(MUTANT),--mutant $(MUTANT))

# The long form of the tests that harm a pipeline on a real broker; SEED=n repeats the choices.
MINUTES ?= 10
chaos: all test-build ## harm pipelines on a real broker for so long: MINUTES=n
	CHAOS_SECONDS=$$(($(MINUTES) * 60)) $(if $(SEED),SEED=$(SEED)) $(BUILD)/venv/bin/python -m pytest -q -s --tb=short -p no:cacheprovider tests/kafka/test_chaos.py tests/kafka/test_proof.py tests/kafka/test_damage.py

# Everything again with clang, which has libFuzzer; its warnings are not gcc's.
FUZZ_TARGETS := $(patsubst tests/fuzz/%.c,$(BUILD)/bin/fuzz-%,$(wildcard tests/fuzz/*.c))
$(BUILD)/bin/fuzz-%: $(BUILD)/tests/fuzz/%.o $(TOKENS) $(AUDITOR) $(BOOK_READER) $(FILE_READERS) $(BUILD)/gen/processors.o $(ALL_FILTER_OBJECTS) $(RUNTIME)
	@mkdir -p $(dir $@)
	$(Q)$(CC) $(ALL_CFLAGS) -fsanitize=fuzzer $^ $(LDLIBS) -o $@

fuzz-targets: $(FUZZ_TARGETS)

fuzz-build:
	+@$(MAKE) -s BUILD=build/fuzz CC=$(CLANG) WARNINGS=-Wno-everything CFLAGS="-O1 -g" \
	  EXTRA_CFLAGS="-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all" fuzz-targets

# SECONDS is the shell's own variable: only what is said here counts.
fuzz: fuzz-build ## feed every decoder of what comes from outside with damaged bytes: SECONDS=n for each
	@scripts/fuzz $(if $(filter command line,$(origin SECONDS)),$(SECONDS),10)

new: ## a new filter that builds, runs and is tested: make new NAME=waitlist
	@scripts/new $(NAME)

unit: test-build ## run the unit tests and the tests on the log in memory
	scripts/test unit

check: schema-check format-check layering ## what can be checked without running anything

schema-check: ## refuse schemas that would make a past version unreadable
	$(PYTHON) scripts/codegen check avro

schema-release: ## add changed schemas to avro/history as their next version
	$(PYTHON) scripts/codegen release avro

SOURCES := $(wildcard processors/*/*.[ch] processors/runtime/*/*.[ch] tests/*/*.[ch])
format: ## lay the sources out with clang-format
	@$(CLANG_FORMAT) -i $(SOURCES)

format-check:
	@$(CLANG_FORMAT) --dry-run -Werror $(SOURCES)

layering: $(ALL_FILTER_OBJECTS) ## refuse includes and calls that cross the layers
	@scripts/layering includes
	@scripts/layering calls $(BUILD) $(FILTERS)

include deploy/package.mk

clean: ## remove what was built, not the broker's jars
	rm -rf $(BUILD)/bin $(BUILD)/gen $(BUILD)/processors $(BUILD)/filters $(BUILD)/tests $(BUILD)/test $(BUILD)/fuzz $(BUILD)/tsan $(BUILD)/release $(BUILD)/deb $(BUILD)/image

-include $(shell find $(BUILD)/processors $(BUILD)/filters $(BUILD)/sim $(BUILD)/tests -name '*.d' 2>/dev/null)
