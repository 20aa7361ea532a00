"""Make text from elsewhere safe to show: one line, no control characters,
limited length. And hash a text to a number."""

import hashlib
import json
import re
import unicodedata

_STEERING = ("Cc", "Cf")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def clean(text: str) -> str:
    """Put a text on one line without control, formatting and private characters,
    and without half of a surrogate pair."""
    kept = "".join(
        " " if character.isspace() else character
        for character in text
        if character.isspace() or unicodedata.category(character)[0] != "C"
    )
    return " ".join(kept.split())


def escaped(text: str) -> str:
    r"""A text with each control, formatting and private character as Python writes it, such as `\x1b`."""
    return "".join(
        character.encode("unicode_escape").decode() if unicodedata.category(character)[0] == "C" else character
        for character in text
    )


def escaped_json(text: str) -> str:
    """JSON with each character escaped that could steer a terminal and that JSON leaves as it is."""

    def written(character: str) -> str:
        if character == "\n" or unicodedata.category(character) not in _STEERING:
            return character
        if ord(character) > 0x9F:
            return json.dumps(character)[1:-1]  # escaped; a character beyond 16 bits as two surrogates
        return f"\\u{ord(character):04x}"

    return "".join(map(written, text))


def truncate(text: str, most: int) -> str:
    """Clean a text, and cut it to at most `most` characters."""
    return clean(text[: 4 * most])[:most]


def cell(text: str) -> str:
    """A text for a cell of a CSV. An apostrophe before = + - @ at its start keeps spreadsheets from taking it for a
    formula.

    Numbers stay numbers. Control characters are escaped, so that a newline in a file's name makes no second row.
    """
    shown = escaped(text)
    if shown[:1] in ("=", "+", "-", "@") and not _NUMBER.fullmatch(shown):
        return f"'{shown}"
    return shown


def hash_number(text: str) -> int:
    """A number of 64 bits that depends on the text alone, for choices that need no order and no random state."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
