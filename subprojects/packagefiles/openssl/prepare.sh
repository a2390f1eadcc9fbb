#!/bin/sh
# Configures OpenSSL in the build directory, and makes the headers that are generated.
# Usage: prepare.sh BUILD COMPILER MAKE
set -eu
source=$(dirname "$0")
source=$(cd "$source" && pwd)
mkdir -p "$1"
cd "$1"
[ ! -e prepared ] || exit 0
CC=$2 "$source/Configure" no-apps no-docs no-dso no-legacy no-module no-shared no-tests --openssldir=/etc/ssl
"$3" build_generated
touch prepared
