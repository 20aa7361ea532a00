#!/usr/bin/env bash
# The rivals by textual inversion on Kaggle's Fashion Product Images (Small), with the encoder and the catalog that
# bench/fashion_products.sh made.
#
#   bench/rivals.sh [DATA] [RUN] [SPLIT]
#
# SPLIT is val or test (default test). A rival or a result that is there is not made again. SEEDS (default "0 1 2").
set -euo pipefail
cd "$(dirname "$0")/.."
data=${1:-${TRIPTYCH_DATA:-../shared/data}/fashion-products}
run=${2:-runs/fashion-products}
split=${3:-test}
triptych=.venv/bin/triptych

rivals=()
for seed in ${SEEDS:-0 1 2}; do
    for method in pic2word searle lincir; do
        out=$run/$method-$seed
        [ -e "$out/config.json" ] ||
            .venv/bin/python bench/measure.py "$run/rival-stages.jsonl" "$method, seed $seed" \
                $triptych invert $method --catalog "$run/catalog" --out "$out" --seed "$seed"
        rivals+=(--composer "$out")
    done
done
[ -e "$run/rivals.$split.json" ] ||
    $triptych eval fashion-products --root "$data" --split "$split" --encoder "$run/encoder" \
        --method sum --method slerp "${rivals[@]}" --output "$run/rivals.$split.json"
$triptych table "$run/rivals.$split.json" --decimals 1
