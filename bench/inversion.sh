#!/usr/bin/env bash
# Textual-inversion baselines on Kaggle's Fashion Product Images (Small), with the encoder and the catalog that
# bench/fashion_products.sh made. Each baseline uses the prompt, and each sum the weight, that does best on val. The
# picture alone and the words alone are measured beside them.
#
#   bench/inversion.sh [DATA] [RUN] [SPLIT]
#
# SPLIT is val or test (default test). A baseline or a result that exists is not made again; delete its output to repeat
# it. SEEDS (default "0 1 2") are those of training. PIC2WORD_OPTIONS, SEARLE_OPTIONS and LINCIR_OPTIONS are passed to
# `triptych train-inversion`, such as SEARLE_OPTIONS="--limit 4096 --word-steps 60" if finding a word for every picture
# takes too long, or LINCIR_OPTIONS="--captions $run/data/pretrain.csv".
set -euo pipefail
cd "$(dirname "$0")/.."
data=${1:-${TRIPTYCH_DATA:-../shared/data}/fashion-products}
run=${2:-runs/fashion-products}
split=${3:-test}
triptych=.venv/bin/triptych

baselines=()
for seed in ${SEEDS:-0 1 2}; do
    for method in pic2word searle lincir; do
        out=$run/$method-$seed
        options=${method^^}_OPTIONS
        read -ra options <<<"${!options:-}"
        [ -e "$out/config.json" ] ||
            .venv/bin/python bench/measure.py "$run/inversion-stages.jsonl" "$method, seed $seed" \
                $triptych train-inversion $method --catalog "$run/catalog" --out "$out" --seed "$seed" "${options[@]}"
        baselines+=(--composer "$out")
    done
done
[ -e "$run/inversion.$split.json" ] ||
    $triptych eval fashion-products --root "$data" --split "$split" --encoder "$run/encoder" \
        --method picture --method text --method sum --method slerp "${baselines[@]}" --output "$run/inversion.$split.json"
.venv/bin/python bench/write_results.py --print "$run/inversion.$split.json"
