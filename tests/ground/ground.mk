# The ground: a real Kubernetes with a real Galera and a real S3 on this machine.
# Included by the Makefile at the root of the repository.

GROUND_FOLDER := $(dir $(lastword $(MAKEFILE_LIST)))
GROUND_CACHE ?= /var/cache/mariadb-backup-ground
export GROUND_CACHE
GROUND := $(GROUND_CACHE)/bin/ground

AGENT_FOLDER ?= target/agent
GROUND_SERIES ?= 10.11

# Rebuilt by Go's own judgement, which takes well under a second.
.PHONY: ground-program
ground-program:
	@mkdir -p $(GROUND_CACHE)/bin
	@cd $(GROUND_FOLDER) && go build -o $(GROUND_CACHE)/ground.next ./cmd/ground && mv -f $(GROUND_CACHE)/ground.next $(GROUND)

# Prints one line for a shell to evaluate: eval "$$(make -s ground)"
.PHONY: ground
ground: ground-program ## Bring the real cluster up (again: does nothing); prints one line to eval
	@$(GROUND) up --series $(GROUND_SERIES)

.PHONY: ground-down
ground-down: ground-program ## Take it down without a trace
	@$(GROUND) down

# Brings the compiled agent and plugin into the ground; prints the image.
.PHONY: agent
agent: ground-program $(CARGO_AGENT) ## Bring a new build of agent and plugin into the running cluster
	@$(GROUND) agent --binary $(AGENT_FOLDER)/mariadb-backup-agent --plugin $(AGENT_FOLDER)/kubectl-mariadb_backup
