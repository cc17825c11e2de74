#!/bin/bash
# Gives one Ready replica the role primary and the others backup; the Service of the
# clients follows the label. A primary that is Ready stays it.
set -u
. "${0%/*}/api.sh"

trap 'exit 143' TERM

# Prints "name readiness role" of every replica, lowest ordinal first.
replicas() {
  api GET "$namespaced/pods?labelSelector=application%3Dmariadb,component%3Dserver" |
    json 'sort map {
      my $pod = $_;
      my ($ready) = grep { $_->{type} eq "Ready" } @{$pod->{status}{conditions} // []};
      join " ", $pod->{metadata}{name}, ($ready // {})->{status} // "False",
        $pod->{metadata}{deletionTimestamp} ? "leaving" : $pod->{metadata}{labels}{mariadb_role} // "none"
    } @{$_->{items}}'
}

give() {
  say "$1 becomes $2"
  merge "$namespaced/pods/$1" "{\"metadata\": {\"labels\": {\"mariadb_role\": \"$2\"}}}"
}

while true; do
  list=$(replicas)
  primary=$(awk '$2 == "True" && $3 == "primary" {print $1; exit}' <<<"$list")
  : "${primary:=$(awk '$2 == "True" && $3 != "leaving" {print $1; exit}' <<<"$list")}"
  # With nobody Ready all stay what they are: there is nobody to send clients to.
  while [ -n "$primary" ] && read -r name _ role; do
    case $name:$role in
      *:leaving | "$primary:primary") ;;
      "$primary":*) give "$name" primary ;;
      *:backup) ;;
      *) give "$name" backup ;;
    esac
  done <<<"$list"
  sleep 1
done
