"""A LLaVA of the real architecture, a few hundred kilobytes small, with random weights and a real chat template.

    python tests/tiny_llava.py FOLDER
    transformers serve FOLDER --port 8901 --device cpu

LLaVA (Liu et al. 2023, arXiv 2304.08485) reads CLIP's patches as words of a Llama; its processor needs no torchvision.
"""

import sys
from pathlib import Path

# As LLaVA 1.5's: pictures first, then the words of each turn.
TEMPLATE = (
    "{% for message in messages %}{{ message['role'].upper() + ': ' }}"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] if part['type'] == 'image' %}<image>\n{% endfor %}"
    "{% for part in message['content'] if part['type'] == 'text' %}{{ part['text'] }}{% endfor %}{% endif %}\n"
    "{% endfor %}{% if add_generation_prompt %}ASSISTANT:{% endif %}"
)
SIDE, PATCH = 56, 14
WORDS = [
    "USER: what differs? ASSISTANT: the same garment in red, with long sleeves",
    '{"targets": [], "picks": [1, 2]}',
]


def build(folder: Path) -> Path:
    """Write model, processor and template to `folder`."""
    import torch
    from tokenizers import ByteLevelBPETokenizer
    from transformers import (
        CLIPImageProcessorPil,
        CLIPVisionConfig,
        LlamaConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
        PreTrainedTokenizerFast,
    )

    trained = ByteLevelBPETokenizer()
    trained.train_from_iterator(WORDS, vocab_size=400, special_tokens=["<s>", "</s>", "<pad>", "<image>"])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=trained._tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        extra_special_tokens={"image_token": "<image>"},
        model_max_length=16384,
    )
    processor = LlavaProcessor(
        image_processor=CLIPImageProcessorPil(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}),
        tokenizer=tokenizer,
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=TEMPLATE,
    )
    torch.manual_seed(0)
    small = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    model = LlavaForConditionalGeneration(
        LlavaConfig(
            vision_config=CLIPVisionConfig(**small, image_size=SIDE, patch_size=PATCH, projection_dim=32),
            text_config=LlamaConfig(
                **small, num_key_value_heads=2, vocab_size=len(tokenizer), max_position_embeddings=16384,
                bos_token_id=0, eos_token_id=1, pad_token_id=2,
            ),
            image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
            vision_feature_layer=-2,
        )
    )  # fmt: skip
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


if __name__ == "__main__":
    build(Path(sys.argv[1]))
