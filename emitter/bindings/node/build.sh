#!/bin/sh
# SPDX-License-Identifier: MIT
# usage: build.sh BUILD [INCLUDE]   makes BUILD/tollgate.node from the addon and BUILD/libtollgate.a.
# INCLUDE holds node_api.h; by default the headers of the node in $PATH, else Debian's libnode-dev.
# nodelete: the sender's thread must not lose its code when the addon is unloaded.
set -eu
BUILD=$1
HERE=$(cd "$(dirname "$0")" && pwd)
TOP=$HERE/../../..
MSGPACK=$(pkg-config --exists msgpack-c && echo msgpack-c || echo msgpack)

find_headers() {
    beside=$(node -p 'require("path").resolve(process.execPath, "../../include/node")' 2>/dev/null || true)
    for dir in "$beside" /usr/include/node /usr/include/nodejs/src; do
        [ -f "$dir/node_api.h" ] && echo "$dir" && return
    done
    echo "node_api.h not found: install libnode-dev, or name its directory" >&2
    return 1
}
INCLUDE=${2:-$(find_headers)}

# shellcheck disable=SC2046 # flags are words
${CC:-cc} -shared -fPIC -std=c11 -D_GNU_SOURCE -O2 -g -Wall -Wextra -Wshadow -Wmissing-prototypes -Wconversion -Werror \
    -fvisibility=hidden -fstack-protector-strong -Wl,-z,nodelete -Wl,-z,relro,-z,now -Wl,--exclude-libs,ALL \
    -I"$INCLUDE" -I"$TOP/include" "$HERE/addon.c" "$HERE/fields.c" \
    "$BUILD/libtollgate.a" $(pkg-config --cflags --libs libzmq "$MSGPACK") -lpthread -o "$BUILD/tollgate.node"
