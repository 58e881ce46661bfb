#!/usr/bin/env bash
# Gets the yardstick of `make bench`, a small Express app, below the target folder. Where that cannot be, the benchmarks
# leave out the lines that need it, and say so.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
tools="${YGG_TARGET:-${CARGO_TARGET_DIR:-$PWD/target}}/tools/yardstick"

if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
  echo "skipped: the yardstick of the benchmarks: no node and npm on PATH"
  exit 0
fi
mkdir -p "$tools"
cp e2e/yardstick/server.js "$tools/"
if [ -d "$tools/node_modules/express" ] && cmp -s e2e/yardstick/package-lock.json "$tools/package-lock.json"; then
  exit 0
fi
cp e2e/yardstick/package.json e2e/yardstick/package-lock.json "$tools/"
npm ci --silent --no-audit --no-fund --prefix "$tools" \
  || echo "skipped: the yardstick of the benchmarks: npm could not install it"
