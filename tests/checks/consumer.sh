#!/bin/sh
# Builds and runs a host program against remsh, as hosts do.
# Usage: consumer.sh subproject|dist|pkg-config|cmake SOURCE BUILD
set -eu
how=$1
source=$2
build=$3
host=$source/tests/checks/consumer
cxx=${CXX:-c++}

skip() { echo "skipped: $*"; exit 77; }

# The name of the temporary directory is new each time; what is compiled in it is not.
export CCACHE_NOHASHDIR=1

dir=$(mktemp -d)
export CCACHE_BASEDIR="$dir"
trap 'rm -rf "$dir"' EXIT

# Installs into the temporary directory, and lets remsh.pc know of it.
install_remsh() {
  command -v pkg-config >/dev/null || skip 'there is no pkg-config'
  meson install -C "$build" --no-rebuild --quiet --destdir "$dir/root"
  pc=$(find "$dir/root" -name remsh.pc)
  pkgconfig=$(dirname "$pc")
  libdir=$(dirname "$pkgconfig")
  sed -i.orig "s|^prefix=|prefix=$dir/root|" "$pc"
  PKG_CONFIG_PATH=$pkgconfig
  LD_LIBRARY_PATH=$libdir
  export PKG_CONFIG_PATH LD_LIBRARY_PATH
}

case "$how" in
  subproject | dist)
    cp "$host"/*.cpp "$host/meson.build" "$dir"
    mkdir "$dir/subprojects"
    if [ "$how" = dist ]; then  # what is released, made of the last commit
      [ -e "$source/.git" ] || skip 'this is no clone'
      meson dist -C "$build" --no-tests --allow-dirty --formats gztar >"$dir/log" 2>&1 || { cat "$dir/log"; exit 1; }
      tar -xzf "$build"/meson-dist/remsh-*.tar.gz -C "$dir/subprojects"
      mv "$dir"/subprojects/remsh-* "$dir/subprojects/remsh"
      git -C "$source" ls-tree -r --name-only HEAD -- include src packaging subprojects LICENSE >"$dir/committed"
      while read -r file; do
        [ -e "$dir/subprojects/remsh/$file" ] || { echo "$file is committed, and not released"; exit 1; }
      done <"$dir/committed"
    else
      ln -s "$source" "$dir/subprojects/remsh"
    fi
    meson setup "$dir/build" "$dir" --wrap-mode=nodownload -Ddebug=false >"$dir/log" 2>&1 || { cat "$dir/log"; exit 1; }
    if grep -i 'warning' "$dir/log"; then
      echo 'remsh is not quiet as a subproject'
      exit 1
    fi
    # It has all files that 'subproject' compiles; that they are those of the last commit is no matter of a compiler.
    [ "$how" != dist ] || exit 0
    ninja -C "$dir/build"
    "$dir/build/host"
    # What only remsh's authors want is not built for a host.
    if find "$dir/build/subprojects" -type f -path '*test*' | grep .; then
      echo 'tests are built within a host'
      exit 1
    fi
    ;;
  pkg-config)
    install_remsh
    # What is installed decides: a static library, a shared one, or both, of which the static one is asked for by name.
    flags=$(pkg-config --cflags remsh)
    if [ -e "$libdir/libremsh.a" ]; then
      # shellcheck disable=SC2086  # flags are words
      $cxx -std=c++20 -Wall -Wextra -Werror $flags "$host"/*.cpp -o "$dir/static" \
        $(pkg-config --static --libs remsh | sed "s|-lremsh|$libdir/libremsh.a|")
      "$dir/static"
    fi
    if [ -e "$libdir/libremsh.so" ]; then
      # shellcheck disable=SC2046,SC2086
      $cxx -std=c++20 -Wall -Wextra -Werror $flags "$host"/*.cpp -o "$dir/shared" $(pkg-config --libs remsh) -pthread
      "$dir/shared"
      ldd "$dir/shared" | grep -q 'libremsh\.so\.0\.1 ' || { echo 'the host does not ask for libremsh.so.0.1'; exit 1; }
    fi
    ;;
  cmake)
    command -v cmake >/dev/null || skip 'there is no cmake'
    install_remsh
    cmake -S "$host" -B "$dir/build" -DCMAKE_PREFIX_PATH="$dir/root$(sed -n 's/^prefix=//p' "$pc.orig")" \
      -DCMAKE_LIBRARY_ARCHITECTURE="$(basename "$libdir")"
    cmake --build "$dir/build"
    "$dir/build/host"
    ;;
esac
