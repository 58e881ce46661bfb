#!/usr/bin/env bash
# Sees to it that a Beads CLI is there. `any`: bd, mb, or else minibeads below the target folder.
# `mb`: minibeads, also where bd is there, so that the tests run on both.
set -euo pipefail

wanted=${1:-any}
tools="${YGG_TARGET:-target}/tools"

found() {
  if [ -n "${YGG_BD:-}" ]; then
    return 0
  fi
  if [ "$wanted" = any ] && command -v bd >/dev/null; then
    return 0
  fi
  command -v mb >/dev/null || [ -x "$tools/bin/mb" ]
}

if found; then
  exit 0
fi

if [ "$wanted" = any ]; then
  cat <<TEXT
No Beads CLI on PATH, so minibeads (mb) is installed below $tools for trying out.
It loses beads when it is killed or when two write at once: for work that counts, install
the real one, bd, as the README of https://github.com/gastownhall/beads says.
TEXT
else
  echo "installing minibeads (mb) below $tools for the tests"
fi
cargo install --locked --quiet --root "$tools" --version '^0.25' minibeads
