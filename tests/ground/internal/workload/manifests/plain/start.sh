# Starts one replica, whatever came before: the first start of all, a restart of
# one, of all in any order, after a clean stop, a crash, or a restore.
#
# The rule: join whoever serves already; else start the cluster if the data says
# that this replica was the last to leave; else wait until every replica has told
# how far its data is, and let the furthest one start the cluster. Waiting here,
# not in the server, keeps a slow peer from being answered by a crash.
set -u

datadir=/var/lib/mysql
ordinal=${POD_NAME##*-}
side_port=4569
state_file=/tmp/ground-state
server=(mariadbd --defaults-file=/etc/ground-config/server.cnf
  --wsrep-node-name="$POD_NAME" --wsrep-node-address="$POD_IP")

# As process 1 this would otherwise be deaf to being told to end.
trap 'exit 143' TERM

say() { echo "$(date -u +%H:%M:%S) start: $*"; }
peer_name() { echo "$STATEFULSET-$1.$DISCOVERY"; }
greets() { [ -n "$(timeout 1 bash -c "head -c 5 </dev/tcp/$1/3306 | tr -d '\\0'" 2>/dev/null)" ]; }
resolves() { getent ahostsv4 "$1" >/dev/null; }

# A peer whose server greets clients is in the cluster. One that only listens on the group port may itself be waiting
# for a cluster to join: two of them would wait for each other.
some_peer_serves() {
  local n
  for ((n = 0; n < REPLICAS; n++)); do
    [ "$n" = "$ordinal" ] && continue
    greets "$(peer_name "$n")" && return 0
  done
  return 1
}

# Only names that resolve now: one that does not makes the server give up.
peer_addresses() {
  local n list=""
  for ((n = 0; n < REPLICAS; n++)); do
    [ "$n" = "$ordinal" ] && continue
    resolves "$(peer_name "$n")" && list+=",$(peer_name "$n")"
  done
  echo "gcomm://${list#,}"
}

is_fresh() { [ ! -d "$datadir/mysql" ]; }
saved() { sed -n "s/^$1: *//p" "$datadir/grastate.dat" 2>/dev/null; }
# One that was killed while it joined keeps the mark of an earlier stop, and no history.
safe_to_bootstrap() { [ "$(saved safe_to_bootstrap)" = 1 ] && names_history; }
names_history() { [[ $(saved uuid) == *[1-9a-f]* ]]; }

# Prints "uuid seqno": of a clean stop from grastate.dat, else what InnoDB says; nothing when that fails. Without a
# history there, the server was ended in the middle of a state transfer, and "doubt" follows: either it got nothing
# yet, or files are of different times and InnoDB says the donor's position.
own_position() {
  if is_fresh; then echo "- -2"; return; fi
  local uuid seqno position doubt=""
  names_history || doubt=" doubt"
  uuid=$(saved uuid) seqno=$(saved seqno)
  if [ -z "$doubt" ] && [ "${seqno:--1}" -ge 0 ]; then echo "$uuid $seqno"; return; fi
  position=$("${server[@]}" --wsrep-recover --wsrep-cluster-address=gcomm:// --log-error=/tmp/recover.log >/dev/null 2>&1
    sed -n 's/.*Recovered position: *//p' /tmp/recover.log | tail -n 1)
  case $position in
    "") ;;
    00000000-*) echo "- -1" ;;
    *) echo "${position%:*} ${position##*:}$doubt" ;;
  esac
}

# Succeeds when every replica has told its position and this one's is the
# furthest; on a tie one without doubt, which can be the donor of one in doubt,
# then the lowest ordinal. Positions of different histories cannot be compared;
# then nobody starts and a person must choose.
is_furthest() {
  local n uuid seqno doubt own_seqno own_doubt history="-"
  read -r _ own_seqno own_doubt <"$state_file"
  for ((n = 0; n < REPLICAS; n++)); do
    if [ "$n" = "$ordinal" ]; then
      read -r uuid seqno doubt <"$state_file"
    else
      read -r uuid seqno doubt < <(timeout 1 bash -c "cat </dev/tcp/$(peer_name "$n")/$side_port" 2>/dev/null) || return 1
    fi
    [ -n "${seqno:-}" ] || return 1
    if [ "$uuid" != - ]; then
      [ "$history" = - ] || [ "$history" = "$uuid" ] || { say "replicas hold different histories"; return 1; }
      history=$uuid
    fi
    [ "$seqno" -gt "$own_seqno" ] && return 1
    [ "$seqno" -lt "$own_seqno" ] && continue
    [ -n "$own_doubt" ] && [ -z "$doubt" ] && return 1
    [ "$own_doubt" = "$doubt" ] && [ "$n" -lt "$ordinal" ] && return 1
  done
  return 0
}

join() {
  local uuid seqno doubt position=()
  read -r uuid seqno doubt <"$state_file"
  [ -z "$seqno" ] || [ "$uuid" = - ] || [ -n "$doubt" ] || position=(--wsrep-start-position="$uuid:$seqno")
  say "joining with position $uuid:$seqno"
  exec "${server[@]}" "${position[@]}" --wsrep-cluster-address="$(peer_addresses)"
}

bootstrap() {
  local first=()
  if is_fresh; then
    say "making the first data"
    # The empty address only satisfies a check; no group is joined while installing.
    mariadb-install-db --defaults-file=/etc/ground-config/server.cnf --skip-test-db --wsrep-cluster-address=gcomm:// >/tmp/install.log 2>&1 ||
      { cat /tmp/install.log; exit 1; }
    first=(--init-file=/etc/ground-config/init.sql)
  elif [ -f "$datadir/grastate.dat" ]; then
    sed -i 's/^safe_to_bootstrap:.*/safe_to_bootstrap: 1/' "$datadir/grastate.dat"
  fi
  say "starting the cluster: $1"
  exec "${server[@]}" "${first[@]}" --wsrep-new-cluster --wsrep-cluster-address=gcomm://
}

# In an ordered StatefulSet the others are made only when this one is ready. So
# with no other in sight this one must go first, though another may be further.
must_go_first() {
  local n
  [ "$POLICY" = OrderedReady ] && [ "$ordinal" = 0 ] && [ "$try" -ge 50 ] || return 1
  for ((n = 1; n < REPLICAS; n++)); do resolves "$(peer_name "$n")" && return 1; done
  return 0
}

own_position >"$state_file"
say "position $(cat "$state_file")"
some_peer_serves && join
[ -s "$state_file" ] || { say "the position cannot be recovered:"; tail -n 20 /tmp/recover.log; exit 1; }
safe_to_bootstrap && bootstrap "it was the last to leave, or was told to start"
# Ordered: while this one is not ready there are no others that could have data.
if [ "$POLICY" = OrderedReady ] && [ "$ordinal" = 0 ] && is_fresh; then bootstrap "it is the first of all"; fi

socat "TCP-LISTEN:$side_port,fork,reuseaddr" "OPEN:$state_file,rdonly" 2>/dev/null &
teller=$!
for ((try = 0; try < 600; try++)); do
  if some_peer_serves; then kill $teller; join; fi
  # Peers read this one's position for another moment before the server answers them.
  if is_furthest; then (sleep 5; kill $teller) & bootstrap "its data is the furthest"; fi
  if must_go_first; then kill $teller; bootstrap "no other replica exists"; fi
  sleep 0.2
done
say "no peer serves and not every replica has told its position"
exit 1
