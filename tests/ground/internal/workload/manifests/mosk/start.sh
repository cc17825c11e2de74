#!/bin/bash
# Starts one replica as openstack-helm does: the ConfigMap STATE_CONFIGMAP says where
# the cluster is in its life, and only who it names may start the cluster.
#
#   new, init  nobody has data; who made the ConfigMap makes the first data
#   live       join whoever is Ready; with nobody Ready, all tell how far their data
#              is, and the furthest becomes the reboot node
#   reboot     the reboot node starts the cluster, the others wait until it is Ready;
#              the first of them to join makes it live again
set -u
. "${0%/*}/api.sh"

me=$HOSTNAME
datadir=/var/lib/mysql
grastate=$datadir/grastate.dat
prefix=openstackhelm.openstack.org
state_map=$namespaced/configmaps/$STATE_CONFIGMAP
server=(mariadbd --defaults-file=/etc/ground-config/server.cnf
  --wsrep-node-name="$me.$DISCOVERY_DOMAIN" --wsrep-node-address="$POD_IP")
# Reports that are older say nothing about who waits now.
began=$(date -u +%FT%TZ)

# As process 1 this would otherwise be deaf to being told to end.
trap 'exit 143' TERM

is_fresh() { [ ! -d "$datadir/mysql" ]; }
saved() { sed -n "s/^$1: *//p" "$grastate" 2>/dev/null; }
save() { sed -i "s/^$1:.*/$1: $2/" "$grastate"; }

# Prints the ConfigMap; makes it when there is none. Who makes it is the leader.
state() {
  local code
  while true; do
    api GET "$state_map" && return
    code=$?
    [ $code != 4 ] || api POST "$namespaced/configmaps" application/json "{\"metadata\": {\"name\": \"$STATE_CONFIGMAP\",
      \"annotations\": {\"$prefix/cluster.state\": \"new\", \"$prefix/leader.node\": \"$me\", \"$prefix/reboot.node\": \"\"}}}" >/dev/null
    sleep 1
  done
}

annotation() { json '$_->{metadata}{annotations}{shift()}' "$prefix/$1"; }

set_state() {
  say "the cluster's state becomes $1"
  until merge "$state_map" "{\"metadata\": {\"annotations\": {\"$prefix/cluster.state\": \"$1\"}}}"; do sleep 1; done
}

# A Ready peer. One's own address may still be listed after one's own crash.
peer_is_ready() {
  api GET "$namespaced/endpoints/$DIRECT_SVC_NAME" |
    json 'grep { $_ ne $ARGV[0] } map { $_->{ip} } map { @{$_->{addresses} // []} } @{$_->{subsets} // []}' "$POD_IP" | grep -q .
}

# Galera takes the first address of a name only, which may be this one's own.
peer_addresses() { getent ahostsv4 "$DISCOVERY_DOMAIN" | awk -v port="$WSREP_PORT" '{print $1 ":" port}' | sort -u | grep -vxF "$POD_IP:$WSREP_PORT" | paste -sd,; }

names_history() { [[ $(saved uuid) == *[1-9a-f]* ]]; }

# After a crash the position is known to InnoDB only. The address only satisfies a
# check of the server's; no group is joined while recovering.
recover_position() {
  [ -f "$grastate" ] && [ "$(saved seqno)" = -1 ] || return 0
  "${server[@]}" --wsrep-cluster-address=gcomm:// --wsrep-recover --log-error=/tmp/recover.log >/dev/null 2>&1
  local seqno
  seqno=$(sed -n 's/.*Recovered position: .*://p' /tmp/recover.log | tail -n 1)
  say "recovered position ${seqno:-none}"
  save seqno "${seqno:--1}"
}

# Tells the others how far this one's data is; one without data never leads. One that was ended in the middle of a
# state transfer may be torn, and claims its donor's position: it is behind all who are as far.
report() {
  local seqno=none
  [ ! -s "$grastate" ] || seqno=$(saved seqno)
  names_history || [ "$seqno" = none ] || [ "$seqno" -lt 1 ] || seqno=$((seqno - 1)).5
  merge "$state_map" "{\"data\": {\"seqno.$me\": \"$seqno\", \"uuid.$me\": \"$(saved uuid)\",
    \"safe_to_bootstrap.$me\": \"$(saved safe_to_bootstrap)\", \"sample_time.$me\": \"$(date -u +%FT%TZ)\"}}"
}

# Prints who is furthest, the lowest ordinal on a tie; nobody before all have told.
# Which history a position belongs to is not asked: neither does openstack-helm.
furthest() {
  json 'my ($name, $replicas, $began) = @ARGV; my ($data, $best, $most) = ($_->{data} // {});
    for my $pod (map { "$name-$_" } 0 .. $replicas - 1) {
      return if ($data->{"sample_time.$pod"} // "") lt $began;
      my $seqno = $data->{"seqno.$pod"};
      next if $seqno eq "none";
      return if $seqno < 0;
      ($best, $most) = ($pod, $seqno) if !defined $best or $seqno > $most;
    }
    $best' "$POD_NAME_PREFIX" "$MARIADB_REPLICAS" "$began"
}

# Fails when somebody else has changed the ConfigMap since it was read.
become_reboot_node() {
  local version
  version=$(json '$_->{metadata}{resourceVersion}' <<<"$1")
  merge "$state_map" "{\"metadata\": {\"resourceVersion\": \"$version\",
    \"annotations\": {\"$prefix/cluster.state\": \"reboot\", \"$prefix/reboot.node\": \"$me\"}}}"
}

join() {
  local peers
  peers=$(peer_addresses)
  say "joining $peers"
  # Without an address it would begin a cluster of its own.
  [ -n "$peers" ] || exit 1
  exec "${server[@]}" --wsrep-cluster-address="gcomm://$peers"
}

start_cluster() {
  if [ ! -f "$grastate" ]; then
    say "this is the reboot node but there is no $grastate"
    exit 1
  fi
  recover_position
  save safe_to_bootstrap 1
  say "starting the cluster at $(saved uuid):$(saved seqno)"
  exec "${server[@]}" --wsrep-new-cluster --wsrep-cluster-address=gcomm://
}

make_first_data() {
  set_state init
  say "making the first data"
  # Not what a start that was cut short has left, but nothing of a live cluster either.
  find "$datadir" -mindepth 1 -maxdepth 1 ! -name lost+found -exec rm -rf {} +
  mariadb-install-db --defaults-file=/etc/ground-config/server.cnf --skip-test-db --wsrep-cluster-address=gcomm:// >/tmp/install.log 2>&1 ||
    { cat /tmp/install.log; exit 1; }
  set_state live
  exec "${server[@]}" --init-file=/etc/ground-config/init.sql --wsrep-new-cluster --wsrep-cluster-address=gcomm://
}

map=$(state)
phase=$(annotation cluster.state <<<"$map")
say "the cluster's state is $phase"
case $phase in
  new | init)
    if [ "$(annotation leader.node <<<"$map")" = "$me" ]; then
      if [ "$phase" = init ] || is_fresh; then make_first_data; fi
      # Only the ConfigMap is new. Another replica may be further.
      set_state live
    fi
    while [[ $(state | annotation cluster.state) = @(new|init) ]]; do sleep 1; done ;;
  live)
    if peer_is_ready; then join; fi ;;
esac

recover_position
while true; do
  report
  map=$(state)
  phase=$(annotation cluster.state <<<"$map")
  if [ "$phase" = reboot ] && [ "$(annotation reboot.node <<<"$map")" = "$me" ]; then start_cluster; fi
  if peer_is_ready; then
    [ "$phase" = live ] || set_state live
    join
  fi
  if [ "$phase" = live ] && [ "$(furthest <<<"$map")" = "$me" ]; then
    become_reboot_node "$map" && say "the furthest of all: the reboot node"
  fi
  sleep 1
done
