# Two commands do everything on a fresh Debian machine with Rust:
#
#   make demo   build, start a real Asterisk with phones and a CRM, and show salara at work
#   make test   all tests, on real Asterisks 22 (PJSIP) and 16 (chan_sip)
#
# Into the system goes only what is missing of a C linker and, for the tests, of TOOLS below;
# Asterisk is unpacked below target/. What `make install` is for goes there too.

CARGO ?= cargo
export CLIPPY_CONF_DIR = $(CURDIR)/tests/lint
RELEASE = target/release/salara

# What cannot stand in Cargo.toml; cross/no-unwind.ld says what it is good for.
SMALL = -C link-arg=-Wl,--no-eh-frame-hdr,-T,cross/no-unwind.ld

# $(call install,PACKAGES): by root, or by who may become it.
install = $$([ "$$(id -u)" = 0 ] || echo sudo) sh -c "apt-get update -q && apt-get install -qy $(1)"

# $(call want,TOOLS): installs those that are missing. A name with a colon: the command and its
# Debian package.
want = missing=; for tool in $(1); do \
		command -v $${tool%:*} >/dev/null || missing="$$missing $${tool\#*:}"; done; \
	[ -z "$$missing" ] || { echo "wanted:$$missing: installing"; $(call install,$$missing); }

.PHONY: all install demo test test-notls test-long check format lint docs size bench cross cross-ci \
	cross-all packages prerequisites clean

all: release

.PHONY: release
release: prerequisites
	$(CARGO) rustc --release --locked --bin salara -- $(SMALL)

# Into the system, or below DESTDIR for a package. A salara.conf that is there stays as it is.
PREFIX ?= /usr/local
SHARE = $(DESTDIR)$(PREFIX)/share
install: $(RELEASE)
	install -D -m 755 $(RELEASE) $(DESTDIR)$(PREFIX)/sbin/salara
	[ -e $(DESTDIR)/etc/asterisk/salara.conf ] || \
		install -D -m 640 salara.conf $(DESTDIR)/etc/asterisk/salara.conf
	install -d $(DESTDIR)$(PREFIX)/lib/systemd/system $(SHARE)/bash-completion/completions
	sed 's|/usr/sbin/|$(PREFIX)/sbin/|' cross/systemd/salara.service \
		>$(DESTDIR)$(PREFIX)/lib/systemd/system/salara.service
	$(RELEASE) completion bash >$(SHARE)/bash-completion/completions/salara
	install -D -m 644 cross/man/salara.8 $(SHARE)/man/man8/salara.8
	install -D -m 644 cross/man/salara.conf.5 $(SHARE)/man/man5/salara.conf.5

$(RELEASE):
	$(MAKE) release

demo: release
	$(CARGO) build --release --locked --example demo
	@$(CARGO) run --release --quiet --locked --example demo

test: prerequisites test-tools
	$(CARGO) test --locked

# The build without TLS, by what differs in it: who speaks HTTP to the CRM.
test-notls: prerequisites
	$(CARGO) test --locked --no-default-features --lib --test crm --test config --test daemon \
		--test replay --test callers

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
	$(CARGO) clippy --locked --no-default-features --all-targets -- -D warnings

docs: prerequisites
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps --document-private-items
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps --document-private-items \
		--no-default-features

# The binary's size against its ceiling, and the memory it takes when idle.
size: release
	tests/size $(RELEASE)

# Static binaries of cross/targets, into target/dist; T=mips builds one, T='mips armv7' two.
# The compiler and all else comes into CROSS_CACHE, about 300 MB to fetch: see cross/README.md.
T ?= all
cross: prerequisites cross-tools
	cross/build $(T)

# Those that CI builds, runs, packs and installs each time: the largest, a 32-bit and a big-endian
# one; and the smallest, without TLS, is held against its ceiling.
CI_TARGETS = x86_64 armv7 mips
cross-ci: prerequisites test-tools cross-tools
	cross/build $(CI_TARGETS)
	cross/check $(CI_TARGETS)
	packages=$$(cross/package $(CI_TARGETS)) && cross/check-package $$packages
	CROSS_NOTLS=1 cross/build x86_64

# Before a release: all of them, built, run and packed, and the smallest, without TLS; and the
# library's own tests with 32 bits and with the other order of bytes.
cross-all: prerequisites test-tools cross-tools
	cross/build all
	CROSS_NOTLS=1 cross/build x86_64
	cross/check all
	CROSS_NOTLS=1 cross/check x86_64
	cross/unit armv7 mips
	packages=$$(cross/package all) && cross/check-package $$packages

# .deb, .ipk and what an .apk is made of, of what is in target/dist.
packages:
	cross/package $(T)

# Ratios side by side in one run: machines are noisy, and so is this one.
bench: release
	$(CARGO) run --release --quiet --manifest-path tests/bench/Cargo.toml \
		--target-dir target/bench

# The README's examples are run as they stand, and what is read by other programs is held against
# these.
TOOLS = curl python3 strace shellcheck mandoc man:man-db systemd-analyze:systemd
.PHONY: test-tools
test-tools:
	@$(call want,$(TOOLS))

# All else the cross builds fetch themselves. Debian's python3 can make no virtual environment
# without the package of that name.
.PHONY: cross-tools
cross-tools:
	@$(call want,curl file python3 readelf:binutils)
	@python3 -c 'import ensurepip' 2>/dev/null || { \
		echo "wanted: python3-venv: installing"; $(call install,python3-venv); }

# rustc links with a C compiler and TLS brings some C along; both are one package on Debian.
prerequisites:
	@command -v $(CARGO) >/dev/null || { echo "cargo is wanted: install Rust first" >&2; exit 1; }
	@command -v cc >/dev/null || { \
		echo "a C compiler is wanted: installing gcc"; $(call install,gcc libc6-dev); }

clean:
	$(CARGO) clean
