# The one front door, the same for people and CI. `make help` lists it.
#
# Everything works from a fresh clone on a Debian 12 machine as root: what is missing is installed
# first (see tests/prerequisites.sh). Results are kept outside the clone, keyed by content, so the
# second time is fast.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# The oldest C library the agent must run with: it is put into server images older than this machine.
AGENT_TARGET := x86_64-unknown-linux-gnu
AGENT_GLIBC := 2.28
AGENT_OUT := target/$(AGENT_TARGET)/release

CARGO_AGENT := binaries
include tests/ground/ground.mk

.PHONY: help prerequisites binaries demo test check lint ring12 ring3 ring3-core bench

help: ## Show this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

prerequisites:
	@tests/prerequisites.sh

# Where this clone lies and who builds must not be seen in what is built.
REMAP = --remap-path-prefix=$(CURDIR)=. --remap-path-prefix=$${CARGO_HOME:-$$HOME/.cargo}=cargo

binaries: prerequisites ## Plugin and agent for release, linked against an old C library
	@RUSTFLAGS="$${RUSTFLAGS:-} $(REMAP)" cargo zigbuild --quiet --locked --release --bins --target $(AGENT_TARGET).$(AGENT_GLIBC)
	@mkdir -p target/agent
	@install -m 755 -t target/agent $(AGENT_OUT)/mariadb-backup-agent $(AGENT_OUT)/kubectl-mariadb_backup

include krew/dist.mk

# On a cluster of one's own only by `make demo KUBECONFIG=…`: one that is exported for daily work is none of this.
demo: prerequisites ground-program ## From nothing: a real cluster, a real backup, verified and booted; leaves the cluster up
	@OWN_CLUSTER="$(if $(filter command line,$(origin KUBECONFIG)),$(KUBECONFIG))" tests/demo.sh

check: lint ring12 ## The fast loop: format, lints, docs, licences, rings 1 and 2

lint: prerequisites
	cargo fmt --check
	cargo clippy --quiet --locked --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --quiet --locked --no-deps --document-private-items
	# Also of crates that are built on other systems only, which no build here has fetched.
	@cargo fetch --quiet --locked
	cargo deny --offline --log-level error check bans licenses sources

# The release agent is what ring 2 runs in an old server image.
RING2 = GROUND_ROOTFS="$$($(GROUND) rootfs --series 10.11)" GROUND_ROOTFS_OLD="$$($(GROUND) rootfs --series 10.5)" \
  GROUND_S3="$$($(GROUND) s3-program)" \
  AGENT_RELEASE="$(CURDIR)/target/agent/mariadb-backup-agent" GROUND_KUBECTL="$(dir $(GROUND))kubectl"

ring12: binaries ground-rootfs
	$(RING2) cargo test --locked --lib --bins --test it
	cargo test --quiet --locked --doc

test: ## All three rings, from a fresh machine; of ring 3 its core
	@$(MAKE) check
	@$(MAKE) dist
	@$(MAKE) ring3-core
	@$(MAKE) ground-test
	@$(MAKE) ground-down

# The root file systems ring 2 and the benchmark run real servers in, and ring 2's S3 server.
.PHONY: ground-rootfs
ground-rootfs: prerequisites ground-program
	@$(GROUND) rootfs --series 10.11 >/dev/null
	@$(GROUND) rootfs --series 10.5 >/dev/null
	@$(GROUND) s3-program >/dev/null

.PHONY: ground-test
ground-test: prerequisites ground-program
	cd tests/ground && go vet ./cmd/ground/... ./internal/... && go test ./cmd/ground/... ./internal/...
	$(GROUND) selftest

ring3-core: agent ground ## The part of ring 3 that fits into every run: the tests named in tests/e2e/core.txt
	eval "$$($(GROUND) env)" && cargo test --locked --test e2e -- --test-threads=1 $$(cat tests/e2e/core.txt)

ring3: agent ground ## All of ring 3, which takes hours: promises and every fault on the real cluster
	eval "$$($(GROUND) env)" && cargo test --locked --test e2e -- --test-threads=1

bench: binaries ground-rootfs ## Time and memory as ratios to the raw tools and the original, in one run
	@tests/prerequisites.sh rclone:rclone
	@$(GROUND) build --series 10.11 >/dev/null
	@$(RING2) cargo bench --quiet --locked --profile dev --bench backup
