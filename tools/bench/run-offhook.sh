#!/usr/bin/env bash
# Offhook beside kamailio and rtpengine in one run: REGISTER, refresh, OPTIONS and calls (CPU per operation, alternating
# rounds, median), memory per binding, relay CPU per packet, and many connections (run-connections.sh).
# usage: run-offhook.sh [part...]     parts: register refresh options memory scale start latency overload postgres relay connections (all)
# knobs: OFFHOOK (binary) ROUNDS (9) USERS (10000) OPS (20000) MEMORY_USERS (100000) RELAY_CALLS (100) RELAY_SECONDS (10) SCALE_USERS (1000000) SECONDS_OF_LOAD (60) DURABILITY (power) CONNECTIONS (10000)
. "$(dirname "$0")/lib.sh"
OFFHOOK=${OFFHOOK:-$HERE/../../target/release/offhook}
ROUNDS=${ROUNDS:-9} USERS=${USERS:-10000} OPS=${OPS:-20000} MEMORY_USERS=${MEMORY_USERS:-100000}
RELAY_CALLS=${RELAY_CALLS:-100} RELAY_SECONDS=${RELAY_SECONDS:-10} DURABILITY=${DURABILITY:-power}
SCALE_USERS=${SCALE_USERS:-1000000} SECONDS_OF_LOAD=${SECONDS_OF_LOAD:-60}
[ $# -gt 0 ] || set -- register memory scale start latency overload postgres relay connections

for part in "$@"; do case $part in
  register)
    offhook_start "$USERS" || exit 1
    ROUNDS=$ROUNDS USERS=$USERS OPS=$OPS SIPLOAD=$SIPLOAD bash "$HERE/compare.sh" "$SUT" "$SUT_PID" ${SCENARIOS:-register refresh options invite}
    stop "$SUT_PID" ;;
  refresh | options)
    offhook_start "$USERS" || exit 1
    ROUNDS=$ROUNDS USERS=$USERS OPS=$OPS SIPLOAD=$SIPLOAD bash "$HERE/compare.sh" "$SUT" "$SUT_PID" "$part"
    stop "$SUT_PID" ;;
  postgres)
    # Kamailio writes each binding through to PostgreSQL (db_mode 1) before its answer; both are durable.
    offhook_start "$USERS" || exit 1
    REF=htable:1:postgres:2 ROUNDS=$ROUNDS USERS=$USERS OPS=$OPS SIPLOAD=$SIPLOAD bash "$HERE/compare.sh" "$SUT" "$SUT_PID" register
    stop "$SUT_PID" ;;
  scale) SIPLOAD=$SIPLOAD OFFHOOK=$OFFHOOK ROUNDS=$ROUNDS OPS=$OPS bash "$HERE/run-scale.sh" "$SCALE_USERS" ;;
  start) SIPLOAD=$SIPLOAD OFFHOOK=$OFFHOOK bash "$HERE/run-start-offhook.sh" "$SCALE_USERS" ;;
  latency | overload) SIPLOAD=$SIPLOAD OFFHOOK=$OFFHOOK USERS=$USERS SECONDS_OF_LOAD=$SECONDS_OF_LOAD bash "$HERE/run-load.sh" "$part" ;;
  memory)
    offhook_start "$MEMORY_USERS" || exit 1
    a=$(pss "$SUT_PID")
    "$SIPLOAD" register --server "$SUT" --bind "$BENCH_IP:17000" --users "$MEMORY_USERS" --conc 64 --quiet --allow-errors --pid "$SUT_PID" --label memory
    b=$(pss "$SUT_PID")
    echo "offhook: $MEMORY_USERS bindings: $a KiB with the endpoints alone, $b KiB with their bindings: $(((b - a) * 1024 / MEMORY_USERS)) bytes a binding"
    stop "$SUT_PID"
    bash "$HERE/run-memory.sh" "$MEMORY_USERS" ;;
  relay)
    sqlite_db $((2 * RELAY_CALLS + 20))
    for round in $(seq $((ROUNDS < 5 ? ROUNDS : 5))); do
      offhook_start $((2 * RELAY_CALLS + 20)) || exit 1
      relay() { # label, server, pids
        local pids=() p; for p in ${3//,/ }; do pids+=(--pid "$p"); done
        "$SIPLOAD" invite --server "$2" --bind "$BENCH_IP:17000" --rtp-bind "$BENCH_IP:17600" --users $((2 * RELAY_CALLS + 20)) --count "$RELAY_CALLS" --conc "$RELAY_CALLS" \
          --hold-ms $((RELAY_SECONDS * 1000)) --media "${pids[@]}" --json "$BENCH_DIR/relay.jsonl" --label "$1" --quiet --allow-errors | grep -iE 'error|rtp|cpu|server' ; }
      relay "offhook" "$SUT" "$SUT_PID"
      stop "$SUT_PID"
      rtpengine_start 1 || exit 1
      kam_start htable 0 "$DBURL" 2 -A WITH_RTPENGINE || exit 1
      relay "kamailio+rtpengine" "$SERVER" "$KAM_PID,$RTPE_PID"
      kam_stop; stop "$RTPE_PID"
    done
    python3 - "$BENCH_DIR/relay.jsonl" <<'P'
import json, statistics, sys
rows = [json.loads(line) for line in open(sys.argv[1])]
ours, theirs = ([r["server_us_per_op"] for r in rows if r["label"] == k] for k in ("offhook", "kamailio+rtpengine"))
print(f"relay: cpu us/call offhook {statistics.median(ours):.0f}, kamailio+rtpengine {statistics.median(theirs):.0f}, "
      f"ratio median {statistics.median(a / b for a, b in zip(ours, theirs)):.2f}")
P
    rm -f "$BENCH_DIR/relay.jsonl" ;;
  connections)
    ROUNDS=$((ROUNDS < 3 ? ROUNDS : 3)) OFFHOOK=$OFFHOOK SIPLOAD=$SIPLOAD bash "$HERE/run-connections.sh" "${CONNECTIONS:-10000}" ;;
esac; done
