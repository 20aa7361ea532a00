"""Options dataclasses: ranges, nesting, and the flags that the command line makes of them."""

from dataclasses import dataclass
from typing import Annotated, Any

import pytest
import typer
from typer.testing import CliRunner

from triptych.cli.options import When, takes
from triptych.core.environment import Runtime
from triptych.core.errors import UsageError
from triptych.core.options import check_ranges, flag_of, flat_options, from_flat, nested, option


@dataclass(frozen=True)
class Inner:
    rate: float = option(0.5, "Rate.", above=0, max=1)
    parts: tuple[str, ...] = option((), "Parts.", choices=("a", "b"))

    def __post_init__(self) -> None:
        check_ranges(self)


@dataclass(frozen=True)
class Outer:
    epochs: int = option(3, "Passes.", min=1)
    inner: Inner = nested(Inner)
    whole: bool = option(True, "All of it.")
    band: tuple[float, float] | None = option(None, "Range.", flag="--similarity", metavar="LOW HIGH")
    engine: Any = option(None, "A plug-in.")
    k: int = option(10, "How many.", flag="-k", min=1)

    def __post_init__(self) -> None:
        check_ranges(self)


@dataclass(frozen=True)
class Extra:
    model: str | None = option(None, "Model.", flag="--extra")
    top: int = option(10, "Top.", flag="--extra-top", min=2)

    def __post_init__(self) -> None:
        check_ranges(self)


def run(*args: str) -> tuple[list, Exception | None]:
    got: list = []
    app = typer.Typer()

    @app.command()
    @takes
    def command(
        name: str, options: Outer, extra: Annotated[Extra | None, When("extra")], runtime: Runtime, last: int = 0
    ) -> None:
        """Do it."""
        got.extend([name, options, extra, runtime, last])

    return got, CliRunner().invoke(app, [*args]).exception


def test_flags_are_the_fields() -> None:
    flags = ["--epochs", "--rate", "--parts", "--whole", "--similarity", "--engine", "-k"]
    assert [item.flag for item in flat_options(Outer)] == flags
    assert flag_of(Outer, "band") == "--similarity"


def test_a_command_gets_dataclasses() -> None:
    assert run("x") == (["x", Outer(), None, Runtime(), 0], None)
    flags = "--epochs 5 --rate 0.1 --parts b --parts a --no-whole --similarity 0.1 0.2 --engine e -k 3"
    flags += " --extra m --extra-top 4 --last 2"
    expected = Outer(5, Inner(0.1, ("b", "a")), False, (0.1, 0.2), "e", 3)
    assert run("x", *flags.split(), "--threads", "1") == (["x", expected, Extra("m", 4), Runtime(1), 2], None)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--epochs 0", "--epochs 0: must be at least 1"),
        ("--rate 0", "--rate 0.0: must be above 0"),
        ("--rate nan", "--rate nan: must be a finite number"),
        ("--rate 2", "--rate 2.0: must be at most 1"),
        ("-k 0", "-k 0: must be at least 1"),
        ("--parts c", "--parts c: choose one of a, b"),
        ("--extra-top 4", "--extra-top goes with --extra"),
    ],
)
def test_what_is_out_of_range_is_said_with_its_flag(flags: str, message: str) -> None:
    got, error = run("x", *flags.split())
    assert (got, type(error), str(error)) == ([], UsageError, message)


def test_options_out_of_flat_names() -> None:
    assert from_flat(Outer, {"epochs": 1, "rate": 1.0, "similarity": (0.0, 1.0)}) == Outer(1, Inner(1.0), True, (0, 1))
    with pytest.raises(
        UsageError, match="no option 'rates'; there are epochs, rate, parts, whole, similarity, engine, k"
    ):
        from_flat(Outer, {"rates": 1})


def test_a_device_that_is_absent() -> None:
    with pytest.raises(UsageError, match="--device nonsense: cannot be used"):
        Runtime(device="nonsense").torch_device()
