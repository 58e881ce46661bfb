#!/usr/bin/env bash
# Checks what stands in ansible/, without a target and without root: syntax, then a dry run against
# this machine that changes nothing, and whether a secret shows.
set -euo pipefail
cd "$(dirname "$0")/.."

name=check-ansible
if ! command -v ansible-playbook >/dev/null; then
  echo "skipped: $name: no ansible-playbook on PATH (make test-deps installs it)" >&2
  exit 0
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export ANSIBLE_CONFIG=$PWD/ansible/ansible.cfg ANSIBLE_NOCOLOR=1 ANSIBLE_LOCALHOST_WARNING=false
export ANSIBLE_HOME=$work/home ANSIBLE_LOCAL_TEMP=$work/tmp ANSIBLE_REMOTE_TEMP=$work/tmp
# Ansible refuses to start in a locale that is not UTF-8.
export LC_ALL=C.UTF-8
problems=0

problem() {
  echo "$name: $*" >&2
  problems=$((problems + 1))
}

for inventory in ansible/inventory*.example.yml; do
  ansible-playbook -i "$inventory" --syntax-check ansible/deploy.yml >"$work/said" 2>&1 \
    || problem "$inventory: $(cat "$work/said")"
done
for playbook in ansible/playbooks/*.yml; do
  ansible-playbook -i localhost, --syntax-check "$playbook" >"$work/said" 2>&1 \
    || problem "$playbook: $(cat "$work/said")"
done

# Every machine of the example, as this one; with tokens, an API key and a policy.
mkdir "$work/binaries"
for binary in yggdrasil-coordinator ygg fenrir-executor surtr-executor huginn-executor; do
  printf '#!/bin/sh\n' >"$work/binaries/$binary"
done
dry_run() {
  ansible-playbook -i ansible/inventory.example.yml ansible/deploy.yml --check --diff -vv \
    -e ansible_connection=local -e ansible_become=false \
    -e "ansible_python_interpreter=$(command -v python3)" \
    -e "yggdrasil_binaries=$work/binaries" -e "yggdrasil_secrets=$work/secrets" >"$work/said" 2>&1
}
dry_run || problem "the dry run failed: $(tail -n 40 "$work/said")"
for host in fenrir.lan surtr.lan huginn.lan; do
  grep -Eq "^$host +: ok=[0-9]+ .*unreachable=0 +failed=0 " "$work/said" \
    || problem "the dry run did not reach the end for $host"
done
if [ -d /etc/polkit-1/rules.d ] \
  && ! grep -qF 'yggdrasilUnits = ["plexmediaserver.service"];' "$work/said"; then
  problem "polkit is not told of the units of the policy"
fi
for secret in executor.token api.key; do
  if [ ! -s "$work/secrets/$secret" ]; then
    problem "no $secret was made"
  elif [ "$(stat -c %a "$work/secrets/$secret")" != 600 ]; then
    problem "$secret is not for its owner alone"
  elif grep -qF "$(head -n 1 "$work/secrets/$secret")" "$work/said"; then
    problem "$secret shows in the output"
  fi
done

# The playbook that is shipped for run-playbook.
ansible-playbook -i localhost, ansible/playbooks/hello.yml >"$work/said" 2>&1 \
  || problem "hello.yml: $(cat "$work/said")"
grep -q 'changed=0 ' "$work/said" || problem "hello.yml changes something"

if [ "$problems" -ne 0 ]; then
  exit 1
fi
echo "$name: deploy.yml and the playbooks are valid"
