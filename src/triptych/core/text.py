"""Foreign text made safe to show: one line, no control characters, of bounded length."""

import unicodedata


def clean(text: str) -> str:
    """One line without control, formatting and private characters, and without half a surrogate pair."""
    kept = "".join(
        " " if character.isspace() else character
        for character in text
        if character.isspace() or unicodedata.category(character)[0] != "C"
    )
    return " ".join(kept.split())


def escaped(text: str) -> str:
    """`text` with each control, formatting and private character as Python writes it, such as `\\x1b`."""
    return "".join(
        character.encode("unicode_escape").decode() if unicodedata.category(character)[0] == "C" else character
        for character in text
    )


def truncate(text: str, most: int) -> str:
    """`text`, cleaned, and no longer than `most` characters."""
    return clean(text[: 4 * most])[:most]
