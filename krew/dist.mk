# What is handed out: `make dist`. Included by the Makefile at the root of the repository.
#
# The same commit gives the same bytes: everything is packed twice, and compared.

DIST := target/dist
VERSION := $(shell sed -n '/^version = /{s/.*"\(.*\)"/\1/p;q}' Cargo.toml)

# What runs pull when no setting names an image; see MARIADB_BACKUP_AGENT_IMAGE.
AGENT_IMAGE := ghcr.io/mariadb-backup/agent:$(VERSION)

.PHONY: dist pack
dist: binaries ground-program ## What is handed out, into target/dist: krew archive and manifest, agent image, SBOM, sums
	@tests/prerequisites.sh jq:jq
	@$(MAKE) pack DIST=$(DIST)
	@$(MAKE) pack DIST=$(DIST).again
	@diff --recursive --brief $(DIST) $(DIST).again
	@rm -r $(DIST).again
	@cd $(DIST) && sha256sum --quiet --check SHA256SUMS && jq --exit-status '.components | length > 0' *.cdx.json >/dev/null
	@ls -l $(DIST)

# Packs the binaries that are there. URL is where the archive will be fetched from.
pack: export SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct)
pack:
	@rm -rf $(DIST) && mkdir -p $(DIST)
	@krew/pack.sh $(AGENT_FOLDER)/kubectl-mariadb_backup $(DIST)
	@$(GROUND) image --binary $(AGENT_FOLDER)/mariadb-backup-agent --reference $(AGENT_IMAGE) \
	  --output $(DIST)/mariadb-backup-agent_v$(VERSION)_linux_amd64.oci.tar
	@cargo metadata --format-version 1 --locked --filter-platform $(AGENT_TARGET) | \
	  jq --sort-keys --arg time "$$SOURCE_DATE_EPOCH" --rawfile lock Cargo.lock --from-file krew/sbom.jq \
	  >$(DIST)/mariadb-backup_v$(VERSION).cdx.json
	@cd $(DIST) && sha256sum -- * >SHA256SUMS.partial && mv SHA256SUMS.partial SHA256SUMS
