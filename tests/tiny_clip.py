"""A tiny CLIP with random weights, in the Hugging Face layout."""

import json
from pathlib import Path

WORDS = ["<pad>", "<s>", "<unk>", "a", "photo", "of", "that", "red", "blue", "dress", "in", "is", ",", "</s>"]


def build_tokenizer(folder: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    tokenizer = Tokenizer(models.WordLevel({word: row for row, word in enumerate(WORDS)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", len(WORDS) - 1)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    named = {"pad_token": "<pad>", "eos_token": "</s>", "bos_token": "<s>", "unk_token": "<unk>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(named | {"tokenizer_class": "CLIPTokenizer"}))


def build_clip(folder: Path, **vision: int) -> Path:
    """Where a text is closed, its vector is read. `vision`: what differs in the picture tower."""
    import torch
    import transformers

    torch.manual_seed(0)
    tower = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
    ends = {"bos_token_id": 1, "eos_token_id": len(WORDS) - 1, "pad_token_id": 0}
    config = transformers.CLIPConfig(
        text_config=tower | ends | {"vocab_size": len(WORDS), "max_position_embeddings": 12},
        vision_config=tower | {"image_size": 32, "patch_size": 8} | vision,
        projection_dim=24,
    )
    transformers.CLIPModel(config).save_pretrained(folder)
    build_tokenizer(folder)
    processor = {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}
    transformers.CLIPImageProcessorPil(**processor).save_pretrained(folder)
    return folder


def build_small_clip(folder: Path, tokenizer: Path) -> Path:
    """CLIP's own tokenizer and preprocessing (from the folder `tokenizer`), and one narrow layer in each tower."""
    import torch
    import transformers

    for path in tokenizer.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    config = transformers.CLIPConfig.from_pretrained(tokenizer)
    for tower in (config.vision_config, config.text_config):
        tower.hidden_size, tower.intermediate_size, tower.num_attention_heads, tower.num_hidden_layers = 32, 32, 2, 1
    config.vision_config.image_size, config.vision_config.patch_size, config.projection_dim = 32, 16, 16
    torch.manual_seed(0)
    transformers.CLIPModel(config).save_pretrained(folder)
    preprocessing = json.loads((tokenizer / "preprocessor_config.json").read_text("utf-8"))
    preprocessing |= {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessing))
    return folder
