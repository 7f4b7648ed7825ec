# Two commands do everything on a fresh Debian machine with Rust:
#
#   make demo   build, start a real Asterisk with phones and a CRM, and show salara at work
#   make test   all tests, on real Asterisks 22 (PJSIP) and 16 (chan_sip)
#
# Nothing is installed into the system but a C linker where there is none (make prerequisites);
# Asterisk is unpacked below target/.

CARGO ?= cargo
export CLIPPY_CONF_DIR = $(CURDIR)/tests/lint
RELEASE = target/release/salara

.PHONY: all demo test check format lint docs size bench prerequisites clean

all: release

.PHONY: release
release: prerequisites
	$(CARGO) build --release --locked

demo: prerequisites
	$(CARGO) build --release --locked --bin salara --example demo
	@$(CARGO) run --release --quiet --locked --example demo

test: prerequisites
	$(CARGO) test --locked

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

# rustc links with a C compiler and TLS brings some C along; both are one package on Debian.
prerequisites:
	@command -v $(CARGO) >/dev/null || { echo "cargo is wanted: install Rust first" >&2; exit 1; }
	@command -v cc >/dev/null || { \
		echo "a C compiler is wanted: installing gcc"; \
		if [ "$$(id -u)" = 0 ]; then apt-get update -q && apt-get install -qy gcc libc6-dev; \
		else sudo apt-get update -q && sudo apt-get install -qy gcc libc6-dev; fi; }

clean:
	$(CARGO) clean
