#!/usr/bin/env bash
# Gets what Maven downloads for the test of run-tests, below the target folder, once. Says so and
# succeeds where that cannot be done.
set -euo pipefail
cd "$(dirname "$0")/.."

target="${YGG_TARGET:-${CARGO_TARGET_DIR:-$PWD/target}}"
repository="$target/tools/m2"

if [ -d "$repository" ]; then
  exit 0
fi
if ! command -v mvn >/dev/null || ! command -v javac >/dev/null; then
  echo "skipped: the real Maven: no mvn or no javac on PATH (make test-deps installs them)"
  exit 0
fi
mkdir -p "$target/tools"
# Into folders of their own first, so that one that was cut off is not taken for a whole one.
made=$(mktemp -d "$target/tools/m2.XXXXXX")
trap 'rm -rf "$made"' EXIT
mkdir -p "$made/project/src/test/java"
cp executors/fenrir/tests/tasks/maven-pom.xml "$made/project/pom.xml"
printf 'public class ATest { @org.junit.Test public void good() {} }\n' \
  >"$made/project/src/test/java/ATest.java"
if timeout 300 mvn --batch-mode --quiet "-Dmaven.repo.local=$made/m2" --file "$made/project/pom.xml" \
  test; then
  mv "$made/m2" "$repository"
else
  echo "skipped: the real Maven: it could not download its plugins (see above)"
fi
