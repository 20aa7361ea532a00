"""Forms of what is not to be ("not blue", "without stripes"), and of a new word beside the old ("longer", "red, not
blue").
"""

from triptych.mining.wording.forms import NOTHING, Forms, forms_of, role_in
from triptych.mining.wording.lexicon import (
    comparative,
    compared,
    compared_colours,
    compared_sleeves,
    is_mass,
    is_plural,
    singular_of,
    with_article,
)
from triptych.tagging.vocabulary import Vocabulary

_DEGREES = ("a bit", "slightly", "much")


def negated(vocabulary: Vocabulary, group: str, word: str) -> Forms:
    """The forms of "not this word": any other word of the group is right."""
    role, forms = role_in(vocabulary, group), forms_of(vocabulary, group, word)
    name = singular_of(group).replace("_", " ")
    if role == "kind":
        return _not_kind(forms.nouns[0], name)
    if role == "colour":
        return _not_colour(word)
    if _says_nothing(word, forms):
        return _with_some(forms, name)
    if role == "wearer":
        return _not_wearer(forms)
    if role == "label":
        return Forms(
            role,
            after=(f"with another {name} than {word}",),
            bare=(f"not {word}", f"any {name} but {word}", f"no {word}"),
            clauses=(f"has a different {name}", f"has any {name} but {word}"),
        )
    if role == "medium":
        some = with_article(word)
        return Forms(
            role,
            after=(f"but not as {some}",),
            denied=(some,),
            predicate=(f"not {some}",),
            bare=(f"not {some}", f"not as {some}"),
            clauses=(f"is not {some}", f"is no longer {some}"),
        )
    if forms.lacks:
        return _without(forms, name)
    adjective = (*forms.before, *forms.predicate, word)[0]
    said = forms.predicate[0] if forms.predicate else adjective
    clauses: tuple[str, ...] = (f"is not {said}", f"is no longer {said}")
    after = (f"in any {name} but {word}",) if role == "material" else ()
    if role in ("occasion", "quality") and forms.before and not said.startswith("for "):
        less = f"less {said}" if comparative(said).startswith("more ") else f"not as {said}"
        clauses = (*clauses, f"is {less}")
    return Forms(role, after=after, predicate=(f"not {said}",), clauses=clauses, denied=(said,),
                 bare=(f"not {said}", f"anything but {said}"))  # fmt: skip


def _not_kind(noun: str, name: str) -> Forms:
    some = with_article(noun)
    return Forms(
        "kind",
        predicate=(f"not {some}",),
        denied=(some,),
        clauses=(f"is not {some}", f"is no longer {some}", f"is something other than {some}",
                 f"is a different kind of {'item' if name == 'kind' else name}"),
        bare=(f"not {some}", f"anything but {some}", f"no {noun}", f"something other than {some}"),
    )  # fmt: skip


def _not_colour(word: str) -> Forms:
    return Forms(
        "colour",
        after=(f"in any colour but {word}", f"in a colour other than {word}", "in a different colour",
               "in another colour"),
        predicate=(f"not {word}",),
        denied=(word,),
        clauses=(f"is not {word}", f"is any colour but {word}", "is a different colour", f"is no longer {word}",
                 f"is a colour other than {word}", f"is not {word} in colour", "has a different colour"),
        bare=(f"not {word}", f"anything but {word}", f"any colour but {word}", f"not in {word}",
              "another colour", "different colour"),
    )  # fmt: skip


def _says_nothing(word: str, forms: Forms) -> bool:
    """Whether a word says that something is not there: none, no print, plain, sleeveless."""
    return word in NOTHING or any(one.startswith("no ") for one in forms.has)


def _with_some(forms: Forms, name: str) -> Forms:
    """The wording of a change from "no print" to a print."""
    part = next((one[3:] for one in forms.has if one.startswith("no ") and " on it" not in one), name)
    some = with_article(part)
    said = tuple(f"not {one}" for one in forms.predicate)
    return Forms(
        forms.role,
        after=(f"with {some}",),
        predicate=said,
        denied=forms.predicate,
        has=(some,),
        bare=(*said, f"with {some}", f"has {some}"),
        clauses=(f"has {some}", *(f"is not {one}" for one in forms.predicate)),
    )


def _not_wearer(forms: Forms) -> Forms:
    whom = forms.after[0]
    return Forms(
        "wearer",
        predicate=(f"not {whom}",),
        denied=(whom,),
        clauses=(f"is not {whom}", f"is not made {whom}"),
        bare=(f"not {whom}",),
    )


def _without(forms: Forms, name: str) -> Forms:
    """Of a part, a pattern or a motif: without it."""
    noun = forms.lacks[0]
    some = with_article(noun)
    adjectives = tuple(f"not {one}" for one in forms.predicate)
    countable = () if is_plural(noun) or is_mass(noun) else (f"does not have {some}", f"doesn't have {some}")
    other = f"has a different {name}" if forms.role != "sleeves" else "has different sleeves"
    verb = () if countable else (f"does not have {noun}", f"doesn't have {noun}")
    return Forms(
        forms.role,
        after=tuple(f"without {with_article(one)}" for one in forms.lacks),
        predicate=adjectives,
        denied=forms.predicate,
        has=tuple(f"no {one}" for one in forms.lacks),
        clauses=(*countable, *verb, other, *(f"is {one}" for one in adjectives)),
        bare=(
            *(f"no {one}" for one in forms.lacks),
            *(f"without {with_article(one)}" for one in forms.lacks),
            *adjectives,
        ),
    )


def swapped(vocabulary: Vocabulary, group: str, old: str, new: str) -> tuple[Forms, ...]:
    """The forms that name both words, or how they differ: none where nothing good can be said so."""
    forms, before = forms_of(vocabulary, group, new), forms_of(vocabulary, group, old)
    ways = (_instead(forms, before), _compared(vocabulary, group, old, new, forms), _saying(forms, old))
    return tuple(found for found in ways if found)


def _saying(forms: Forms, old: str) -> Forms | None:
    """A vocabulary's own sayings that name the old word, where that is something to name."""
    said = tuple(saying.replace("{old}", old) for saying in forms.alone if "{old}" in saying)
    return Forms(forms.role, bare=said, after=said) if said and old not in NOTHING else None


def _instead(forms: Forms, old: Forms) -> Forms | None:
    """Red instead of blue."""
    both = _against(forms.predicate, old.predicate) if forms.role in ("colour", "pattern", "wearer", "quality") else ()
    after: tuple[str, ...] = ()
    if forms.after and old.after and forms.role not in ("label", "colour"):
        one, other = forms.after[0], old.after[0]
        if one.split()[0] == other.split()[0] == "with" and not any(part in one + other for part in (" no ", " on it")):
            after = (
                f"{one} instead of {other.removeprefix('with ')}",
                f"{one} rather than {other.removeprefix('with ')}",
            )
    if forms.nouns and old.nouns:
        one, other = with_article(forms.nouns[0]), with_article(old.nouns[0])
        return Forms("kind", bare=_pairs(one, other), clauses=tuple(f"is {said}" for said in _pairs(one, other)))
    if forms.role == "colour" and forms.after and old.after:
        one, other = forms.after[0], old.predicate[0]
        after = (f"{one} instead of {other}", f"{one} rather than {other}", f"{one} and not {other}")
    has = tuple(said.removeprefix("with ") for said in after if said.startswith("with "))
    if not both and not after:
        return None
    clauses = tuple(f"is {said}" for said in both) + tuple(f"has {said}" for said in has)
    return Forms(forms.role, after=after, predicate=both, has=has, bare=both or after, clauses=clauses)


def _against(new: tuple[str, ...], old: tuple[str, ...]) -> tuple[str, ...]:
    return _pairs(new[0], old[0]) if new and old else ()


def _pairs(new: str, old: str) -> tuple[str, ...]:
    return (f"{new} instead of {old}", f"{new} and not {old}", f"{new} rather than {old}", f"not {old} but {new}")


def _compared(vocabulary: Vocabulary, group: str, old: str, new: str, forms: Forms) -> Forms | None:
    """Longer, with longer sleeves, darker."""
    if forms.role == "colour" and (more := compared_colours(old, new)):
        both = (f"{more} and {new}", f"{new} and {more}") if forms.after else (more,)
        clauses = tuple(
            f"is {said}" for said in (more, f"{more} in colour", f"much {more}", *both, f"a bit {more} and {new}")
        )
        return Forms(
            "colour",
            predicate=both,
            bare=(f"{more}, {new}", f"{more}, in {new}"),
            clauses=(*clauses, f"has a {more} colour and is {new}"),
        )
    if forms.role == "sleeves":
        plain = [
            word.replace("-sleeved", "").replace(" sleeves", "").replace("sleeveless", "no") for word in (old, new)
        ]
        if more := compared_sleeves(*plain):
            has = (f"{more} sleeves",)
            return Forms("sleeves", after=(f"with {has[0]}",), has=has, bare=has)
        return None
    if forms.role in ("quality", "feature") and (more := compared(old, new, vocabulary.groups[group])):
        if forms.role == "feature":
            part = singular_of(group)
            return Forms(
                "feature", after=(f"with a {more} {part}",), has=(f"a {more} {part}",), bare=(f"{more} {part}",)
            )
        said = (more, *(f"{degree} {more}" for degree in _DEGREES))
        said = (*said, f"{more} in length") if singular_of(group) == "length" else said
        return Forms("quality", before=(more,), predicate=said, clauses=tuple(f"is {one}" for one in said))
    return None
