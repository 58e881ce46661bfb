#!/usr/bin/env bash
# Gets what the tests of code-review and run-tests run for real, below the target folder: linters and test runners of
# Python (pip, in a virtual environment) and of Node (npm); and schemathesis, which tries the coordinator's HTTP API. What
# cannot be had is said, and its tests are skipped aloud.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
tools="${YGG_TARGET:-${CARGO_TARGET_DIR:-$PWD/target}}/tools"
mkdir -p "$tools"

python_tools() {
  [ -x "$tools/python/bin/ruff" ] && [ -x "$tools/python/bin/ansible-lint" ] && return 0
  python3 -m venv "$tools/python" \
    && "$tools/python/bin/pip" install --quiet --disable-pip-version-check ruff flake8 pytest ansible-lint
}

api_tools() {
  [ -x "$tools/schemathesis/bin/schemathesis" ] && return 0
  python3 -m venv "$tools/schemathesis" \
    && "$tools/schemathesis/bin/pip" install --quiet --disable-pip-version-check schemathesis==4.32.5
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
if ! command -v python3 >/dev/null || ! api_tools; then
  echo "skipped: schemathesis: pip could not install it"
fi
if ! command -v npm >/dev/null; then
  echo "skipped: Node linters and test runners: no npm on PATH"
elif ! node_tools; then
  echo "skipped: Node linters and test runners: npm could not install them"
fi
