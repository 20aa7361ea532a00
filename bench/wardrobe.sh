#!/usr/bin/env bash
# The generated wardrobe over several seeds (worlds, mining and training all differ), and its tables into docs/results.md:
# the demo, and the default recipe on a larger catalog of the same worlds, with the same queries.
#
#   bench/wardrobe.sh [RUN]
#
# A stage whose output is there is not run again. SEEDS (default "0 1 2"); DESIGNS (default 1000) of the larger catalog.
set -euo pipefail
cd "$(dirname "$0")/.."
run=${1:-runs/wardrobe}
triptych=.venv/bin/triptych
mkdir -p "$run"

stage() { # stage FILE NAME OUTPUT COMMAND…: run and measure, unless OUTPUT is there
    local file=$1 name=$2 output=$3
    shift 3
    [ -e "$output" ] || .venv/bin/python bench/measure.py "$run/$file" "$name" "$@"
}

demos=() larger=()
for seed in ${SEEDS:-0 1 2}; do
    out=$run/seed-$seed
    stage demo.jsonl "demo, seed $seed" "$out/report.html" $triptych demo --world wardrobe --out "$out" --seed "$seed"
    demos+=("$out/results.json")
done
for seed in ${SEEDS:-0 1 2}; do
    out=$run/larger-$seed
    [ -e "$out/world/world.json" ] ||
        $triptych wardrobe --out "$out/world" --seed "$seed" \
            --designs "unlabelled=${DESIGNS:-1000}" --designs val=80 --designs test=160
    stage larger.jsonl "index, seed $seed" "$out/catalog/rejected.csv" \
        $triptych index "$out/world/unlabelled.txt" --root "$out/world/images" --catalog "$out/catalog" --encoder wardrobe
    stage larger.jsonl "mine, seed $seed" "$out/triplets.parquet" \
        $triptych mine --catalog "$out/catalog" --out "$out/triplets.parquet" \
        --vocabulary src/triptych/benchmarks/datasets/wardrobe/vocabulary.json --seed "$seed"
    stage larger.jsonl "train, seed $seed" "$out/composer/config.json" \
        $triptych train "$out/triplets.parquet" --catalog "$out/catalog" --out "$out/composer" --seed "$seed"
    stage larger.jsonl "eval, seed $seed" "$out/results.json" \
        $triptych eval wardrobe --root "$out/world" --method all --composer "$out/composer" --output "$out/results.json"
    larger+=("$out/results.json")
done
.venv/bin/python bench/write_results.py docs/results.md wardrobe "$run/demo.jsonl" "${demos[@]}"
.venv/bin/python bench/write_results.py docs/results.md larger-wardrobe "$run/larger.jsonl" "${larger[@]}"
