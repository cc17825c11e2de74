# The agent's image for a registry of your own. Build the binary first: make binaries
#
#   docker build -f images/agent.Dockerfile -t registry.example/mariadb-backup-agent:0.1.0 .
#
# Anything with glibc 2.28 or newer will do as a base; the ground builds the same from Debian
# packages without docker (tests/ground).
FROM gcr.io/distroless/cc-debian12:nonroot
COPY target/agent/mariadb-backup-agent /usr/local/bin/mariadb-backup-agent
ENTRYPOINT ["/usr/local/bin/mariadb-backup-agent"]
