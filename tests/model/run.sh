#!/bin/sh
# SPDX-License-Identifier: MIT
# Searches the reservation protocol with spin, then shows that the search can fail: each wrong collector must be
# found out, by the property named beside it. Everything lies under $BUILD; a failure prints the steps that lead to it.
#   run.sh                            all of it, as many searches at once as there are processors
#   run.sh NAME EXPECTED [FLAG...]    one search. EXPECTED: `right`, the property that must fail, `stuck` or `cycle`
set -eu
cd "$(dirname "$0")/../.."
: "${BUILD:=build/model}" "${CC:=cc}"
model=$PWD/tests/model/reservation.pml
export BUILD CC

searches() {
    cat <<'END'
three_calls        right    -DCALLS=3 -DASKS=1
three_calls_strict right    -DCALLS=3 -DASKS=1 -DSTRICT
two_calls          right    -DAGAIN -DESTIMATES
two_calls_strict   right    -DAGAIN -DESTIMATES -DSTRICT
ends               right    -DENDS -DLIMIT=1
ends_strict        right    -DENDS -DLIMIT=1 -DSTRICT
END
    while read -r bug expected flags; do # two calls, room for one
        echo "BUG_$bug $expected -DLIMIT=1 $flags -DBUG_$bug"
    done <<'END'
UNCHECKED     GRANT   -DSTRICT
FREED         GRANT   -DSTRICT
FREED         PRESUME -DSTRICT
REPLY_FIRST   ONCE
TWICE         ONCE
LATE_ASK      ONCE
BOTH          POSTED
TOLD_WINS     POSTED
ESTIMATE      POSTED
EVENT_TWICE   POSTED
LATE_SETTLE   POSTED
EXPIRED_DEAF  POSTED
ACK_FIRST     POSTED
TOLD_WINS     END
KEPT          END
FORGOTTEN     MEMORY  -DSTRICT
NOT_UNDONE    MEMORY
WINDOW        WINDOW
CARRIED       WINDOW
NEVER_EXPIRED stuck
NO_ACK        cycle   -DENDS
END
}

# as_expected EXPECTED: whether `said` is what a right model, or a wrong one that is found out, makes pan say.
as_expected() {
    case $1 in
    right)
        grep -q 'errors: 0' said && ! grep -Eq 'not completed|too small|out of memory' said &&
            { [ "$purpose" != -DSAFETY ] || ! grep -q '^[[:space:]]*([1-9][0-9]* of' said; } # all of the model was reached
        ;;
    stuck) grep -q 'invalid end state' said ;;
    cycle) grep -q 'acceptance cycle' said ;;
    *) grep -q 'assertion violated' said ;; # the only one in it
    esac
}

search() {
    name=$1 expected=$2
    shift 2
    case $expected in
    right) optimise=-O2 ;;
    stuck | cycle) optimise=-O0 && set -- "$@" -DONLY=0 ;;
    *) optimise=-O0 && set -- "$@" "-DONLY=$expected" ;;
    esac
    case " $* " in
    *' -DENDS '*) purpose=-DNOFAIR cycles=-a ;;
    *) purpose=-DSAFETY cycles= ;;
    esac
    mkdir -p "$BUILD/$name-$expected"
    cd "$BUILD/$name-$expected"
    rm -f -- *
    spin -a "$@" "$model" >spin.log
    "$CC" "$optimise" -w "$purpose" -DCOLLAPSE -DMEMLIM=2000 pan.c -o pan
    ./pan -m10000 $cycles >said 2>&1 || true # its status says nothing

    if ! as_expected "$expected"; then
        echo "$name: expected: $expected"
        cat said
        [ ! -f reservation.pml.trail ] || spin -k reservation.pml.trail -t -p "$@" "$model" 2>/dev/null | tail -60
        exit 1
    fi
    sed -n 's/^ *\([0-9]*\) states, stored.*/\1/p' said >states
    [ "$expected" = right ] && verdict='no error' || verdict="found out: $expected"
    printf '%-18s %9d states %7.2f s  %s\n' "$name" "$(cat states)" "$(sed -n 's/.*elapsed time \([0-9.]*\) .*/\1/p' said)" "$verdict"
}

if [ $# -gt 0 ]; then
    search "$@"
    exit
fi
rm -rf "$BUILD"
searches | xargs -P "$(nproc)" -L 1 "$PWD/tests/model/run.sh" || {
    echo "model: failed"
    exit 1
}
cat "$BUILD"/*-right/states | awk '{ n += $1 } END { printf "model: %d states searched, no error", n }'
echo "; $(searches | grep -c BUG_) wrong collectors found out"
