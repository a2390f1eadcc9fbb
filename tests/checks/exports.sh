#!/bin/sh
# The library gives nothing of third parties to who links it: a host may carry another Asio or fmt. The shared library exports
# nothing of it at all; the static one cannot hide symbols, but has both under names of its own. Nor is there anything
# of the program remsh-slave in it.
# Usage: exports.sh LIBRARY
set -eu

command -v nm >/dev/null || { echo 'skipped: there is no nm'; exit 77; }
case "$1" in
  *.a) symbols=$(nm -C --defined-only "$1") third_parties='(^|[^_:[:alnum:]])(asio|fmt)::' ;;
  *) symbols=$(nm -DC --defined-only "$1") third_parties='(asio|fmt)::|SSL_|EVP_|HMAC|CRYPTO_|X509|BIO_' ;;
esac

# That remsh's own are seen shows that the check can see.
printf '%s\n' "$symbols" | grep -q 'remsh::Error::Error(' || { echo "no remsh::Error in $1"; exit 1; }
if printf '%s\n' "$symbols" | grep -E "$third_parties"; then
  echo "the symbols above are exported from $1"
  exit 1
fi

# The command line of remsh-slave is the program's, not the library's.
if printf '%s\n' "$symbols" | grep -E 'remsh::program::'; then
  echo "the symbols above, of src/programs, are in $1"
  exit 1
fi
