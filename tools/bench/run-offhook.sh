#!/usr/bin/env bash
# Offhook beside kamailio and rtpengine in one run: REGISTER, refresh, OPTIONS and calls (CPU per operation, alternating
# rounds, median), memory per binding, and relay CPU per packet.
# usage: run-offhook.sh [part...]     parts: register memory relay (all)
# knobs: OFFHOOK (binary) ROUNDS (9) USERS (10000) OPS (20000) MEMORY_USERS (100000) RELAY_CALLS (100) RELAY_SECONDS (10) DURABILITY (power)
. "$(dirname "$0")/lib.sh"
OFFHOOK=${OFFHOOK:-$HERE/../../target/release/offhook}
ROUNDS=${ROUNDS:-9} USERS=${USERS:-10000} OPS=${OPS:-20000} MEMORY_USERS=${MEMORY_USERS:-100000}
RELAY_CALLS=${RELAY_CALLS:-100} RELAY_SECONDS=${RELAY_SECONDS:-10} DURABILITY=${DURABILITY:-power}
SUT=$BENCH_IP:16160 SUT_HTTP=$BENCH_IP:16161
[ $# -gt 0 ] || set -- register memory relay

offhook_start() { # users: a fresh data directory with that many endpoints; sets SUT_PID
  local data=$BENCH_DIR/offhook-$1
  rm -rf "$data"
  OFFHOOK_SIP__DOMAINS=$DOMAIN OFFHOOK_STORE__DURABILITY=$DURABILITY OFFHOOK_LOG=warn OFFHOOK_MEDIA__PORTS=20000-59999 OFFHOOK_LIMITS__CALLS=20000 OFFHOOK_LIMITS__TRANSACTIONS=2000000 \
    "$OFFHOOK" dev --json --data-dir "$data" --http "$SUT_HTTP" --sip "$SUT" >"$BENCH_DIR/offhook.ready" 2>"$BENCH_DIR/offhook.log" &
  SUT_PID=$!
  PIDS+=("$SUT_PID")
  local i; for i in $(seq 100); do [ -s "$BENCH_DIR/offhook.ready" ] && break; kill -0 "$SUT_PID" 2>/dev/null || { tail -5 "$BENCH_DIR/offhook.log"; return 1; }; sleep 0.1; done
  python3 - "$BENCH_DIR/offhook.ready" "$1" <<'P' || return 1
import http.client, json, sys, threading
ready, count = json.load(open(sys.argv[1])), int(sys.argv[2])
host = ready["api"]["base_url"].split("//")[1]
headers = {"X-Auth-ID": ready["api"]["auth_id"], "X-Auth-Token": ready["api"]["auth_token"], "Content-Type": "application/json"}
failures = []
path = f"/api/v1/Account/{ready['api']['auth_id']}/Endpoint/"
def create(first):
    connection = http.client.HTTPConnection(host)
    for n in range(first, count, 32):
        connection.request("POST", path, json.dumps({"username": f"u{n:07d}", "password": f"pw{n:07d}"}), headers)
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != 201:
            failures.append(f"{answer.status} {body[:200]}")
            return
threads = [threading.Thread(target=create, args=(k,)) for k in range(32)]
[t.start() for t in threads]; [t.join() for t in threads]
sys.exit(failures[0] if failures else 0)
P
}

for part in "$@"; do case $part in
  register)
    offhook_start "$USERS" || exit 1
    ROUNDS=$ROUNDS USERS=$USERS OPS=$OPS SIPLOAD=$SIPLOAD bash "$HERE/compare.sh" "$SUT" "$SUT_PID" ${SCENARIOS:-register refresh options invite}
    stop "$SUT_PID" ;;
  memory)
    offhook_start "$MEMORY_USERS" || exit 1
    pss() { awk '/^Pss:/{print $2}' "/proc/$1/smaps_rollup"; }
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
esac; done
