#!/usr/bin/env bash
# The whole story on one screen: a real cluster from nothing, a real backup under load, verified.
#
# With KUBECONFIG given by the caller (`make demo KUBECONFIG=…`) it runs on that cluster instead and
# brings nothing up. The ground is left running either way.
set -euo pipefail
cd "$(dirname "$0")/.."

# Bold only where somebody looks at it.
if [ -t 1 ]; then bold=$'\033[1m' plain=$'\033[0m'; else bold='' plain=''; fi
chapter() { printf '\n%s== %s%s\n' "$bold" "$*" "$plain"; }
show() { printf '$ %s\n' "$*"; "$@"; }

namespace=${NAMESPACE:-demo}
own_cluster=${KUBECONFIG:-}

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
  image=(--agent-image "$(ground agent --print)")
else
  chapter "Your own cluster, namespace $namespace"
  image=()
fi

show kubectl get nodes
show kubectl get pods -n "$namespace" -l application=mariadb -o wide

chapter "Clients are writing to it"
if [ -z "$own_cluster" ]; then
  show ground ledger status --namespace "$namespace"
fi

chapter "Rights and settings, once per cluster"
show kubectl mariadb-backup setup -n "$namespace" "${image[@]}"

chapter "A full backup: one replica leaves flow control, is copied in a single pass, and comes back"
show kubectl mariadb-backup create -n "$namespace"

chapter "What there is"
show kubectl mariadb-backup list -n "$namespace"

chapter "Every byte against the catalogue (the hash ConfigMap) and the manifest"
show kubectl mariadb-backup verify --deep -n "$namespace"

chapter "And the cluster: every replica Synced and Ready, nothing owed"
show kubectl get pods -n "$namespace" -l application=mariadb
if [ -z "$own_cluster" ]; then
  for n in 0 1 2; do
    printf 'mariadb-server-%s: ' "$n"
    ground sql --namespace "$namespace" "mariadb-server-$n" \
      "SELECT GROUP_CONCAT(VARIABLE_NAME, '=', VARIABLE_VALUE ORDER BY 1 SEPARATOR ' ') FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME IN ('WSREP_LOCAL_STATE_COMMENT', 'WSREP_DESYNC_COUNT', 'WSREP_CLUSTER_SIZE')" | tail -n 1
  done
  show ground ledger status --namespace "$namespace"
  chapter "The cluster stays up. To play with it:"
  echo '  eval "$(make -s ground)"'
  echo "  kubectl mariadb-backup --help"
  echo "  ground fault list        # what can be broken, and how to mend it"
  echo "  make ground-down         # and it is gone without a trace"
fi
