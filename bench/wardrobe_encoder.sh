#!/usr/bin/env bash
# Rebuild the encoder that ships in the package, from the wardrobe's pretraining garments (seed 0).
set -euo pipefail
cd "$(dirname "$0")/.."
run=${1:-runs/wardrobe}
.venv/bin/triptych wardrobe --out "$run/world" --designs pretrain=6000 --views 1
.venv/bin/triptych pretrain "$run/world/pretrain.csv" --images "$run/world/images" --out "$run/encoder" --from scratch \
    --width 48 --epochs 16
cp "$run"/encoder/{config.json,model.safetensors,words.safetensors,tokenizer.json,picture.onnx,text.onnx} src/triptych/encoders/wardrobe/
.venv/bin/python bench/training_statistics.py wardrobe
