#!/bin/sh
# SPDX-License-Identifier: MIT
# What `make test-openclaw` runs: installs the gateway under build/openclaw (once), builds the addon,
# and runs the tests. BUILD names the build directory. Loopback only. KEEP=1 keeps the files of a failed run.
set -eu
HERE=$(cd "$(dirname "$0")" && pwd)
BUILD=$(cd "${BUILD:-$HERE/../../build}" && pwd)
NODE=$BUILD/openclaw/node/package/bin/node

"$HERE/install.sh" "$BUILD/openclaw"
"$HERE/../../emitter/bindings/node/build.sh" "$BUILD" "$BUILD/openclaw/node/package/include/node"
export TOLLGATE_ADDON="$BUILD/tollgate.node" TOLLGATED="$BUILD/tollgated"
"$NODE" --test --test-reporter=dot "$HERE/join.test.mjs" "$HERE/addon.test.mjs" "$HERE/hub.test.mjs" "$HERE/gate.test.mjs"
unset TOLLGATE_ADDON
exec "$NODE" "$HERE/run.mjs" "$BUILD"
