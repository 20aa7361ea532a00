"""Find patterns of a tokenizer that could run forever, since a backtracking engine tries every way to split a text."""

import re
from dataclasses import dataclass

_LONGEST = 2000  # characters of a pattern; those of well-known tokenizers have up to some 300
_REPEATS = 4  # of any number, one after the other in a branch; well-known patterns have two
_BOUNDED = 16  # a count up to which a repetition is no danger
_QUANTIFIER = re.compile(r"(?:[*+?]|\{(\d*)(,?)(\d*)\})[+?]?")
_ESCAPE = re.compile(r"\\[pP]\{[^}]*\}|\\.", re.DOTALL)
_CALL = re.compile(r"\\[1-9kg]|\(\?\(|\(\?[R0-9&]|\(\?<?[~*]")  # back to what was matched, or to a part of the pattern
_OPENING = re.compile(r"\((?:\?(?:<[=!]|<\w+>|[A-Za-z-]*:|[=!>]|[A-Za-z-]*(?=\))))?")
_CLASS = re.compile(r"\[\^?\]?(?:\\[pP]\{[^}]*\}|\\.|\[:[^]]*:\]|[^\]\\])*\]", re.DOTALL)


@dataclass
class _Group:
    branches: int = 1
    repeats: int = 0
    """Unlimited repetitions in the branch that is being read."""
    most: int = 0
    """Unlimited repetitions in the branch with the most of them."""


def may_run_for_ever(pattern: str) -> bool:
    """Whether matching a regular expression may take time that grows exponentially, or fast, with the length of a text.

    That is possible if something is repeated without a limit and itself repeats or has alternatives, if many such
    repetitions follow each other, and if the pattern refers back. Some harmless patterns are reported, too.
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
    """Where the token at `place` ends, or else the next character."""
    found = token.match(pattern, place)
    return found.end() if found else place + 1


def _is_endless(found: re.Match[str]) -> bool:
    sign = found.group()[0]
    if sign != "{":
        return sign != "?"
    low, comma, high = found.groups()
    return bool(comma and not high) or max(int(low or 0), int(high or 0)) > _BOUNDED
