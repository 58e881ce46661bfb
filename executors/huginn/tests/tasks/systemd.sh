# shellcheck shell=sh
# Runs a program beside a real systemd of its own: a user instance, in a mount namespace where the
# machine looks as if systemd had booted it, and in control groups of its own.
#
# `unshare --mount --propagation private sh systemd.sh UNITS PROGRAM ARGS…`; ends with the program's
# exit code, or with 77 and a word on stderr where systemd does not start here.

units=$1
shift
name=ygg-test-$$

# systemd moves whatever shares its control group; so it gets one in which nothing else is.
# With version 1 there is one tree for each controller.
groups=
if [ -e /sys/fs/cgroup/cgroup.procs ]; then
    set -- "$units" /sys/fs/cgroup -- "$@"
else
    set -- "$units" /sys/fs/cgroup/* -- "$@"
fi
shift
while [ "$1" != -- ]; do
    folder=$1
    shift
    if ! [ -w "$folder/cgroup.procs" ] || ! mkdir "$folder/$name" 2>/dev/null; then
        continue
    fi
    groups="$groups $folder/$name"
    if [ -f "$folder/$name/cpuset.cpus" ]; then
        cat "$folder/cpuset.cpus" >"$folder/$name/cpuset.cpus"
        cat "$folder/cpuset.mems" >"$folder/$name/cpuset.mems"
    fi
done
shift
# shellcheck disable=SC2317,SC2329
leave() {
    for group in $groups; do
        # This shell is in the scope that systemd made for what it found.
        find "$group" -name cgroup.procs -exec cat {} + | while read -r pid; do
            echo "$pid" >"${group%/*}/cgroup.procs"
        done
        find "$group" -depth -type d -exec rmdir {} \;
    done 2>/dev/null
}
if [ -z "$groups" ]; then
    echo "no control group can be made" >&2
    exit 77
fi
trap leave EXIT
for group in $groups; do
    if ! echo $$ >"$group/cgroup.procs"; then
        echo "no control group of one's own" >&2
        exit 77
    fi
done

mount -t tmpfs none /run || exit 77
mkdir -p /run/systemd/system /run/ygg/config/systemd
cp -r "$units" /run/ygg/config/systemd/user
export XDG_RUNTIME_DIR=/run/ygg XDG_CONFIG_HOME=/run/ygg/config DBUS_SESSION_BUS_ADDRESS=
/usr/lib/systemd/systemd --user --log-target=console --unit=plex.service >/run/ygg/log 2>&1 &
systemd=$!
tries=0
until systemctl --user is-active --quiet plex.service; do
    tries=$((tries + 1))
    if [ "$tries" -gt 100 ] || ! kill -0 "$systemd" 2>/dev/null; then
        echo "systemd does not start: $(tail -n 1 /run/ygg/log)" >&2
        exit 77
    fi
    sleep 0.1
done

"$@"
code=$?
systemctl --user exit
wait "$systemd"
exit "$code"
