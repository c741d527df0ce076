#!/bin/sh
# SPDX-License-Identifier: MIT
# What `make test-openclaw` runs: installs the gateway under build/openclaw (once), builds the addon,
# and runs the tests: run.sh [unit] [meter] [govern]   all without arguments.
# BUILD names the build directory. Loopback only. KEEP=1 keeps the files of a failed run.
set -eu
HERE=$(cd "$(dirname "$0")" && pwd)
BUILD=$(cd "${BUILD:-$HERE/../../build}" && pwd)
NODE=$BUILD/openclaw/node/package/bin/node
[ $# -gt 0 ] || set -- unit meter govern

"$HERE/install.sh" "$BUILD/openclaw"
"$HERE/../../emitter/bindings/node/build.sh" "$BUILD" "$BUILD/openclaw/node/package/include/node"
for part; do
    case $part in
    unit)
        TOLLGATE_ADDON="$BUILD/tollgate.node" TOLLGATED="$BUILD/tollgated" "$NODE" --test --test-reporter=dot \
            "$HERE/join.test.mjs" "$HERE/addon.test.mjs" "$HERE/hub.test.mjs" "$HERE/gate.test.mjs"
        ;;
    meter) "$NODE" "$HERE/run.mjs" "$BUILD" ;;
    govern) "$NODE" "$HERE/govern.mjs" "$BUILD" ;;
    *) echo "usage: $0 [unit] [meter] [govern]" >&2; exit 2 ;;
    esac
done
