#!/usr/bin/env bash
# Sees to it that a real Ollama server is there for the tests: below the target folder, built from
# its source by go. Says so and succeeds where that cannot be done.
set -euo pipefail

# The newest release that `go install` builds: later ones lack a header folder in their module.
version=v0.9.6
target="${YGG_TARGET:-${CARGO_TARGET_DIR:-$(cd "$(dirname "$0")/.." && pwd)/target}}"
bin="$target/tools/bin"

if [ -x "$bin/ollama" ]; then
  exit 0
fi
for tool in go gcc g++; do
  if ! command -v "$tool" >/dev/null; then
    echo "skipped: the real Ollama: no $tool on PATH to build it with"
    exit 0
  fi
done

echo "installing ollama $version below $target/tools for the tests (some minutes of work)"
mkdir -p "$bin"
# Into a folder of its own first, so that one that was cut off is not taken for a whole one.
made=$(mktemp -d "$target/tools/ollama.XXXXXX")
trap 'rm -rf "$made"' EXIT
if ! GOBIN="$made" go install "github.com/ollama/ollama@$version"; then
  echo "skipped: the real Ollama: \`go install\` failed (see above)"
  exit 0
fi
mv "$made/ollama" "$bin/ollama"
