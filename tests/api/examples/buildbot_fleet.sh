#!/bin/sh
# buildbot_fleet.sh BUILDBOT_FLEET REMSH_SLAVE: one command on a slave of remsh and on a worker of Buildbot for each
# protocol.
set -eu
command -v buildbot-worker >/dev/null || { echo 'skipped: buildbot-worker is not installed'; exit 77; }
absolute() { echo "$(cd "$(dirname "$1")" && pwd)/$(basename "$1")"; }
fleet=$(absolute "$1")
slave=$(absolute "$2")
directory=$(mktemp -d)
pids=
trap 'for pid in $pids; do kill "$pid" 2>/dev/null || :; done; wait; rm -rf "$directory"' EXIT
cd "$directory"

fail() {
  echo "buildbot_fleet.sh: $1" >&2
  cat output log >&2 2>/dev/null || :
  exit 1
}

umask 077
"$slave" keygen add ours --slave-file ours.key >/dev/null 2>&1
mv slaves.keys keys
{
  echo 'pb-worker  password=one'
  echo 'msgpack-worker  password=two'
} >>keys

: >output
"$fleet" keys tcp:127.0.0.1:0 3 echo hello >output 2>log &
fleet_pid=$!
pids=$fleet_pid
port=
while [ -z "$port" ]; do # it ends by itself if nobody comes
  kill -0 "$fleet_pid" 2>/dev/null || fail 'the host program has ended'
  port=$(sed -n 's/^listens on .*:\([0-9]*\)$/\1/p' output)
  sleep 0.05
done

"$slave" --master "tcp:127.0.0.1:$port" --key ours.key --basedir ours >/dev/null 2>&1 &
pids="$pids $!"
worker() { # NAME PASSWORD PROTOCOL
  buildbot-worker create-worker --quiet --protocol="$3" "$1" "127.0.0.1:$port" "$1" "$2" >/dev/null
  buildbot-worker start --nodaemon "$1" >/dev/null 2>&1 &
  pids="$pids $!"
}
worker pb-worker one pb
worker msgpack-worker two msgpack_experimental_v7

wait "$fleet_pid" || fail "the host program ends with $?"
[ "$(grep -cx hello output)" = 3 ] || fail 'not all have said hello'
for line in 'ours (remsh 2)' 'pb-worker (buildbot-pb)' 'msgpack-worker (buildbot-msgpack)'; do
  grep -qF "$line: exit code 0" output || fail "no line of $line"
done
