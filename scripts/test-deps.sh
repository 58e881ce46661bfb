#!/usr/bin/env bash
# Installs the system packages without which some tests are skipped. Asks for nothing.
set -euo pipefail

sudo=()
if [ "$(id -u)" != 0 ]; then
  sudo=(sudo)
fi

had_prometheus=$(command -v prometheus || true)
had_dockerd=$(command -v dockerd || true)
# A Docker of another origin would be thrown out by the distribution's own.
docker=()
if [ -z "$had_dockerd" ]; then
  docker+=(docker.io)
fi
if ! docker compose version >/dev/null 2>&1 && ! command -v docker-compose >/dev/null; then
  docker+=(docker-compose)
fi

if command -v apt-get >/dev/null; then
  export DEBIAN_FRONTEND=noninteractive
  "${sudo[@]}" apt-get update -qq
  "${sudo[@]}" apt-get install -qq -y --no-install-recommends \
    ansible-core build-essential curl dbus dnsmasq-base git iproute2 jq logrotate make maven openssl prometheus default-jdk-headless \
    python3 python3-pytest python3-venv shellcheck sqlite3 systemd tmux yamllint "${docker[@]}"
elif command -v dnf >/dev/null; then
  "${sudo[@]}" dnf install -y -q \
    ansible-core curl dbus-daemon dnsmasq gcc git iproute java-devel jq logrotate make maven openssl \
    python3 python3-pytest ShellCheck sqlite systemd tmux yamllint
  # Fedora has this one, others have not.
  "${sudo[@]}" dnf install -y -q golang-github-prometheus \
    || echo "no package of Prometheus here: the tests that want it are skipped" >&2
else
  echo "neither apt-get nor dnf here: install these by hand, or some tests are skipped:" >&2
  echo "  ansible-core dnsmasq docker docker-compose git iproute2 jq logrotate prometheus pytest shellcheck sqlite3 systemd tmux yamllint" >&2
  exit 1
fi

# The tests want the programs; a service that runs from now on is more than was asked for.
if [ -d /run/systemd/system ]; then
  if [ -z "$had_prometheus" ]; then
    "${sudo[@]}" systemctl disable --now --quiet prometheus || true
  fi
  if [ -z "$had_dockerd" ]; then
    "${sudo[@]}" systemctl disable --now --quiet docker.service docker.socket || true
  fi
fi
