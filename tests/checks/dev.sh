#!/bin/sh
# What ./dev says and does where things are missing: nothing here is installed or built, all tools are stand-ins.
# Usage: dev.sh SOURCE
#
# shellcheck disable=SC2016  # some of what is in single quotes is for other shells
set -eu
source=$1
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

# A machine is a directory of tools: this one has what every system has, and no more.
machine() {
  rm -rf "${dir:?}/bin"
  mkdir "$dir/bin"
  for tool in sh env dirname basename cat tail ls grep mktemp rm; do ln -s "$(command -v "$tool")" "$dir/bin"; done
  for tool in "$@"; do stand_in "$tool" 'exit 0'; done
}
stand_in() { printf '#!/bin/sh\n%s\n' "$2" >"$dir/bin/$1" && chmod +x "$dir/bin/$1"; }

# dev CODE [VARIABLE=VALUE...] COMMAND...: ./dev on that machine must end with the code; what it said is in $said.
dev() {
  wanted=$1
  shift
  variables="PATH=$dir/bin TMPDIR=$dir"
  while case "$1" in *=*) true ;; *) false ;; esac; do
    variables="$variables $1"
    shift
  done
  code=0
  # shellcheck disable=SC2086  # variables are words
  env -i $variables "$source/dev" "$@" >"$dir/said" 2>&1 </dev/null || code=$?
  said=$(cat "$dir/said")
  [ "$code" = "$wanted" ] || wrong "./dev $* ended with $code, not $wanted"
}
wrong() { printf '%s\nIt said: %s\n' "$1" "$said"; exit 1; }
says() { case "$said" in *"$1"*) ;; *) wrong "'$1' is not in what ./dev said." ;; esac; }

# Nothing is missing: no word about packages.
machine c++ meson ninja
dev 0 deps
[ -z "$said" ] || wrong 'Nothing was missing.'

# A system that ./dev does not know.
machine
for command in demo test; do
  dev 69 "$command"
  says 'missing: compiler meson ninja asio doctest fmt openssl'
  says 'g++ meson ninja asio doctest fmt openssl'
  says 'package manager of your system'
done

# Systems that it knows, but installs nothing on.
for manager in dnf pacman apk brew; do
  machine
  stand_in "$manager" "touch '$dir/installed'"
  dev 69 test
  says "install it with:  $manager "
done

# Debian: not where that is switched off, and not without rights.
machine c++ ninja
stand_in apt-get "touch '$dir/installed'"
dev 69 REMSH_DEV_INSTALL=0 demo
says 'missing: meson'
says 'REMSH_DEV_INSTALL=0, so install it yourself:'
says 'apt-get install -y --no-install-recommends meson'
stand_in id 'echo 1000'
dev 69 demo
says 'ask root to run:'
stand_in sudo 'exit 1'
dev 69 demo
says 'ask root to run:'
[ ! -e "$dir/installed" ] || wrong 'It installed something.'

# With rights it fetches the lists only where an install fails without them.
apt_get="echo \"\$*\" >>'$dir/log'; case \$* in update) >'$dir/lists' ;; *) echo no such package; [ -e '$dir/lists' ] ;; esac"
for rights in root sudo; do
  machine c++ ninja
  stand_in apt-get "$apt_get"
  if [ "$rights" = root ]; then
    stand_in id 'echo 0'
  else
    stand_in id 'echo 1000'
    stand_in sudo '[ "$1" = -n ] && shift; "$@"'
  fi
  rm -f "$dir/lists" "$dir/log"
  dev 0 deps
  [ "$said" = 'installing meson' ] || wrong 'That is not one line about what is installed.'
  dev 0 deps
  tries=$(grep -c 'install -y --no-install-recommends meson$' "$dir/log")
  fetches=$(grep -c '^update$' "$dir/log")
  [ "$tries $fetches" = '3 1' ] || wrong "It tried $tries times and fetched $fetches times; expected were 3 and 1."
done

# What apt-get says comes out where it fails.
stand_in apt-get 'echo no such package; exit 100'
dev 69 demo
says 'no such package'
says 'could not install'

# Unknown commands, and help, which has a line for each one that there is.
dev 64 deom
says "there is no command 'deom'"
dev 0 help
commands=$(sed -n '/^case "$command" in/,/^esac/s/^  \([a-z][a-z]*\)\( |.*\)\{0,1\}).*/\1/p' "$source/dev")
[ "$(printf '%s\n' "$commands" | grep -c .)" -ge 10 ] || wrong 'Its commands cannot be found.'
for command in $commands; do
  printf '%s\n' "$said" | grep -q "^  \([a-z]*, \)*${command}[, ]" || wrong "No line of help begins with '$command'."
done
