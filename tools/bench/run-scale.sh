#!/usr/bin/env bash
# Offhook with few and with many users: memory of an endpoint and of its binding, and what a refresh costs in CPU.
# usage: run-scale.sh [N]     leaves the data directory for run-start-offhook.sh
. "$(dirname "$0")/lib.sh"
OFFHOOK=${OFFHOOK:-$HERE/../../target/release/offhook}
N=${1:-1000000} FEW=${FEW:-10000} ROUNDS=${ROUNDS:-5} OPS=${OPS:-20000}
refresh() { # users, label: a round of refreshes; prints CPU per operation
  "$SIPLOAD" refresh --server "$SUT" --bind "$BENCH_IP:17000" --users "$1" --count "$OPS" --conc 64 --quiet --allow-errors --pid "$SUT_PID" --label "$2" --json "$BENCH_DIR/scale.jsonl" >/dev/null
}
rm -f "$BENCH_DIR/scale.jsonl"
offhook_start "$FEW" || exit 1
for r in $(seq $((ROUNDS + 1))); do refresh "$FEW" few; done
stop "$SUT_PID"
rm -rf "$BENCH_DIR/offhook-$N"
DURABILITY=process offhook_run "$BENCH_DIR/offhook-$N" || exit 1
a=$(pss "$SUT_PID"); offhook_fill "$N" || exit 1
stop "$SUT_PID"
# Started anew: what making the endpoints left behind is gone.
offhook_run "$BENCH_DIR/offhook-$N" || exit 1
sleep 15; b=$(pss "$SUT_PID")
"$SIPLOAD" register --server "$SUT" --bind "$BENCH_IP:17000" --users "$N" --conc 128 --quiet --allow-errors --pid "$SUT_PID" --label fill | grep -E 'ok=|ERROR|us/op'
c=$(pss "$SUT_PID")
echo "scale: $N users: $a KiB empty, $b KiB with the endpoints, $c KiB with their bindings: $(((b - a) * 1024 / N)) bytes an endpoint, $(((c - b) * 1024 / N)) bytes a binding"
for r in $(seq $((ROUNDS + 1))); do refresh "$N" many; done
python3 - "$BENCH_DIR/scale.jsonl" <<'P'
import json, statistics as st, sys
rows = [json.loads(line) for line in open(sys.argv[1])]
few, many = ([r["server_us_per_op"] for r in rows if r["label"] == k][1:] for k in ("few", "many"))
print(f"scale: refresh cpu us/op few {[round(x, 1) for x in few]} many {[round(x, 1) for x in many]}: ratio of medians {st.median(many) / st.median(few):.2f}")
P
stop "$SUT_PID"
