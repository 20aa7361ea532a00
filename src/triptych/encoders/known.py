"""Encoders to choose from: those that ship with the package, and some of a model hub."""

from collections.abc import Mapping

KNOWN_ENCODERS: Mapping[str, str] = {
    "photos": "built in, the default: real photos and English; 22 MB, no torch; licences in its MODEL_CARD.md",
    "wardrobe": "built in: the drawings of `triptych wardrobe` and nothing else; 12 MB, no torch",
    "hf:BAAI/BGE-VL-base": "general photos, trained for composed retrieval; 150 million weights, 299 MB; MIT",
    "hf:BAAI/BGE-VL-large": "the same, larger; 428 million weights, 855 MB; MIT",
    "hf:openai/clip-vit-base-patch32": "general photos; 151 million weights, about 600 MB; MIT (OpenAI's repository)",
    "hf:google/siglip2-base-patch16-224": "general photos, many languages; 375 million weights, 1.5 GB; Apache-2.0",
    "hf:patrickjohncyh/fashion-clip": "clothes as shops show them; 151 million weights, about 600 MB; MIT",
}
"""What each encoder is for, its size and its licence, by the name that `--encoder` takes. Those with `hf:` are fetched
from the Hugging Face Hub on first use, and need the extra `hf`."""
