"""Detect regular expressions of a tokenizer that could run forever by catastrophic backtracking."""

import re
from dataclasses import dataclass

_LONGEST = 2000  # characters of a pattern; those of well-known tokenizers have about 300 at most
_REPEATS = 4  # unlimited repetitions in sequence in a branch; well-known patterns have two
_BOUNDED = 16  # up to this count a limited repetition is harmless
_QUANTIFIER = re.compile(r"(?:[*+?]|\{(\d*)(,?)(\d*)\})[+?]?")
_ESCAPE = re.compile(r"\\[pP]\{[^}]*\}|\\.", re.DOTALL)
_CALL = re.compile(r"\\[1-9kg]|\(\?\(|\(\?[R0-9&]|\(\?<?[~*]")  # back to what was matched, or to a part of the pattern
_OPENING = re.compile(r"\((?:\?(?:<[=!]|<\w+>|[A-Za-z-]*:|[=!>]|[A-Za-z-]*(?=\))))?")
_CLASS = re.compile(r"\[\^?\]?(?:\\[pP]\{[^}]*\}|\\.|\[:[^]]*:\]|[^\]\\])*\]", re.DOTALL)


@dataclass
class _Group:
    branches: int = 1
    repeats: int = 0
    """The number of unlimited repetitions in the branch that is being read."""
    most: int = 0
    """The number of unlimited repetitions in the branch with the most."""


def may_run_for_ever(pattern: str) -> bool:
    """Whether matching a regular expression may take time that grows exponentially, or very fast, with a text's length.

    That is possible if a group is repeated without a limit and itself has repetitions or alternatives, if many
    unlimited repetitions follow each other, or if there are back references. Some harmless patterns are reported, too.
    """
    if len(pattern) > _LONGEST or _CALL.search(pattern):
        return True
    groups = [_Group()]
    place = 0
    while place < len(pattern):
        closed = None
        character = pattern[place]
        if character == "(":
            groups.append(_Group())
            place = _end(_OPENING, pattern, place)
            continue
        if character == "|":
            groups[-1].branches += 1
            groups[-1].repeats = 0
            place += 1
            continue
        if character == ")" and len(groups) > 1:
            closed = groups.pop()
            groups[-1].repeats += closed.most
            place += 1
        else:
            place = _end(_CLASS if character == "[" else _ESCAPE, pattern, place)
        found = _QUANTIFIER.match(pattern, place)
        if found:
            place = found.end()
            if _is_endless(found):
                if closed and (closed.most or closed.branches > 1):
                    return True
                groups[-1].repeats += 1
        groups[-1].most = max(groups[-1].most, groups[-1].repeats)
        if groups[-1].most > _REPEATS:
            return True
    return len(groups) > 1


def _end(token: re.Pattern[str], pattern: str, place: int) -> int:
    """The end of the token at `place`, or the next character if there is no such token."""
    found = token.match(pattern, place)
    return found.end() if found else place + 1


def _is_endless(found: re.Match[str]) -> bool:
    sign = found.group()[0]
    if sign != "{":
        return sign != "?"
    low, comma, high = found.groups()
    return bool(comma and not high) or max(int(low or 0), int(high or 0)) > _BOUNDED
