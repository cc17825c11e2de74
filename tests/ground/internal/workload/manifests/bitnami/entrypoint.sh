#!/bin/bash
# Starts one replica as Bitnami's image does. It decides alone, by names and files:
#
#   a replica begins a cluster when it was told to, or when this is the first start of
#   its pod and the headless Service resolves to nobody else
#   a beginner without data makes new data, whatever other volumes hold
#   a beginner with data needs safe_to_bootstrap 1 in its grastate.dat
#   any other replica joins whoever the headless Service resolves to
#
# In an ordered StatefulSet only ordinal 0 is ever alone.
set -u

volume=/bitnami/mariadb
datadir=$volume/data
grastate=$datadir/grastate.dat
# Outlives the container, not the pod.
booted=/opt/bitnami/mariadb/.bootstrap/.bootstrap
server=(mariadbd --defaults-file=/etc/ground-config/server.cnf
  --wsrep-cluster-name="$MARIADB_GALERA_CLUSTER_NAME" --wsrep-node-name="$MY_POD_NAME" --wsrep-node-address="$MY_POD_IP")

# As process 1 this would otherwise be deaf to being told to end.
trap 'exit 143' TERM

say() { echo "$(date -u +%H:%M:%S) mariadb-galera: $*"; }
is_yes() { [[ ${1,,} = @(yes|true|1) ]]; }

# Prints the addresses of the other pods. The name resolves to every pod, this one
# among them; a new address takes a moment. Galera would take the first one only.
others() {
  local try name addresses
  name=${MARIADB_GALERA_CLUSTER_ADDRESS#*://}
  for try in 1 2; do
    addresses=$(getent ahostsv4 "$name" | awk '{print $1}' | sort -u)
    [ -z "$addresses" ] || break
    sleep 2
  done
  grep -vxF "$MY_POD_IP" <<<"$addresses" | paste -sd,
}

begins() {
  is_yes "${MARIADB_GALERA_CLUSTER_BOOTSTRAP:-no}" && return 0
  [ ! -e "$booted" ] && [ "$address" = gcomm:// ]
}

make_first_data() {
  say "making new data"
  find "$datadir" -mindepth 1 -delete
  mariadb-install-db --defaults-file=/etc/ground-config/server.cnf --skip-test-db --wsrep-cluster-address=gcomm:// >/tmp/install.log 2>&1 ||
    { cat /tmp/install.log; exit 1; }
  server+=(--init-file=/etc/ground-config/init.sql)
}

check_safe() {
  if is_yes "${MARIADB_GALERA_FORCE_SAFETOBOOTSTRAP:-no}"; then
    sed -i 's/^safe_to_bootstrap:.*/safe_to_bootstrap: 1/' "$grastate"
  fi
  grep -q '^safe_to_bootstrap: *1' "$grastate" && return
  say "it is not safe to begin a cluster here: grastate.dat has no safe_to_bootstrap 1; to do so nevertheless set MARIADB_GALERA_FORCE_SAFETOBOOTSTRAP=yes"
  exit 1
}

mkdir -p "$datadir"
# Alone and not the first start: the server itself then looks at safe_to_bootstrap.
address=gcomm://$(others)
if begins; then
  address=gcomm://
  if [ -d "$datadir/mysql" ]; then check_safe; else make_first_data; fi
fi
# The probes wait for this, as they do where init scripts are mounted.
touch "$volume/.user_scripts_initialized" "$booted"
say "starting with $address"
exec "${server[@]}" --wsrep-cluster-address="$address"
