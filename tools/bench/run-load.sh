#!/usr/bin/env bash
# latency: half of the peak rate of REGISTER, for SECONDS_OF_LOAD: percentiles.
# overload: twice the peak for SECONDS_OF_LOAD, with calls of registered users beside it: goodput, memory, calls completed.
# usage: run-load.sh latency|overload     knobs: USERS (10000) SECONDS_OF_LOAD (60) OFFHOOK
. "$(dirname "$0")/lib.sh"
OFFHOOK=${OFFHOOK:-$HERE/../../target/release/offhook}
USERS=${USERS:-10000} T=${SECONDS_OF_LOAD:-60} J=$BENCH_DIR/load.jsonl
rm -f "$J"
offhook_start $((USERS + 2000)) || exit 1
load() { # label, arguments
  "$SIPLOAD" register --server "$SUT" --users "$USERS" --quiet --allow-errors --pid "$SUT_PID" --json "$J" --label "$1" "${@:2}" >/dev/null
}
load warm --bind "$BENCH_IP:17000" --conc 64 --count 20000
load peak --bind "$BENCH_IP:17000" --conc 64 --duration 8
peak=$(python3 -c "import json;print(int([json.loads(l) for l in open('$J')][-1]['ok_per_s']))")
case $1 in
  latency) load half --bind "$BENCH_IP:17000" --conc 5000 --rate $((peak / 2)) --duration "$T" ;;
  overload)
    a=$(pss "$SUT_PID")
    load double --bind "$BENCH_IP:17000" --conc 20000 --rate $((peak * 2)) --duration "$T" --timeout 4 &
    "$SIPLOAD" invite --server "$SUT" --bind "$BENCH_IP:17300" --rtp-bind "$BENCH_IP:17600" --first "$USERS" --users 2000 --rate 20 --duration "$T" --conc 1000 --quiet --allow-errors --json "$J" --label calls >/dev/null
    wait %%; b=$(pss "$SUT_PID")
    echo "overload: memory $a KiB before, $b KiB at the end" ;;
esac
python3 - "$J" "$peak" <<'P'
import json, sys
for r in (json.loads(line) for line in open(sys.argv[1])):
    if r["label"] in ("half", "double", "calls"):
        print(f"{r['label']}: {r['ok_per_s']:.0f}/s ok ({r['ok_per_s'] / int(sys.argv[2]):.2f} of the peak {sys.argv[2]}/s), failed {r['failed']}, "
              f"p50 {r['latency']['p50_us'] / 1e3:.2f} ms p99 {r['latency']['p99_us'] / 1e3:.2f} ms")
P
stop "$SUT_PID"
