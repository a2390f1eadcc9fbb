#!/bin/sh
# The shared library exports what is remsh's and nothing of Asio's: a host may carry another Asio.
# Usage: exports.sh LIBRARY
set -eu

command -v nm >/dev/null || exit 77
symbols=$(nm -DC --defined-only "$1")

# That remsh's own are seen shows that the check can see.
printf '%s\n' "$symbols" | grep -q 'remsh::Error::Error(' || { echo "no remsh::Error in $1"; exit 1; }
if printf '%s\n' "$symbols" | grep 'asio::'; then
  echo "the symbols above are exported from $1"
  exit 1
fi
