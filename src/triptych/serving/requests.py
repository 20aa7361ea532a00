"""Check the names and types in a request. Unknown parameters are refused, since ignoring them would mislead clients."""

from collections.abc import Collection, Iterable, Mapping
from difflib import get_close_matches
from urllib.parse import parse_qsl

from starlette.datastructures import Headers
from starlette.types import Scope

from triptych.serving.problems import Problem

_FORMS = ("multipart/form-data", "application/x-www-form-urlencoded")
_BODIES: Mapping[str, tuple[str, ...]] = {
    "/v1/search": (*_FORMS, "application/json"),
    "/v1/searches": ("application/json",),
    "/v1/blind": ("application/json",),
    "/v1/blind/choices": ("application/json",),
    "/v1/feedback": ("application/json",),
    "/v1/pictures": _FORMS[:1],
    "/v1/uploads": _FORMS[:1],
    "/v1/compare": ("application/json",),
}
_PARAMETERS: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("GET", "/v1/pictures"): ("k", "offset", "step", "where"),
    ("GET", "/v1/values"): ("column", "contains"),
}
_DRAWINGS = ("/thumbnail", "/full")  # pages append ?v=2 to the URL of a picture to bypass their cache


def check_request(scope: Scope) -> None:
    """Raise Problem for a body of another type, or an unknown parameter."""
    method, path = scope["method"], scope["path"].rstrip("/")
    if method == "PATCH":
        _check_type(Headers(scope=scope).get("content-type", ""), ("application/json",))
    if method == "POST" and path in _BODIES:
        _check_type(Headers(scope=scope).get("content-type", ""), _BODIES[path])
    if path.startswith("/v1/") and not path.endswith(_DRAWINGS):
        known = _PARAMETERS.get((method, path), ())
        names = [name for name, _ in parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)]
        where = "in the URL" if known else "in the URL; send it as a field of the body"
        check_names(names, known, repeatable=("where",), where=where)


def check_names(names: Iterable[str], known: Collection[str], repeatable: Collection[str], where: str = "") -> None:
    """Raise Problem for the first name that is unknown, or is given twice but not `repeatable`."""
    earlier: set[str] = set()
    for name in names:
        if name not in known:
            raise Problem(422, f"{_shown(name)}: is unknown {where}".rstrip() + _instead(name, known))
        if name in earlier and name not in repeatable:
            raise Problem(422, f"{name}: is given twice; give it once")
        earlier.add(name)


def _check_type(given: str, wanted: tuple[str, ...]) -> None:
    kind = given.partition(";")[0].strip().lower()
    if kind not in wanted:
        what = "a form" if wanted[0] in _FORMS else "JSON"
        what += " or JSON" if len(wanted) > len(_FORMS) else ""
        raise Problem(415, f"Content-Type: send {what} ({' or '.join(wanted)}), not {_shown(kind) or 'a body without'}")


def _instead(name: str, known: Collection[str]) -> str:
    if not known:
        return ""
    near = get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]}?" if near else f"; there are {', '.join(known)}"


def _shown(name: str) -> str:
    """A client's name, truncated for a message."""
    return name if len(name) <= 60 else f"{name[:60]}…"
