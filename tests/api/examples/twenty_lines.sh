#!/bin/sh
# A master and a slave as a newcomer starts them, side by side.
# Usage: twenty_lines.sh TWENTY_LINES REMSH_SLAVE
set -eu
absolute() { echo "$(cd "$(dirname "$1")" && pwd)/$(basename "$1")"; }
master=$(absolute "$1")
slave=$(absolute "$2")
dir=$(mktemp -d)
pids=
# shellcheck disable=SC2086  # a list
trap 'rm -rf "$dir"; [ -z "$pids" ] || kill $pids 2>/dev/null || true' EXIT
cd "$dir"
mkfifo said

"$slave" keygen add newcomer --label os=debian --slave-file newcomer.key
"$master" >said &
master_pid=$!
pids=$master_pid
exec 3<said
read -r line <&3
echo "$line"
address=${line##*--master }

"$slave" --key newcomer.key --master "$address" --once --basedir "$dir/slave" >slave.log 2>&1 &
slave_pid=$!
pids="$master_pid $slave_pid"
cat <&3
wait "$master_pid"
slave_code=0
wait "$slave_pid" || slave_code=$?
pids=

cat out.txt
grep -q '^hello from ' out.txt
cmp out.txt slave/project/out.txt
[ "$slave_code" = 0 ] || { cat slave.log; echo "remsh-slave: exit code $slave_code"; exit 1; }
