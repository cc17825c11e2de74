# The agent's image for a registry of your own. Build the binary first: make binaries
#
#   docker build -f images/agent.Dockerfile -t registry.example/mariadb-backup-agent:0.1.0 .
#
# Anything with glibc 2.28 or newer will do as a base. `make dist` writes an image of Debian packages
# without docker, the very one that the ground uses, as an OCI archive; see docs/install.md.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY target/agent/mariadb-backup-agent /usr/local/bin/mariadb-backup-agent
ENTRYPOINT ["/usr/local/bin/mariadb-backup-agent"]
