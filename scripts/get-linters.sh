#!/usr/bin/env bash
# Gets what the tests of code-review and run-tests run for real, below the target folder: linters and test runners of
# Python (pip, in a virtual environment) and of Node (npm). What cannot be had is said, and its tests are skipped aloud.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
tools="${YGG_TARGET:-${CARGO_TARGET_DIR:-$PWD/target}}/tools"
mkdir -p "$tools"

python_tools() {
  [ -x "$tools/python/bin/ruff" ] && [ -x "$tools/python/bin/ansible-lint" ] && return 0
  python3 -m venv "$tools/python" \
    && "$tools/python/bin/pip" install --quiet --disable-pip-version-check ruff flake8 pytest ansible-lint
}

node_tools() {
  [ -x "$tools/node/node_modules/.bin/eslint" ] && [ -x "$tools/node/node_modules/.bin/mocha" ] && return 0
  npm install --silent --no-audit --no-fund --prefix "$tools/node" eslint jest vitest mocha
}

if ! command -v python3 >/dev/null; then
  echo "skipped: Python linters and test runners: no python3 on PATH"
elif ! python_tools; then
  echo "skipped: Python linters and test runners: pip could not install them"
fi
if ! command -v npm >/dev/null; then
  echo "skipped: Node linters and test runners: no npm on PATH"
elif ! node_tools; then
  echo "skipped: Node linters and test runners: npm could not install them"
fi
