#!/bin/sh
# Configures with the wraps alone, as on a machine that has none of the dependencies, and compiles a file that needs
# each. Where nothing can be downloaded it is made of the headers of this system, so that all but the hash is seen to
# work; OpenSSL, which is more than headers, is taken from the system then.
# Usage: wraps.sh SOURCE
set -eu
source=$1
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
fail() { echo "$*"; cat "$dir/log"; exit 1; }

export CCACHE_NOHASHDIR=1 CCACHE_BASEDIR="$dir"
mkdir "$dir/remsh"
(cd "$source" && tar -cf - --exclude=./.git --exclude='./build*' .) | tar -xf - -C "$dir/remsh"
cd "$dir/remsh"
find subprojects -mindepth 1 -maxdepth 1 -type d ! -name packagefiles -exec rm -rf {} +

value() { sed -n "s/^$2 = //p" "subprojects/$1.wrap"; }
configure() { meson setup "$dir/build" . "$wanted" -Dtests=enabled >"$dir/log" 2>&1; }

for wrap in asio doctest fmt openssl; do
  value $wrap source_url | grep -q '^https://' || { echo "$wrap.wrap: not by https"; exit 1; }
  value $wrap source_hash | grep -Eq '^[0-9a-f]{64}$' || { echo "$wrap.wrap: no pinned hash"; exit 1; }
done

# What is not what was pinned is refused.
wanted=--wrap-mode=forcefallback
mkdir subprojects/packagecache
echo 'something else' >"subprojects/packagecache/$(value asio source_filename)"
if configure; then fail 'a file with another hash was taken'; fi
grep -qi 'hash' "$dir/log" || fail 'the refusal does not speak of the hash'
rm -rf "$dir/build" subprojects/packagecache

if python3 -c 'import socket; socket.create_connection(("github.com", 443), 3)' 2>/dev/null; then
  how='from the net'
  wraps='asio doctest fmt openssl'
else
  how='from the headers of this system'
  wraps='asio doctest fmt'
  wanted=--force-fallback-for=asio,doctest,fmt
  headers=$(echo '#include <asio.hpp>' | ${CXX:-c++} -std=c++20 -DASIO_STANDALONE -xc++ -M - 2>/dev/null |
    tr ' ' '\n' | sed -n 's|/asio\.hpp$||p')
  for needed in asio.hpp doctest/doctest.h fmt/format.h; do
    [ -n "$headers" ] && [ -e "$headers/$needed" ] || { echo "skipped: no network, and no $needed here"; exit 77; }
  done
  mkdir -p subprojects/packagecache "$dir/asio/include" "$dir/doctest" "$dir/fmt/include"
  cp -R "$headers/asio" "$headers/asio.hpp" "$dir/asio/include"
  cp -R "$headers/doctest" "$dir/doctest"
  cp -R "$headers/fmt" "$dir/fmt/include"
  for wrap in asio doctest fmt; do
    mkdir "$dir/packed"
    top=$(value $wrap directory)
    if [ $wrap = asio ]; then  # in a folder of its own
      mkdir "$dir/packed/$top" && mv "$dir/asio" "$dir/packed/$top/asio"
    else
      mv "$dir/$wrap" "$dir/packed/$top"
    fi
    file=$PWD/subprojects/packagecache/$(value $wrap source_filename)
    tar -czf "$file" -C "$dir/packed" "$top"
    hash=$(python3 -c 'import hashlib, sys; print(hashlib.sha256(open(sys.argv[1], "rb").read()).hexdigest())' "$file")
    sed -i.orig "s|^source_hash = .*|source_hash = $hash|" "subprojects/$wrap.wrap"
    rm -rf "$dir/packed"
  done
fi

configure || fail "it does not configure with wraps $how"
for wrap in $wraps; do
  grep -Eiq "(subproject|dependency) '?$wrap'?.*(YES|from the?.*subproject)|Executing subproject $wrap" "$dir/log" ||
    fail "$wrap was not taken from its wrap"
done
ninja -C "$dir/build" src/libremsh-objects.a.p/transport_watch.cpp.o src/libremsh-objects.a.p/transport_loop.cpp.o \
  src/libremsh-others.a.p/base_format.cpp.o \
  tests/remsh-api-tests.p/api_fmt_test.cpp.o >"$dir/log" 2>&1 || fail 'it does not compile'
echo "configured and compiled with wraps $how"
