#!/bin/sh
# The first block of C++ in the README is a program that is compiled and tested: this very file.
# Usage: readme.sh README.md twenty_lines.cpp
set -eu
block=$(mktemp)
trap 'rm -f "$block"' EXIT
awk '/^```cpp$/ { inside = 1; next } /^```$/ { if (inside) exit } inside' "$1" >"$block"
diff -u "$2" "$block"
