#!/bin/sh
# minici.sh MINICI: runs jobs that go well, one that fails, and one whose slave dies; and stops it in the middle of one.
set -eu
minici=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
directory=$(mktemp -d)
pid=
trap 'rm -rf "$directory"; [ -z "$pid" ] || kill "$pid" 2>/dev/null || :' EXIT
cd "$directory"

fail() {
  echo "minici.sh: $1" >&2
  cat ./*.log output >&2 2>/dev/null || :
  exit 1
}

mkdir -p tree/.git tree/sub
echo 42 >tree/sub/answer
cat >jobs <<END
# NAME | LABEL | TREE | COMMAND | ARTEFACT
good | where=here | tree | cat sub/answer; ls -a; mkdir out; tr 4 5 <sub/answer >out/result | out/result
lost | | | if [ -e "$directory/mark" ]; then echo again; else : >"$directory/mark"; kill -9 \$PPID; fi |
END
"$minici" jobs >output || fail "jobs that go well do not end with 0"
[ "$(cat good.artefact)" = 52 ] || fail 'the artefact is wrong'
grep -qx 42 good.log || fail 'the log of a job lacks its output'
! grep -q git good.log || fail 'what is excluded was sent'
grep -q 'good: 42' output || fail 'the output is not shown'
grep -q 'trying another slave' output || fail 'a job whose slave died was not tried again'
grep -qx again lost.log || fail 'the second try has no output'
[ "$(grep -c '^done ' output)" = 2 ] || fail 'the table is wrong'

echo 'bad | | | exit 3 |' >bad-jobs
code=0
"$minici" bad-jobs >output || code=$?
[ $code = 1 ] || fail "a job that fails ends with $code"
grep -q '^FAILED  bad on .*exit code 3' output || fail 'the table does not tell of the failure'

mkfifo begun
echo "endless | | | echo >'$directory/begun'; sleep 100000 |" >endless-jobs
code=0
"$minici" endless-jobs >output &
pid=$!
read -r _ <begun
kill $pid
wait $pid || code=$?
pid=
[ $code = 1 ] || fail "after a stop it ends with $code"
grep -q '^FAILED  endless .*cancelled' output || fail 'the table does not tell of the stop'

code=0
"$minici" no-such-file 2>output || code=$?
[ $code = 2 ] || fail "without jobs it ends with $code"
