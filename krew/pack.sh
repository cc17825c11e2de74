#!/usr/bin/env bash
# Packs the plugin for krew: the archive, and the manifest that belongs to it.
#
#   krew/pack.sh PLUGIN FOLDER
#
# PLUGIN is the binary, FOLDER where both are put. URL is where the archive will be fetched from, HOMEPAGE
# what the manifest names as the plugin's page. The same files give the same bytes: nothing of this
# machine, its clock or its users is in them; SOURCE_DATE_EPOCH is the time everything bears.
set -euo pipefail

plugin=$(realpath "$1")
folder=$(realpath "$2")
cd "$(dirname "$0")/.."

version=$(sed -n '/^version = /{s/.*"\(.*\)"/\1/p;q}' Cargo.toml)
time=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
url=${URL:-https://downloads.example/mariadb-backup/v$version}
archive=kubectl-mariadb_backup_v${version}_linux_amd64.tar.gz

stage=$(mktemp -d)
trap 'rm -r "$stage"' EXIT

install -D "$plugin" "$stage/kubectl-mariadb_backup"
install -m 644 -t "$stage" LICENSE README.md
mkdir "$stage/completions" "$stage/man"
cp -t "$stage/completions" completions/*
pages=$("$plugin" manual)
for page in $pages; do
  "$plugin" manual "$page" >"$stage/man/$page.1"
done

# krew takes regular files and directories only, and no name that leads out of the archive.
tar --create --directory "$stage" --sort=name --format=ustar --mtime="@$time" \
  --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX \
  completions kubectl-mariadb_backup LICENSE man README.md | gzip --no-name -9 >"$folder/$archive"

sha256=$(sha256sum "$folder/$archive")
sed -e '/^#/d' -e "s|\${VERSION}|$version|g" -e "s|\${URL}|$url|g" -e "s|\${HOMEPAGE}|${HOMEPAGE:-$url}|g" \
  -e "s|\${SHA256}|${sha256%% *}|g" krew/mariadb-backup.yaml >"$folder/mariadb-backup.yaml"
