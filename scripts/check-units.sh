#!/usr/bin/env bash
# Checks what stands in systemd/, without a running systemd and without root.
#
# systemd-analyze looks for what ExecStart= names, so the units are put into a folder that plays the
# root of a machine, with a stub for each binary.
set -euo pipefail
cd "$(dirname "$0")/.."

name=check-units
if ! command -v systemd-analyze >/dev/null; then
  echo "skipped: $name: no systemd-analyze on PATH (make test-deps installs it)" >&2
  exit 0
fi

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
problems=0

problem() {
  echo "$name: $*" >&2
  problems=$((problems + 1))
}

units=$root/etc/systemd/system
mkdir -p "$units" "$root/usr/local/bin" "$root/usr/lib/systemd/system"
for target in basic multi-user network-online shutdown sysinit; do
  printf '[Unit]\nDescription=%s\n' "$target" >"$root/usr/lib/systemd/system/$target.target"
done
cp systemd/*.service "$units"
sed -n 's/^ExecStart=\([^ ]*\).*/\1/p' systemd/*.service | while read -r binary; do
  printf '#!/bin/sh\n' >"$root$binary"
  chmod +x "$root$binary"
done

# Prints what is wrong with a unit. systemd-analyze ends with 0 for some of it, so any word counts.
verify() { # UNIT
  local said status=0
  said=$(systemd-analyze verify --man=no --recursive-errors=no --root="$root" "$1" 2>&1) || status=$?
  # Some of its complaints are about the machine that it runs on.
  said=$(grep -v -e '^$' -e 'SYSTEMD_' -e 'Failed to open .*/etc/localtime' <<<"$said" || true)
  if [ "$status" -ne 0 ] || [ -n "$said" ]; then
    printf '%s (exit %s)\n' "${said:-no words}" "$status"
  fi
}

for path in systemd/*.service; do
  unit=$(basename "$path")
  said=$(verify "$unit")
  if [ -n "$said" ]; then
    problem "$unit: $said"
  fi
  for line in Type=notify User=yggdrasil Restart=always KillMode=mixed WantedBy=multi-user.target; do
    grep -qx "$line" "$path" || problem "$unit: there is no line $line"
  done
  grep -q '^u yggdrasil ' systemd/sysusers.d/yggdrasil.conf || problem "no user for $unit"
  log=$(sed -n 's/^Environment=LOG_FILE=//p' "$path")
  grep -q "^f $log " systemd/tmpfiles.d/yggdrasil.conf || problem "$unit: nothing makes its log $log"
  grep -q "$log" systemd/logrotate.d/yggdrasil || problem "$unit: nothing shortens its log $log"
done

# The polkit rules, asked as polkit does: `ACTION UNIT VERB USER` gives what it answers.
rules=systemd/polkit-1/50-yggdrasil-huginn.rules
answers() { # RULES
  sed 's/\(yggdrasilUnits = \)\[\]/\1["plex.service"]/' "$1" >"$root/rules.js"
  node -e '
    const [file, ...asked] = process.argv.slice(1);
    const rules = [];
    const polkit = { Result: { YES: "yes", NOT_HANDLED: "-" }, addRule: (rule) => rules.push(rule) };
    new Function("polkit", require("fs").readFileSync(file, "utf8"))(polkit);
    for (const line of asked) {
      const [id, unit, verb, user] = line.split(" ");
      const action = { id, lookup: (name) => ({ unit, verb })[name] };
      console.log(rules.map((rule) => rule(action, { user })).join());
    }' "$root/rules.js" \
    "org.freedesktop.login1.suspend - - yggdrasil" \
    "org.freedesktop.login1.power-off-ignore-inhibit - - yggdrasil" \
    "org.freedesktop.systemd1.manage-units plex.service restart yggdrasil" \
    "org.freedesktop.login1.suspend - - somebody" \
    "org.freedesktop.login1.reboot - - yggdrasil" \
    "org.freedesktop.systemd1.manage-units plex.service stop yggdrasil" \
    "org.freedesktop.systemd1.manage-units sshd.service restart yggdrasil" \
    "org.freedesktop.policykit.exec - - yggdrasil" | paste -sd ' '
}
if command -v node >/dev/null; then
  said=$(answers "$rules" 2>&1) || true
  [ "$said" = "yes yes yes - - - - -" ] || problem "$rules: answers $said"
  sed 's/!== "yggdrasil"/=== "nobody"/' "$rules" >"$root/wide.rules"
  [ "$(answers "$root/wide.rules")" != "$said" ] || problem "rules that are too wide are not noticed"
else
  echo "skipped: $name: polkit rules: no node on PATH" >&2
fi

# A check that cannot fail proves nothing: these must be found.
bad() { # WHAT SED-SCRIPT
  sed "$2" systemd/yggdrasil-coordinator.service >"$units/bad.service"
  [ -n "$(verify bad.service)" ] || problem "$1 is not noticed"
  rm "$units/bad.service"
}
bad "an unknown key" 's/^Restart=/Restrat=/'
bad "a wrong value" 's/^Type=.*/Type=sometimes/'
bad "a missing binary" 's#^ExecStart=.*#ExecStart=/usr/local/bin/not-there#'

if command -v systemd-sysusers >/dev/null && [ "$(id -u)" = 0 ]; then
  systemd-sysusers --root="$root" "$PWD/systemd/sysusers.d/yggdrasil.conf" 2>"$root/said" \
    || problem "sysusers: $(cat "$root/said")"
  grep -q '^yggdrasil:.*:/var/lib/yggdrasil:/usr/sbin/nologin$' "$root/etc/passwd" \
    || problem "sysusers makes no user yggdrasil"
  if command -v systemd-tmpfiles >/dev/null; then
    mkdir -p "$root/var/log" "$root/var/lib"
    systemd-tmpfiles --root="$root" --create "$PWD/systemd/tmpfiles.d/yggdrasil.conf" 2>"$root/said" \
      || problem "tmpfiles: $(cat "$root/said")"
    [ -f "$root/var/log/yggdrasil-agent.log" ] || problem "tmpfiles makes no log"
  fi
else
  echo "skipped: $name: users and files: needs root and systemd-sysusers" >&2
fi

if command -v logrotate >/dev/null; then
  # --debug changes nothing; it does without the files (missingok).
  logrotate --debug --state "$root/logrotate.state" systemd/logrotate.d/yggdrasil >"$root/said" 2>&1 \
    || problem "logrotate: $(cat "$root/said")"
  if grep -qi '^error' "$root/said"; then
    problem "logrotate: $(grep -i '^error' "$root/said")"
  fi
else
  echo "skipped: $name: logrotate: no logrotate on PATH (make test-deps installs it)" >&2
fi

if [ "$problems" -ne 0 ]; then
  exit 1
fi
echo "$name: $(find systemd -name '*.service' | wc -l) units are valid"
