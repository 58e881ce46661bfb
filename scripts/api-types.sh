#!/usr/bin/env bash
# Makes TypeScript declarations from docs/openapi.json: with --write docs/openapi.d.ts, without it only says whether that
# is fresh. openapi-typescript is got by npm, below the target folder; where it cannot be had, that is said.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
tools="${YGG_TARGET:-${CARGO_TARGET_DIR:-$PWD/target}}/tools/openapi"
program="$tools/node_modules/.bin/openapi-typescript"
version=7.13.0

if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
  echo "skipped: TypeScript declarations: no node or no npm on PATH"
  exit 0
fi
mkdir -p "$tools"
if [ "$(cat "$tools/version" 2>/dev/null)" != "$version" ]; then
  if ! npm install --silent --no-audit --no-fund --prefix "$tools" "openapi-typescript@$version" "typescript@5"; then
    echo "skipped: TypeScript declarations: npm could not install openapi-typescript"
    exit 0
  fi
  echo "$version" >"$tools/version"
fi

made="$tools/openapi.d.ts"
if ! "$program" docs/openapi.json --output "$made" >"$tools/log" 2>&1; then
  cat "$tools/log"
  exit 1
fi
if ! "$tools/node_modules/.bin/tsc" --noEmit --strict "$made"; then
  echo "the declarations are no TypeScript"
  exit 1
fi
if [ "${1:-}" = --write ]; then
  cp "$made" docs/openapi.d.ts
elif ! cmp -s "$made" docs/openapi.d.ts; then
  echo "docs/openapi.d.ts is stale; run \`make docs\`"
  exit 1
fi
