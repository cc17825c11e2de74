#!/usr/bin/env bash
# The whole story on one screen: a real cluster from nothing, real backups under load, and a table that is
# dropped by mistake and comes back.
#
# With `make demo KUBECONFIG=…`, which makes OWN_CLUSTER of it, it runs on that cluster instead and brings
# nothing up. The ground is left running either way.
set -euo pipefail
cd "$(dirname "$0")/.."

# Bold only where somebody looks at it.
if [ -t 1 ]; then bold=$'\033[1m' plain=$'\033[0m'; else bold='' plain=''; fi
chapter() { printf '\n%s== %s%s\n' "$bold" "$*" "$plain"; }
show() { printf '$ %s\n' "$*"; "$@"; }

namespace=${NAMESPACE:-demo}
own_cluster=${OWN_CLUSTER:-}

if [ -z "$own_cluster" ]; then
  chapter "A Kubernetes with three nodes, a Galera with three replicas, an S3 server: all real, all on this machine"
  make agent >/dev/null
  eval "$(make -s ground)"
  # A second demo finds the first one's data, and perhaps its writer.
  loaded=$(ground sql --namespace "$namespace" mariadb-server-0 \
    "SELECT COALESCE(SUM(data_length), 0) >> 20 FROM information_schema.tables WHERE table_schema = 'shop'" | tail -n 1)
  [ "$loaded" -ge 150 ] || ground load --namespace "$namespace" --mb 200
  ground ledger start --namespace "$namespace" || true
  trap 'ground ledger stop --namespace "$namespace" >/dev/null' EXIT
  image=(--agent-image "$(ground agent --print)" --bootstrap grastate)
  stores=(--store both --s3-endpoint http://s3.demo:8333 --s3-bucket backups --s3-secret s3-credentials)
else
  export KUBECONFIG=$own_cluster
  chapter "Your own cluster, namespace $namespace"
  image=()
  stores=()
fi

show kubectl get nodes
show kubectl get pods -n "$namespace" -l application=mariadb -o wide

chapter "Clients are writing to it"
if [ -z "$own_cluster" ]; then
  show ground ledger status --namespace "$namespace"
fi

chapter "Rights and settings, once per cluster: backups go to a volume, and to S3 in the same pass"
show kubectl mariadb-backup setup -n "$namespace" "${image[@]}" "${stores[@]}"

chapter "A full backup: one replica leaves flow control, is copied in a single pass, and comes back"
show kubectl mariadb-backup create -n "$namespace"

chapter "An incremental one: what changed since, on proof that the data is the same"
show kubectl mariadb-backup create -n "$namespace" --type incremental

chapter "What there is"
show kubectl mariadb-backup list -n "$namespace"

chapter "Every byte in every store against the catalogue (the hash ConfigMap) and the manifests"
show kubectl mariadb-backup verify -n "$namespace" --deep

chapter "And what a backup is for: the chain is unpacked, prepared and booted in a throwaway pod, now and not on the worst day"
show kubectl mariadb-backup drill -n "$namespace"

if [ -z "$own_cluster" ]; then
  chapter "A mistake: a table is dropped, on all replicas at once"
  show ground sql --namespace "$namespace" mariadb-server-0 "SELECT COUNT(*) FROM shop.orders"
  show ground sql --namespace "$namespace" mariadb-server-0 "DROP TABLE shop.orders"
  chapter "The last backup is booted once more, and only then the cluster is stopped and set back to it"
  backup=$(kubectl mariadb-backup list -n "$namespace" -o name | tail -n 1)
  show kubectl mariadb-backup restore "$backup" -n "$namespace" --yes
  chapter "The table is back, on every replica"
  for replica in 0 1 2; do
    show ground sql --namespace "$namespace" "mariadb-server-$replica" "SELECT COUNT(*) FROM shop.orders"
  done
fi

chapter "One page for whoever is on call"
show kubectl mariadb-backup status -n "$namespace"

if [ -z "$own_cluster" ]; then
  chapter "And what the clients wrote meanwhile"
  show ground ledger status --namespace "$namespace"
  chapter "The cluster stays up. To play with it:"
  echo '  eval "$(make -s ground)"'
  echo "  kubectl mariadb-backup --help"
  echo "  ground fault list        # what can be broken, and how to mend it"
  echo "  make ground-down         # and it is gone without a trace"
fi
