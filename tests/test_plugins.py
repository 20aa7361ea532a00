"""The registry of plug-ins: what it takes for a name, and what it says where something is lacking."""

import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, Protocol

import pytest

from triptych.core import plugins
from triptych.core.errors import UsageError
from triptych.core.plugins import Registry


class Greeter(Protocol):
    name: str

    def greet(self, who: str) -> str: ...


class Polite:
    def __init__(self, name: str = "polite", threads: int | None = None) -> None:
        self.name, self.threads = name, threads

    def greet(self, who: str) -> str:
        return f"{self.name} {who}"


@pytest.fixture
def registry() -> Registry[Any]:
    known: Registry[Any] = Registry(
        "greeter", Greeter, "triptych.greeters", flag="--greeter", folder=lambda path: Polite(path.name)
    )
    known.register("polite", Polite)
    known.register("object", Polite("object"))
    known.register_scheme("far:", lambda name, threads: Polite(name, threads), "PLACE")
    return known


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "shop_greeters.py").write_text(
        "class Warm:\n    name = 'warm'\n    def greet(self, who): return who\n"
        "def make(threads): made = Warm(); made.threads = threads; return made\n"
        "instance = Warm()\nclass Mute:\n    name = 'mute'\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "shop_greeters", raising=False)


def test_objects_names_schemes_and_folders(registry: Registry[Any], tmp_path: Path) -> None:
    mine = Polite("mine")
    assert registry.get(mine) is mine
    assert (registry.get("polite", threads=2).threads, registry.get("object").name) == (2, "object")
    assert registry.get("far:away", threads=3).greet("you") == "far:away you"
    (tmp_path / "there").mkdir()
    assert registry.get(str(tmp_path / "there")).name == registry.get(tmp_path / "there").name == "there"


@pytest.mark.usefixtures("module")
def test_module_and_attribute(registry: Registry[Any]) -> None:
    assert registry.get("shop_greeters:Warm", threads=1).greet("you") == "you"
    assert registry.get("shop_greeters:make", threads=4).threads == 4
    assert registry.get("shop_greeters:instance").name == "warm"


@pytest.mark.usefixtures("module")
def test_an_entry_point_of_an_installed_package(registry: Registry[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    entry = EntryPoint("warm", "shop_greeters:Warm", "triptych.greeters")
    monkeypatch.setattr(plugins, "entry_points", lambda group: [entry] if group == entry.group else [])
    assert registry.names() == ["polite", "object", "warm"]
    assert registry.get("warm", from_file=True).name == "warm"


@pytest.mark.usefixtures("module")
@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            "rude",
            "--greeter rude: there is no such greeter; there are polite, object, far:PLACE, a folder, MODULE:ATTRIBUTE",
        ),
        ("no_such_module:Greeter", r"--greeter no_such_module:Greeter: cannot be imported \(No module named"),
        ("shop_greeters:Cold", r"--greeter shop_greeters:Cold: cannot be imported \(module 'shop_greeters' has no"),
        ("shop_greeters:Mute", "shop_greeters:Mute: is no greeter; it lacks greet"),
        (3, "int: is no greeter; it lacks name, greet"),
    ],
)
def test_one_line_where_something_is_lacking(registry: Registry[Any], given: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message) as raised:
        registry.get(given)
    assert "\n" not in str(raised.value)


@pytest.mark.usefixtures("module")
def test_a_file_never_makes_code_run(registry: Registry[Any]) -> None:
    with pytest.raises(UsageError, match="files never run code; give it as --greeter"):
        registry.get("shop_greeters:Warm", from_file=True)
    assert "shop_greeters" not in sys.modules


def test_a_module_in_the_working_directory(
    registry: Registry[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "greeter_here.py").write_text("class Near:\n    name = 'near'\n    def greet(self, who): return who\n")
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(tmp_path)
    assert registry.get("greeter_here:Near").name == "near"
    assert sys.path[-1] == str(tmp_path)
