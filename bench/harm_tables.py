"""The tables of do_no_harm.py, from the results of its cells."""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

Result = Mapping[str, Any]
OWN = "own catalog"
_HEAD = (
    "| encoder | catalog | test | queries | picture | text | sum | composer | ahead | with truth | ahead | trust "
    "| verdict |\n"
    "|---|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|---|"
)


def tables(results: Sequence[Result]) -> str:
    """A row for each test of each cell, and what they come to."""
    lines = [_HEAD]
    for result in results:
        lines += [_row(result, test, first=test is result["tests"][0]) for test in result["tests"]]
    return "\n".join([*lines, "", *summary(results)]) if results else "no cell has a result yet"


def _row(result: Result, test: Result, *, first: bool) -> str:
    recall, ahead = test["recall"], test["ahead"]
    parts = [short(result["encoder"]), result["catalog"]] if first else ["", ""]
    parts += [test["task"], str(test["queries"])]
    parts += [f"{recall[name]:.1f}" for name in ("picture", "text", "sum")]
    for name in ("composer", "judged"):
        parts += [f"{recall[name]:.1f}", _span(ahead[name])] if name in recall else ["–", "–"]
    trust = [f"{value:.2f}" for value in result["trust"].values() if value is not None]
    parts += [" → ".join(trust), _verdict(result)] if first else ["", ""]
    return f"| {' | '.join(parts)} |"


def short(encoder: str) -> str:
    """An encoder's name without the folder that it is in."""
    return encoder.rpartition("/")[2]


def _span(found: Sequence[float]) -> str:
    return "{:+.1f} ({:+.1f} to {:+.1f})".format(*found)


def _verdict(result: Result) -> str:
    refused = refusal(result)
    if refused:
        return refused
    verdict = result["stages"]["judge"]
    return f"{verdict['decided']}: {_span((verdict['difference'], *verdict['interval']))}"


def refusal(result: Result) -> str:
    """The stage that refused, with its reason; empty where none did."""
    return next(
        (f"{name} refused: {stage['gave_up']}" for name, stage in result["stages"].items() if "gave_up" in stage), ""
    )


def harmed(result: Result, method: str, *, own: bool) -> bool:
    """Whether a method is below the best of picture, text and sum beyond the interval, on some test of the cell.

    `own` says whether on queries over the cell's own catalog, or on its tests.
    """
    return any(test["ahead"][method][2] < 0 for test in _tests(result, own) if method in test["ahead"])


def gain(result: Result, method: str, *, own: bool) -> float:
    """By how many points a method is ahead in the mean of the cell's tests; 0 where there is no composer."""
    return fmean(test["ahead"][method][0] if method in test["ahead"] else 0.0 for test in _tests(result, own))


def _tests(result: Result, own: bool) -> list[Result]:
    return [test for test in result["tests"] if (test["task"] == OWN) == own]


def summary(results: Sequence[Result]) -> list[str]:
    """Lines about harm, refusals and gains, and about the verdicts."""
    lines = [f"{len(results)} cells"]
    lost = [result for result in results if _decided(result) == "worse"]
    refused = [result for result in results if refusal(result)]
    lines.append(f"refused: {len(refused)} by mining or training, {len(lost)} by the verdict")
    for own in (False, True):
        where = "queries over the own catalog" if own else "the tests"
        without = [result for result in results if harmed(result, "composer", own=own)]
        judged = [result for result in results if result not in lost and harmed(result, "judged", own=own)]
        gains = [gain(result, "composer", own=own) for result in results]
        used = [0.0 if result in lost else gain(result, "judged", own=own) for result in results]
        lines.append(
            f"on {where}: without truth {len(without)} harmed{_named(without)}, mean gain {fmean(gains):+.1f}; "
            f"with truth {len(judged)} harmed{_named(judged)}, mean gain {fmean(used):+.1f}"
        )
    return [*lines, *_verdicts(results)]


def _named(results: Sequence[Result]) -> str:
    names = [f"{short(result['encoder'])}/{result['catalog']}" for result in results]
    return f" ({', '.join(names)})" if names else ""


def _decided(result: Result) -> str | None:
    return result["stages"].get("judge", {}).get("decided")


def _verdicts(results: Sequence[Result]) -> list[str]:
    """How often the verdict was decided, and right by the larger set."""
    with_verdict = [result for result in results if _decided(result)]
    decided = [result for result in with_verdict if _decided(result) != "undecided"]
    lines = [f"verdicts: {len(decided)} of {len(with_verdict)} decided"]
    for own in (True, False):
        right, against = 0, []
        for result in decided:
            sign = 1 if _decided(result) == "better" else -1
            found = [test["ahead"]["verdict"] for test in _tests(result, own)]
            right += sign * fmean(mean for mean, *_ in found) > 0
            if any(high < 0 if sign > 0 else low > 0 for _, low, high in found):
                against.append(result)
        where = "the larger set of the same kind" if own else "the tests"
        other = f"{len(against)} the other way beyond its interval{_named(against)}"
        lines.append(f"by {where}: {right} of {len(decided)} right, {other}")
    return lines
