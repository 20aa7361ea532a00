"""Split a modification into wanted and excluded phrases: "red, but without stripes" wants red and excludes stripes.

Text encoders largely ignore negation: they place "not blue" near blue (Yuksekgonul et al., *When and Why
Vision-Language Models Behave like Bags-of-Words*, ICLR 2023). So a text is split at English words of negation. A text
without such words is not split. Only common English phrasings are recognised.
"""

import re
from dataclasses import dataclass

_HARMLESS = re.compile(
    r"\bnot (?:only|just|bad|sure)\b|\bnothing (?:else|but)\b"
    r"|\bno (?:matter|problem|other|further|additional|differen\w+|change\w*|need|idea|doubt)\b"
    r"|\bnever ?mind\b|\bwhy not\b|\bif not\b|\bor not\b"
    r"|\b(?:is|are|do|does|did|have|has|could|would|can|ca|wo|won)n['o]?t (?:there|you|we|they)\b"
    r"|\b(?:without|not|never|don't|do not) (?:otherwise )?(?:chang|alter|modify|touch)\w*"
    r"|\bdrop(?:ped)?[- ](?:shoulder|waist|sleeve|crotch|neck|earring)\w*"
)
"""Phrases that contain a word of negation but exclude nothing."""

_CUE = re.compile(
    r"\b(?:anything|everything|all|every \w+|whatever|any(?: \w+){0,2}) (?:but|except|apart from)\b(?: for\b| in\b)?"
    r"|\b(?:other|rather|different) than\b|\bdifferent (?:from|to)\b|\binstead of\b|\bfree (?:of|from)\b"
    r"|\brid of\b|\bdo away with\b|\benough (?:of|with)\b"
    r"|\b(?:tired|sick|bored) (?:of|with)\b|\bfed up with\b|\bcan(?:no|')t stand\b"
    r"|\b(?:leave|leaving|take|taking) (?:out|off|away)\b"
    r"|\bno (?:more|longer)\b|\bnone of\b|\bneither\b|\bnor\b|\bno\b(?!-)|\bnot\b|\bnever\b|\bwithout\b|\bminus\b"
    r"|\bsans\b|\black(?:s|ing)?\b|\bnothing\b"
    r"|\b(?:avoid|skip|ditch|omit|detest|reject|discard)(?:[pt]?ing|e?s|[pt]?ed)?\b"
    r"|\bdrop(?:ping)? (?:the|this|that|those|all)\b"
    r"|\b(?:los|exclud|remov|delet|eliminat|hat|dislik)(?:e|es|ed|ing)\b"
    r"|\b\w+n't\b|\bcannot\b|\b(?:dont|doesnt|isnt|arent|shouldnt|wont|cant|mustnt)\b"
)
"""What makes that which follows unwanted."""

_VERBAL = re.compile(r"n't$|^(?:not|never|cannot|can|dont|hat|dislik|detest|avoid|no longer|no more)")
"""Cues that may come after what is unwanted."""

_CLAUSES = re.compile(r"[.,;:!?()\n]+|\s[-–—]+\s")
_CONTRAST = re.compile(r"\b(?:but|however|though|yet|while|whereas)\b")
_POSITIVE = re.compile(
    r"\band (?=(?:with|in|has|have|is|are|there|shows?|make|change|add|keep|put|turn|give|more|instead|rather|a|an|the"
    r"|it|also|\w+er)\b)"
    r"|\binstead\b(?! of)"
)
"""What ends that which is excluded."""

_AROUND = (
    re.compile(r"\b(?:leave|take)s? (.+?) (?:out|off|away)\b"),
    re.compile(r"(.+?) (?:has|have|needs?|must|should) (?:to )?go(?: away)?(?: please)?\s*$"),
)
"""Phrasings that stand around what is unwanted."""

_EMPTY_WORDS = """
a an the this that these those it its i you we me my your he she they one ones some any all something anything
thing things same similar like alike style item items version kind type sort look looks looking piece model
design option is are am be been being was were do does did have has had having get got make makes made making
want wants wanted wish need needs needed prefers find finding show shows showing give gives see seen search
please can could would should will must may might let in on of for to with by at from as so too very quite
really that's it's i'm i'd i'll and or but if then also just only still yet what which who whatever whichever
exactly there here than other another else different reference original picture photo image target first
previous next time thanks more least rather instead such up out off away go goes going comes come after
change rest nice love great perfect good buy prefer chance getting
"""
_EMPTY = frozenset(_EMPTY_WORDS.split())
"""Words without content: a phrase of only these neither wants nor excludes anything."""

_COLOUR = frozenset({"color", "colour", "colors", "colours", "colored", "coloured"})
"""Also without content, except in phrases such as "colour blocks"."""

_ABSENT = {
    **dict.fromkeys(("sleeve", "sleeves"), "sleeveless"),
    **dict.fromkeys(("strap", "straps"), "strapless"),
    **dict.fromkeys(("collar", "collars"), "collarless"),
    **dict.fromkeys(("pattern", "patterns", "print", "prints"), "plain"),
}
"""Words for the absence of something, which captions use."""


@dataclass(frozen=True)
class SignedPhrases:
    """The phrases that a modification asks for, and those that it excludes."""

    wanted: tuple[str, ...]
    """The wanted phrases; empty if the text only excludes."""
    unwanted: tuple[str, ...]
    """The excluded phrases. They are empty for most texts; then the text itself is the only wanted phrase."""


def signed_phrases(text: str) -> SignedPhrases:
    """Split a modification into wanted and unwanted phrases."""
    plain = _HARMLESS.sub(lambda found: " " * len(found[0]), text.lower().replace("’", "'"))
    if not (_CUE.search(plain) or any(around.search(plain) for around in _AROUND)):
        return SignedPhrases((text,), ())
    wanted: list[str] = []
    unwanted: list[str] = []
    for clause in _CLAUSES.split(plain):
        for part in _contrasted(clause):
            kept, excluded = _parted(part)
            wanted += [kept] if _has_content(kept) else []
            unwanted += [excluded] if _has_content(excluded) else []
    if not unwanted:
        return SignedPhrases((text,), ())
    joined = [", ".join(wanted)] if wanted else []
    absent = [absence for one in unwanted if (absence := absence_of(one))]
    return SignedPhrases((*joined, *absent), tuple(unwanted))


def absence_of(unwanted: str) -> str:
    """The word for something without `unwanted`, such as "sleeveless" for "sleeves"; empty if there is no such word."""
    return _ABSENT.get(unwanted.lower().split()[-1], "") if unwanted.split() else ""


def _contrasted(clause: str) -> list[str]:
    """Split a clause before "but" and similar words, unless they belong to a phrase such as "anything but"."""
    inside = [found.span() for found in _CUE.finditer(clause)]
    cuts = [0]
    for found in _CONTRAST.finditer(clause):
        if not any(start <= found.start() < end for start, end in inside):
            cuts.append(found.start())
    return [clause[start:end] for start, end in zip(cuts, [*cuts[1:], len(clause)], strict=True)]


def _parted(clause: str) -> tuple[str, str]:
    """Split a clause into what it wants and what it excludes."""
    for around in _AROUND:
        if found := around.search(clause):
            return _tidy(clause[: found.start()] + " " + clause[found.end() :]), _tidy(found[1])
    if not (cue := _CUE.search(clause)):
        return _tidy(clause), ""
    before, after, later = clause[: cue.start()], clause[cue.end() :], ""
    if found := _POSITIVE.search(after):
        after, later = after[: found.start()], after[found.end() :]
    if not _has_content(after) and not later:  # "blue is what I do not want", but not "red instead of this"
        return ("", _tidy(before)) if _VERBAL.search(cue[0]) else (_tidy(before), "")
    more, excluded = _parted(later) if later else ("", "")
    return _tidy(f"{before} {more}"), _tidy(f"{_CUE.sub(' ', after)} {excluded}")


def _tidy(phrase: str) -> str:
    """Strip words without content from the ends of a phrase."""
    words = phrase.replace(" - ", " ").split()
    while words and words[0].strip("'\"") in _EMPTY:
        words = words[1:]
    while words and words[-1].strip("'\"") in _EMPTY:
        words = words[:-1]
    return " ".join(words)


def _has_content(phrase: str) -> bool:
    return any(word.strip("'\"") not in _EMPTY | _COLOUR for word in phrase.split())
