"""Estimate the tokens and the cost of calls before they are made."""

from math import ceil

from triptych.chat.request import LIKELY_TOKENS, Call
from triptych.chat.settings import ChatSettings

_CHARACTERS = 4  # characters of English for each token, as in common tokenizers
_PICTURES_PER_ROW = 4  # with --one-image, as `chat.pictures` arranges them


def picture_tokens(width: int, height: int) -> int:
    """Estimate the tokens of one picture by the dearer of two public rules.

    OpenAI's tiles: 85, and 170 for each 512 x 512 (platform.openai.com, "Images and vision", GPT-4o). Qwen2-VL: one
    token for each 28 x 28 pixels (Wang et al. 2024, arXiv 2409.12191, section 2.1).
    """
    tiles = 85 + 170 * ceil(width / 512) * ceil(height / 512)
    return max(tiles, ceil(width / 28) * ceil(height / 28))


def tokens_in(call: Call, settings: ChatSettings) -> int:
    """Estimate the tokens that a model reads for a call."""
    text = len(call.text) + sum(len(turn) for _, turn in call.turns)
    side, count = settings.request.picture_size, len(call.pictures)
    if settings.request.one_image:
        across = min(_PICTURES_PER_ROW, count)
        pictures = picture_tokens(across * side, -(-count // across) * side)
    else:
        pictures = count * picture_tokens(side, side)
    return ceil(text / _CHARACTERS) + pictures


def most_cost(call: Call, settings: ChatSettings) -> float:
    """Estimate the highest cost of a call, that of a reply of full length."""
    most = settings.request.max_tokens
    return settings.cost(call.step, tokens_in(call, settings), min(most, LIKELY_TOKENS) if call.likelihoods else most)
