# Two commands do everything on a fresh Debian machine with Rust:
#
#   make demo   build, start a real Asterisk with phones and a CRM, and show salara at work
#   make test   all tests, on real Asterisks 22 (PJSIP) and 16 (chan_sip)
#
# Into the system goes only what is missing of a C linker and, for the tests, curl and python3;
# Asterisk is unpacked below target/.

CARGO ?= cargo
export CLIPPY_CONF_DIR = $(CURDIR)/tests/lint
RELEASE = target/release/salara

# What cannot stand in Cargo.toml; cross/no-unwind.ld says what it is good for.
SMALL = -C link-arg=-Wl,--no-eh-frame-hdr,-T,cross/no-unwind.ld

# $(call install,PACKAGES): by root, or by who may become it.
install = $$([ "$$(id -u)" = 0 ] || echo sudo) sh -c "apt-get update -q && apt-get install -qy $(1)"

.PHONY: all demo test test-long check format lint docs size bench prerequisites clean

all: release

.PHONY: release
release: prerequisites
	$(CARGO) rustc --release --locked --bin salara -- $(SMALL)

demo: release
	$(CARGO) build --release --locked --example demo
	@$(CARGO) run --release --quiet --locked --example demo

test: prerequisites test-tools
	$(CARGO) test --locked

# The same for as long as it takes: more worlds, more kills, longer outages. SALARA_LONG is read by
# the tests themselves.
test-long: prerequisites test-tools
	SALARA_LONG=1 $(CARGO) test --locked

# What must hold for every commit.
check: format lint test docs

format:
	$(CARGO) fmt --check

lint: prerequisites
	$(CARGO) clippy --locked --all-targets -- -D warnings

docs: prerequisites
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps --document-private-items

# The binary's size against its ceiling, and the memory it takes when idle.
size: release
	tests/size $(RELEASE)

# Ratios side by side in one run: machines are noisy, and so is this one.
bench: release
	$(CARGO) run --release --quiet --manifest-path tests/bench/Cargo.toml \
		--target-dir target/bench

# The README's examples are run as they stand: they use these.
.PHONY: test-tools
test-tools:
	@for tool in curl python3; do \
		command -v $$tool >/dev/null || missing="$$missing $$tool"; done; \
	[ -z "$$missing" ] || { echo "the tests want:$$missing: installing"; $(call install,$$missing); }

# rustc links with a C compiler and TLS brings some C along; both are one package on Debian.
prerequisites:
	@command -v $(CARGO) >/dev/null || { echo "cargo is wanted: install Rust first" >&2; exit 1; }
	@command -v cc >/dev/null || { \
		echo "a C compiler is wanted: installing gcc"; $(call install,gcc libc6-dev); }

clean:
	$(CARGO) clean
