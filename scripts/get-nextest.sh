#!/usr/bin/env bash
# Sees to it that cargo-nextest is there for the test of run-tests: below the target folder, built
# from its source. Says so and succeeds where that cannot be done.
set -euo pipefail

version=0.9.151
target="${YGG_TARGET:-${CARGO_TARGET_DIR:-$(cd "$(dirname "$0")/.." && pwd)/target}}"

if cargo nextest --version >/dev/null 2>&1 || [ -x "$target/tools/bin/cargo-nextest" ]; then
  exit 0
fi
echo "installing cargo-nextest $version below $target/tools for the tests (some minutes of work)"
mkdir -p "$target/tools"
# In a folder of its own, which goes: nobody needs what it was built from.
made=$(mktemp -d "$target/tools/nextest.XXXXXX")
trap 'rm -rf "$made"' EXIT
if ! cargo install --locked --quiet --version "$version" --target-dir "$made" --no-track \
  --root "$target/tools" cargo-nextest; then
  echo "skipped: cargo-nextest: \`cargo install\` failed (see above)"
fi
