#!/bin/sh
# SPDX-License-Identifier: MIT
# Every figure with its ratio to a limit measured in the same run; see bench.py for what is measured how.
#   run.sh [emit] [ingest] [latency] [idle]      all of them by default
set -eu
cd "$(dirname "$0")/../.."
: "${BUILD:=build}"
export TOLLGATE_BUILD="$BUILD"
names=${*:-emit ingest latency idle}
for name in $names; do
    if [ "$name" = emit ]; then
        "$BUILD/bench/bench_emit"
    else
        python3 -B tests/bench/bench.py "$name"
    fi
done
