#!/bin/sh
# SPDX-License-Identifier: MIT
# Builds each fuzzer with clang and the sanitizers and runs it for FUZZ_SECONDS (30) from seeds made of the golden
# vectors. What it finds lies under $BUILD; a finding fails the run.
#   run.sh [decode] [inquiry] [post] [config] [slab] [verdict] [destination]      all of them by default
set -eu
cd "$(dirname "$0")/../.."
: "${BUILD:=build/fuzz}" "${FUZZ_SECONDS:=30}" "${CC:=clang}"
case $CC in *clang*) ;; *) CC=clang ;; esac
msgpack=$(pkg-config --exists msgpack-c && echo msgpack-c || echo msgpack)
packages="glib-2.0 jansson libcurl sqlite3 yaml-0.1 $msgpack"
flags="-std=c11 -D_GNU_SOURCE -Iinclude -O1 -g -Wall -Wextra -Werror -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all"
base=$(ls collector/base/*.c)
govern=$(printf 'collector/govern/%s.c ' amount budget budget_parse definition duration instant pattern policy scope subject window)

alarm="collector/alarm/alert.c collector/alarm/runaway_rule.c $(echo collector/alarm/destination*.c)"

sources() {
    case $1 in
    decode) echo "$base collector/ingest/decode.c collector/ingest/named.c" ;;
    inquiry) echo "$base collector/ingest/inquiry.c collector/govern/subject.c" ;;
    post) echo "$base collector/ingest/decode.c collector/ingest/named.c collector/ingest/post.c" ;;
    config) echo "$base collector/daemon/address.c collector/daemon/config.c collector/daemon/config_govern.c collector/daemon/yaml_json.c $govern $alarm" ;;
    destination) echo "$base $govern collector/govern/verdict.c $alarm $(echo collector/alarm/payload*.c)" ;;
    verdict) echo "emitter/frame.c emitter/linux.c emitter/list.c emitter/page.c emitter/place.c emitter/record.c emitter/ring.c emitter/spool.c emitter/verdict.c" ;;
    slab) echo "collector/base/slab.c collector/base/slab_merge.c collector/base/slab_pack.c" ;;
    esac
}

mkdir -p "$BUILD"
rm -rf "$BUILD/seeds"
python3 -B tests/fuzz/seeds.py "$BUILD/seeds"
for name in ${*:-decode inquiry post config slab verdict destination}; do
    # shellcheck disable=SC2046,SC2086 # words are meant
    "$CC" $flags $(pkg-config --cflags $packages) "tests/fuzz/fuzz_$name.c" $(sources "$name") -o "$BUILD/fuzz_$name" \
        $(pkg-config --libs $packages) -lpthread
    mkdir -p "$BUILD/corpus/$name"
    echo "fuzz_$name: $FUZZ_SECONDS s"
    if ! "$BUILD/fuzz_$name" -max_total_time="$FUZZ_SECONDS" -max_len=4096 -rss_limit_mb=1024 -timeout=10 -print_final_stats=1 \
        -artifact_prefix="$BUILD/$name-" "$BUILD/corpus/$name" "$BUILD/seeds/$name" 2>"$BUILD/fuzz_$name.log"; then
        tail -40 "$BUILD/fuzz_$name.log"
        exit 1
    fi
    sed -n 's/^stat::number_of_executed_units: */  executed /p' "$BUILD/fuzz_$name.log"
done
