#!/bin/sh
# The servers and the clients of messages, in C++ and in Python, in all four pairings: they print the same.
# Arguments: messages_server, messages_client, and the directory of the sources.
set -eu
server=$1 client=$2 sources=$3
command -v python3 >/dev/null || { echo "there is no python3"; exit 77; }
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
cat >"$directory/wanted" <<'END'
[2.25, None, 'junk']
hello
8 bytes: 42 1729 0 0 0
END
for server_is in "$server" "python3 $sources/messages_server.py"; do
  for client_is in "$client" "python3 $sources/messages_client.py"; do
    mkfifo "$directory/address"
    $server_is >"$directory/address" &
    process=$!
    read -r address <"$directory/address"
    rm "$directory/address"
    $client_is "$address" >"$directory/printed"
    wait "$process"
    echo "$server_is, $client_is:"
    diff "$directory/wanted" "$directory/printed"
  done
done
