#!/bin/sh
# SPDX-License-Identifier: MIT
# The collector and the example gateway under a lifelike load, until Ctrl-C (or DEMO_SECONDS).
set -eu
BUILD=${BUILD:-build}
PORT=${DEMO_PORT:-7448}
URL=http://127.0.0.1:$PORT
DIR=$(mktemp -d "${TMPDIR:-/tmp}/tollgate-demo.XXXXXX")
collector='' gateway=''
finish() {
    trap - EXIT INT TERM
    [ -z "$gateway" ] || kill "$gateway" 2>/dev/null || true
    [ -z "$gateway" ] || wait "$gateway" 2>/dev/null || true
    [ -z "$collector" ] || kill "$collector" 2>/dev/null || true
    [ -z "$collector" ] || wait "$collector" 2>/dev/null || true
    rm -rf "$DIR"
}
trap finish EXIT
trap 'exit 0' INT TERM

cat > "$DIR/tollgate.yaml" <<YAML
listen: { events: "ipc://$DIR/run/events.sock", http: "127.0.0.1:$PORT" }
database: { path: $DIR/tollgate.db }
log: { level: warn }
alerts: [{ command: [/usr/bin/tee, $DIR/told.json], group: 0s }]
budgets:
  - name: daily
    scope: { agent: "coder*" }
    per: agent
    limit: 1 usd
    window: day
    timezone: Europe/Berlin
    alerts: [50, 80]
    action: block
    on_error: open
YAML
"$BUILD/tollgated" -c "$DIR/tollgate.yaml" &
collector=$!
i=0
until curl -fs -o "$DIR/ready" "$URL/readyz" 2>/dev/null; do
    kill -0 "$collector" 2>/dev/null || { echo "demo: the collector did not start (is port $PORT taken? DEMO_PORT=N make demo)" >&2; exit 1; }
    i=$((i + 1)); [ $i -lt 100 ] || { echo "demo: the collector is not ready after 10 s" >&2; exit 1; }
    sleep 0.1 # SLEEP_OK: waits for a condition
done

XDG_RUNTIME_DIR=$DIR "$BUILD/example-gateway" --endpoint "ipc://$DIR/run/events.sock" \
    --rate 40 --runaway coder --seconds "${DEMO_SECONDS:-86400}" > "$DIR/gateway.log" 2>&1 &
gateway=$!
sleep 1 # SLEEP_OK: a second of load to show

cat <<TEXT

  The collector runs at $URL, and an example gateway (emitter/examples/gateway.c)
  makes about 40 model calls a second. What its agents used so far:

TEXT
"$BUILD/tollgate" --url "$URL" usage --by agent,model --from -1h
tollgate() { "$BUILD/tollgate" --url "$URL" "$@"; }
state() { tollgate check --agent coder --json | sed -n 's/.*"action": *"\([a-z]*\)".*/\1/p' | head -1; }
until_state() { # what the agent coder comes to; not longer than the gateway runs
    while kill -0 "$gateway" 2>/dev/null && ! case " $* " in *" $(state) "*) true ;; *) false ;; esac; do
        sleep 0.1 # SLEEP_OK: waits for a condition
    done
}
cat <<TEXT

  The agent coder runs away: half of all calls are its own. Its budget is ten lines of YAML:

$(sed -n '/^budgets/,$p' "$DIR/tollgate.yaml" | sed 's/^/    /')

  At 50 % it is warned:

TEXT
until_state warn block
tollgate budgets
printf '\n  At its limit it is stopped, before the next call:\n\n'
until_state block
tollgate check --agent coder || true
printf '\n  Whoever is to hear of it has heard (here a command; Slack, mail, webhooks, ... alike):\n\n'
tollgate alerts
printf '\n  Somebody who may lets it finish (tollgate allow daily +5usd --key coder --for 1h --reason "the release"):\n\n'
tollgate allow daily +5usd --key coder --for 1h --reason "the release"
tollgate check --agent coder || true
cat <<TEXT

  Look around, in another terminal:

    curl -s '$URL/v1/usage?from=-1h&group_by=agent'
    curl -s '$URL/v1/events?limit=3'
    $BUILD/tollgate --url $URL tail
    curl -sN '$URL/v1/stream?kind=dispatch'
    $BUILD/tollgate --url $URL usage --by model,status --bucket 1m
    $BUILD/tollgate --url $URL sessions --order=-tokens
    $BUILD/tollgate --url $URL models
    $BUILD/tollgate --url $URL budgets
    $BUILD/tollgate --url $URL budget explain daily
    $BUILD/tollgate --url $URL alerts --follow
    $BUILD/tollgate --url $URL burn
    $BUILD/tollgate --url $URL pause agent=secretary --reason "too chatty"
    $BUILD/tollgate --url $URL status
    kill -9 $collector     # the gateway does not notice; start the collector again with
    $BUILD/tollgated -c $DIR/tollgate.yaml

  Ctrl-C ends the demo and removes $DIR.
TEXT
wait "$gateway" || true
grep -v '^look at them' "$DIR/gateway.log" | uniq -c | sed 's/^ *1 //; s/^ *\([0-9]*\) /\1 x /' # it is about to go
