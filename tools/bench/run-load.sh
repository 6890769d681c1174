#!/usr/bin/env bash
# latency: half of the peak rate of REGISTER, for SECONDS_OF_LOAD, then half of the peak rate of calls: percentiles.
# overload: twice the peak for SECONDS_OF_LOAD, with calls of registered users beside it: goodput, memory, calls completed.
#   The server has one core and the generators another one, so that neither takes the other's time. A generator is hardly
#   cheaper than the server, so BRAKES busy loops share the server's core: with four it has a fifth of it, before and under load.
# Phones have addresses of their own, and threads of the server are chosen by them: 50 sockets.
# usage: run-load.sh latency|overload
# knobs: USERS (10000; at least 50000 for overload) SECONDS_OF_LOAD (60) CALLS_PER_SECOND (20) TIMES (2: of the peak) BRAKES (4) OFFHOOK
. "$(dirname "$0")/lib.sh"
OFFHOOK=${OFFHOOK:-$HERE/../../target/release/offhook}
USERS=${USERS:-10000} T=${SECONDS_OF_LOAD:-60} J=$BENCH_DIR/load.jsonl CALLERS=2000 PIN=
if [ "$1" = overload ]; then
  # Those who wait for an answer are not started again: with fewer users the generator would hold itself back.
  USERS=$((USERS > 50000 ? USERS : 50000))
  if [ "$(nproc)" -gt 1 ]; then SUT_PIN="taskset -c 0" PIN="taskset -c 1"; fi
fi
rm -f "$J" "$BENCH_DIR"/load.*.txt
offhook_start $((USERS + CALLERS)) || exit 1
if [ "$1" = overload ]; then
  for brake in $(seq "${BRAKES:-4}"); do ${SUT_PIN:-} sh -c 'while :; do :; done' & PIDS+=($!); done
fi
load() { # label, arguments
  $PIN "$SIPLOAD" register --server "$SUT" --sockets 50 --users "$USERS" --quiet --allow-errors --pid "$SUT_PID" --json "$J" --label "$1" "${@:2}" >"$BENCH_DIR/load.$1.txt"
}
load warm --bind "$BENCH_IP:17000" --conc 64 --count 20000
for many in 64 256 1024 1024; do load peak --bind "$BENCH_IP:17000" --conc "$many" --duration 4; done
peak=$(python3 -c "import json;print(int(max(r['ok_per_s'] for r in map(json.loads, open('$J')) if r['label'] == 'peak')))")
calls() { # label, arguments
  $PIN "$SIPLOAD" invite --server "$SUT" --bind "$BENCH_IP:17300" --rtp-bind "$BENCH_IP:17600" --sockets 50 --users "$CALLERS" --quiet --allow-errors --json "$J" --label "$1" "${@:2}" >"$BENCH_DIR/load.$1.txt"
}
case $1 in
  latency)
    load half --bind "$BENCH_IP:17000" --conc 5000 --rate $((peak / 2)) --duration "$T"
    for many in 16 64 64; do calls call-peak --conc "$many" --duration 4; done
    most=$(python3 -c "import json;print(int(max(r['ok_per_s'] for r in map(json.loads, open('$J')) if r['label'] == 'call-peak')))")
    calls half-calls --conc 500 --rate $((most / 2)) --duration "$T" ;;
  overload)
    a=$(hwm "$SUT_PID")
    # The callers are registered before the overload begins, and call all the time.
    calls calls --first "$USERS" --rate "${CALLS_PER_SECOND:-20}" --duration $((T + 3)) --conc 1000 &
    beside=$!
    sleep 3
    load double --bind "$BENCH_IP:17000" --conc "$USERS" --rate $((peak * ${TIMES:-2})) --duration "$T" --timeout 4
    wait "$beside"; b=$(hwm "$SUT_PID")
    echo "overload: at most $a KiB resident before, $b KiB at the end" ;;
esac
python3 - "$J" "$peak" <<'P'
import json, os, sys
peak = int(sys.argv[2])
for r in (json.loads(line) for line in open(sys.argv[1])):
    if r["label"] in ("half", "double", "calls", "half-calls"):
        ringing = r["more"].get("INVITE to 18x")
        of_peak = f" (INVITE to 180: p50 {ringing['p50_us'] / 1e3:.2f} ms p99 {ringing['p99_us'] / 1e3:.2f} ms)" if ringing else f" ({r['ok_per_s'] / peak:.2f} of the peak {peak}/s)"
        print(f"{r['label']}: {r['started'] / r['secs']:.0f}/s begun, {r['ok_per_s']:.0f}/s ok{of_peak}, {100 * r['ok'] / max(r['started'], 1):.2f} % of those begun; "
              f"{r['retransmitted']} retransmissions, p50 {r['latency']['p50_us'] / 1e3:.2f} ms p99 {r['latency']['p99_us'] / 1e3:.2f} ms; {r['errors'] or 'no errors'}")
print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} CPUs: on a shared machine the figures are rough")
P
grep -h overloaded "$BENCH_DIR/offhook.log" | tail -3
curl -s "http://$SUT_HTTP/health" | grep -o '"counters":{[^}]*}'
stop "$SUT_PID"
