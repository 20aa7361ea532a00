#!/usr/bin/env bash
# The whole flow on Kaggle's Fashion Product Images (Small), and its table into docs/history/results-2026-11.md.
#
#   bench/fashion_products.sh [DATA] [RUN]
#
# DATA holds styles.csv and images/ (default $TRIPTYCH_DATA/fashion-products, else ../shared/data/fashion-products);
# RUN keeps what is made (default runs/fashion-products). A stage that has finished is not run again: delete its
# output to repeat it. SEEDS (default "0 1 2") are those of training.
set -euo pipefail
cd "$(dirname "$0")/.."
data=${1:-${TRIPTYCH_DATA:-../shared/data}/fashion-products}
run=${2:-runs/fashion-products}
seeds=${SEEDS:-0 1 2}
mkdir -p "$run"
triptych=.venv/bin/triptych

stage() { # stage NAME OUTPUT COMMAND…: run and measure, unless OUTPUT is there
    local name=$1 output=$2
    shift 2
    [ -e "$output" ] || .venv/bin/python bench/measure.py "$run/stages.jsonl" "$name" "$@"
}

stage prepare "$run/data/test.txt" $triptych prepare fashion-products --root "$data" --out "$run/data"
stage pretrain "$run/encoder/config.json" \
    $triptych pretrain "$run/data/pretrain.csv" --images "$data/images" --out "$run/encoder" --from scratch
stage index "$run/catalog/rejected.csv" \
    $triptych index "$run/data/unlabelled.txt" --root "$data/images" --catalog "$run/catalog" --encoder "$run/encoder"
stage mine "$run/triplets.parquet" \
    $triptych mine --catalog "$run/catalog" --out "$run/triplets.parquet" --seed 0
composers=()
for seed in $seeds; do
    stage "train, seed $seed" "$run/composer-$seed/config.json" \
        $triptych train "$run/triplets.parquet" --catalog "$run/catalog" --out "$run/composer-$seed" --seed "$seed"
    composers+=(--composer "$run/composer-$seed")
done

stage eval "$run/results.json" \
    $triptych eval fashion-products --root "$data" --encoder "$run/encoder" --method all "${composers[@]}" \
    --output "$run/results.json"
.venv/bin/python bench/write_results.py docs/history/results-2026-11.md fashion-products-scratch "$run/stages.jsonl" "$run/results.json"
