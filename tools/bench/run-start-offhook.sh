#!/usr/bin/env bash
# From exec to the first served REGISTER and to the moment when all N bindings are known, after SIGKILL; whether an answer in
# between says that somebody is not registered who is.
# usage: run-start-offhook.sh [N]     takes the data directory that run-scale.sh left, or makes it
. "$(dirname "$0")/lib.sh"
OFFHOOK=${OFFHOOK:-$HERE/../../target/release/offhook}
N=${1:-1000000}
if [ ! -d "$BENCH_DIR/offhook-$N" ]; then
  DURABILITY=process offhook_start "$N" || exit 1
  stop "$SUT_PID"
fi
offhook_run "$BENCH_DIR/offhook-$N" || exit 1
"$SIPLOAD" register --server "$SUT" --bind "$BENCH_IP:17000" --users "$N" --conc 128 --quiet --allow-errors --label fill | grep -E 'ok=|ERROR'
for round in 1 2 3; do
  kill -9 "$SUT_PID"; wait "$SUT_PID" 2>/dev/null
  t0=$(date +%s%N)
  offhook_run "$BENCH_DIR/offhook-$N" &
  # The first REGISTER is sent again every 100 ms until it is answered; then everybody is asked for.
  python3 - "$SIPLOAD" "$SUT" "$BENCH_IP" "$N" "$t0" <<'P'
import re, subprocess, sys, time
load, server, ip, n, t0 = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5])
since = lambda: (time.time_ns() - t0) / 1e6
run = lambda *args: subprocess.run([load, *args, "--server", server, "--quiet", "--allow-errors"], capture_output=True, text=True).stdout
counts = lambda out: tuple(int(re.search(k + r"=(\d+)", out).group(1)) for k in ("ok", "failed"))
while counts(run("register", "--users", "1", "--first", str(n // 2), "--bind", f"{ip}:17100", "--t1", "100", "--timeout", "0.5"))[0] != 1 and since() < 60e3: pass
print(f"start: first REGISTER after {since():.0f} ms", flush=True)
# A query lists the bindings: failed is an answer without this user's, or none in time.
wrong, first = 0, None
while since() < 60e3:
    ok, failed = counts(run("query", "--users", "20000", "--first", str(n - 20000), "--conc", "256", "--bind", f"{ip}:17000", "--timeout", "20"))
    wrong += failed
    if failed == 0: break
print(f"start: the last 20000 bindings known after {since():.0f} ms, answers wrong or missing until then {wrong}", flush=True)
P
  wait %% 2>/dev/null
  SUT_PID=$(cat "$BENCH_DIR/offhook.pid"); PIDS+=("$SUT_PID")
done
stop "$SUT_PID"
