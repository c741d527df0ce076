#!/bin/sh
# SPDX-License-Identifier: MIT
# Every figure with its ratio to a limit measured in the same run; see bench.py for what is measured how.
#   run.sh [emit] [check] [ingest] [latency] [idle] [flat] [query] [memory] [disk] [export] [viewers]
#          [admit] [verdict] [alert] [ingest_budgets]      all by default
set -eu
cd "$(dirname "$0")/../.."
: "${BUILD:=build}"
export TOLLGATE_BUILD="$BUILD"
names=${*:-emit check ingest latency idle admit verdict alert ingest_budgets flat query memory disk export viewers}
case " $names " in *" emit "*) "$BUILD/bench/bench_emit" ;; esac
case " $names " in *" check "*) "$BUILD/bench/bench_check" ;; esac
# shellcheck disable=SC2086 # one argument for each name
python3 -B tests/bench/bench.py $names
