#!/usr/bin/env bash
# Every check and every test. Goes on after a failure, so that one run shows all of them, and ends
# with what was skipped, what failed, and the counts.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

target="${YGG_TARGET:-${CARGO_TARGET_DIR:-$PWD/target}}"
export YGG_TARGET="$target"
export CARGO_TERM_COLOR=never
# What this script and its kin install for the tests; what the user has comes first.
export PATH="$PATH:$target/tools/bin"
if [ -n "${YGG_BD:-}" ] && [ -z "${YGG_TEST_BD_PATH:-}" ]; then
  YGG_TEST_BD_PATH=$(tr ':' '\n' <<<"$YGG_BD" | xargs -r -n 1 dirname | paste -s -d ':')
  export YGG_TEST_BD_PATH
fi
logs="$target/test-logs"
rm -rf "$logs"
mkdir -p "$logs"

passed=0
failed=0
failures=()
number=0
began=$SECONDS

# Adds up what libtest says of each test program, and counts a step without any as one.
count() { # LOG STATUS NAME
  local sums ok bad
  sums=$(awk '/^test result:/ { for (i = 1; i < NF; i++) { if ($(i+1) == "passed;") p += $i; if ($(i+1) == "failed;") f += $i } }
              END { printf "%d %d", p, f }' "$1")
  ok=${sums% *}
  bad=${sums#* }
  if [ "$2" -ne 0 ] && [ "$bad" -eq 0 ]; then
    bad=1
  fi
  if [ "$ok" -eq 0 ] && [ "$bad" -eq 0 ]; then
    ok=1
  fi
  passed=$((passed + ok))
  failed=$((failed + bad))
  if [ "$bad" -ne 0 ]; then
    failures+=("$3: $1")
  fi
}

# What is worth seeing while it runs: which program runs, how it ended, what failed.
progress() {
  grep --line-buffered -E '^ +(Running|Doc-tests) |^test result|^test .*FAILED|^error|^warning: unused|panicked at' \
    | sed -u 's/^ *//; s/^/    /' || true
}

step() { # NAME COMMAND…
  number=$((number + 1))
  local name=$1 log status start=$SECONDS
  shift
  log="$logs/$(printf '%02d' "$number")-${name//[^a-z0-9]/-}.log"
  echo "==> $name"
  : >"$log"
  # The command stays in the foreground, so that Ctrl-C reaches it, and writes to a file, so that
  # a process it leaves behind cannot hold a pipe of ours open.
  tail -n +1 -f "$log" > >(progress) 2>/dev/null &
  local tailer=$!
  "$@" >"$log" 2>&1 </dev/null
  status=$?
  kill "$tailer" 2>/dev/null
  wait "$tailer" 2>/dev/null
  count "$log" "$status" "$name"
  if [ "$status" -ne 0 ]; then
    echo "    FAILED (exit $status), the end of $log:"
    # The part that libtest prints at the end, else the last lines.
    if grep -q '^failures:$' "$log"; then
      sed -n '/^failures:$/,$p' "$log" | head -n 400 | sed 's/^/    | /'
    else
      tail -n 60 "$log" | sed 's/^/    | /'
    fi
  fi
  echo "    $((SECONDS - start)) s"
}

skip() { # NAME WHY
  echo "skipped: $1: $2" | tee -a "$logs/skipped-steps.log"
}

lint_scripts() {
  shellcheck .ci/run scripts/*.sh executors/*/tests/tasks/*.sh
}

lint_yaml() {
  yamllint -d '{extends: default, rules: {line-length: {max: 140}, document-start: disable, comments: {min-spaces-from-content: 1}, braces: {max-spaces-inside: 1}}}' \
    routing.yaml ansible dashboards
}

echo "cold, this takes 15 to 30 minutes on two cores; logs are in $logs"

step "a Beads CLI" scripts/beads-cli.sh mb
step "formatting" cargo fmt --all --check
step "lints" cargo clippy --locked --workspace --all-targets -- -D warnings
step "build" cargo build --locked --workspace --bins
step "a real Ollama" scripts/get-ollama.sh
step "linters for code-review, schemathesis" scripts/get-linters.sh
step "cargo-nextest for run-tests" scripts/get-nextest.sh
step "Maven for run-tests" scripts/get-maven.sh
step "units, contracts, doc tests" cargo test --locked --workspace --exclude e2e --no-fail-fast -- --show-output
# The programs that the tests of e2e start are those of the build above.
step "build again" cargo build --locked --workspace --bins
step "the whole system" cargo test --locked --package e2e --no-fail-fast -- --show-output
step "documentation" env RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps --document-private-items
for script in check-units check-ansible; do
  step "$script" "scripts/$script.sh"
done
step "links in documents" scripts/check-links.sh
step "TypeScript declarations" scripts/api-types.sh
if command -v shellcheck >/dev/null; then
  step "shell scripts" lint_scripts
else
  skip "shell scripts" "no shellcheck on PATH (make test-deps installs it)"
fi
if command -v yamllint >/dev/null; then
  step "YAML files" lint_yaml
else
  skip "YAML files" "no yamllint on PATH (make test-deps installs it)"
fi

echo
grep -hE '^[[:space:]]*hostile values: ' "$logs"/*.log | sed 's/^ *//' | sort -u

skipped=$(grep -hE '^[[:space:]]*skipped: ' "$logs"/*.log | sed 's/^ *//' | sort -u)
skips=0
echo
if [ -n "$skipped" ]; then
  skips=$(printf '%s\n' "$skipped" | wc -l)
  echo "Skipped, and why:"
  printf '%s\n' "$skipped"
else
  echo "Nothing was skipped."
fi
if [ "${#failures[@]}" -ne 0 ]; then
  echo
  echo "Failed:"
  printf '  %s\n' "${failures[@]}"
fi
echo
echo "in $(((SECONDS - began) / 60)) min $(((SECONDS - began) % 60)) s"
# A test that skips itself passes in the eyes of libtest; it is counted once, as skipped.
in_tests=$(printf '%s\n' "$skipped" | grep -vc -e '^$' -e "no shellcheck" -e "no yamllint")
echo "$((passed > in_tests ? passed - in_tests : 0)) passed, $failed failed, $skips skipped"
[ "$failed" -eq 0 ]
