#!/usr/bin/env bash
# Checks that every file that a document links to is there.
set -euo pipefail
cd "$(dirname "$0")/.."

missing=0
while IFS= read -r file; do
  while IFS= read -r link; do
    case $link in
      *://* | mailto:* | '') continue ;;
    esac
    if [ ! -e "$(dirname "$file")/$link" ]; then
      echo "$file links to $link, which is not there" >&2
      missing=1
    fi
  done < <(grep -oE '\]\([^)]+\)' "$file" | sed -E 's/^\]\(//; s/\)$//; s/#.*$//')
done < <(git ls-files '*.md')
exit "$missing"
