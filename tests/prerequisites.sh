#!/usr/bin/env bash
# Installs what the build, the ground and the tests need and this machine lacks.
#
# Prints nothing when all is there. Elsewhere than on Debian it says what is missing and stops.
# Arguments name more: PROGRAM:PACKAGE.
set -euo pipefail

fail() {
  printf 'error: %s\n' "$1" >&2
  printf 'hint: %s\n' "$2" >&2
  exit 1
}

# name of a program → Debian package it comes in
packages=(
  containerd:containerd runc:runc nft:nftables mmdebstrap:mmdebstrap ip:iproute2 openssl:openssl
  mkfs.ext4:e2fsprogs losetup:mount unshare:util-linux cc:gcc make:make curl:curl tmux:tmux zstd:zstd
  # The shells that completion is tested with.
  zsh:zsh fish:fish
)

[ "$(id -u)" = 0 ] || fail "this needs root: the ground makes network namespaces and mounts" "run it with sudo"

missing=()
for pair in "${packages[@]}" "$@"; do
  command -v "${pair%%:*}" >/dev/null || missing+=("${pair##*:}")
done
[ -x /usr/lib/cni/ptp ] || [ -x /opt/cni/bin/ptp ] || missing+=(containernetworking-plugins)
[ -e /usr/share/bash-completion/bash_completion ] || missing+=(bash-completion)
if [ "${#missing[@]}" -gt 0 ]; then
  command -v apt-get >/dev/null || fail "missing: ${missing[*]}" "install these with your system's package manager"
  echo "installing ${missing[*]}" >&2
  apt-get update -qq >&2
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2
fi

command -v go >/dev/null || fail "there is no Go" "install Go 1.26 or newer"
command -v cargo >/dev/null || fail "there is no Rust" "install the toolchain of rust-toolchain.toml with rustup"

if ! command -v cargo-zigbuild >/dev/null || ! python3 -c 'import ziglang' 2>/dev/null; then
  command -v pip >/dev/null || fail "there is no pip" "apt-get install python3-pip"
  echo "installing cargo-zigbuild and ziglang" >&2
  # Debian 12 calls its Python its own; older pips do not know the variable and need none.
  PIP_BREAK_SYSTEM_PACKAGES=1 pip install --quiet --root-user-action=ignore cargo-zigbuild==0.24.0 ziglang==0.17.1 >&2
fi

if ! command -v cargo-deny >/dev/null; then
  echo "building cargo-deny, once" >&2
  cargo install --quiet --locked --debug cargo-deny@0.20.2 >&2
fi
