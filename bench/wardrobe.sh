#!/usr/bin/env bash
# The demo of the generated wardrobe over several seeds (worlds, mining and training all differ), and its table into
# docs/results.md:
#
#   bench/wardrobe.sh [RUN]
#
# A seed whose report is there is not run again. SEEDS: default "0 1 2".
set -euo pipefail
cd "$(dirname "$0")/.."
run=${1:-runs/wardrobe}
mkdir -p "$run"

results=()
for seed in ${SEEDS:-0 1 2}; do
    out=$run/seed-$seed
    [ -e "$out/report.html" ] || .venv/bin/python bench/measure.py "$run/demo.jsonl" "demo, seed $seed" \
        .venv/bin/triptych demo --world wardrobe --out "$out" --seed "$seed"
    results+=("$out/results.json")
done
.venv/bin/python bench/write_results.py docs/results.md wardrobe "$run/demo.jsonl" "${results[@]}"
