"""The arrows between rooms run one way, and heavy libraries stay where they are used."""

import ast
from pathlib import Path
from types import ModuleType

import triptych

SOURCE = Path(triptych.__file__).parent
# From the bottom up, as docs/architecture.md lists them: a room knows only rooms before it.
ROOMS = [
    "version",
    "errors",
    "extras",
    "files",
    "progress",
    "device",
    "images",
    "metrics",
    "graphs",
    "checkpoints",
    "encoders",
    "catalog",
    "tagging",
    "triplets",
    "chat",
    "agent",
    "composers",
    "refining",
    "inversion",
    "exporting",
    "baselines",
    "wardrobe",
    "benchmarks",
    "results",
    "reproduction",
    "ablation",
    "report",
    "curation",
    "stores",
    "searching",
    "serving",
    "diagnosis",
    "demonstration",
    "cli",
]
HEAVY = {"torch", "transformers", "matplotlib", "jinja2", "openai", "httpx2", "fastapi", "uvicorn", "faiss", "psycopg"}
MAY_BE_HEAVY = {
    "chat/endpoint.py",
    "encoders/clip_text.py",
    "encoders/lora.py",
    "encoders/towers.py",
    "composers/fusion.py",
    "composers/losses.py",
    "composers/gradients.py",
    "composers/mixing.py",
    "composers/networks.py",
    "checkpoints.py",
    "inversion/losses.py",
    "inversion/networks.py",
    "serving/describing.py",
    "serving/forms.py",
    "serving/problems.py",
    "serving/service.py",
}


def imports(file: Path, *, top_level: bool) -> set[str]:
    """Dotted names that a file imports; those for type checkers alone do not count."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    nodes = tree.body if top_level else list(ast.walk(tree))
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def test_arrows_run_one_way() -> None:
    for file in SOURCE.rglob("*.py"):
        room = file.relative_to(SOURCE).parts[0].removesuffix(".py")
        if room == "__init__":
            continue
        for name in imports(file, top_level=False):
            package, _, rest = name.partition(".")
            other = rest.partition(".")[0]
            if package == "triptych" and other and other != room:
                assert ROOMS.index(other) < ROOMS.index(room), f"{file.relative_to(SOURCE)} imports {name}"


def test_heavy_libraries_are_imported_where_used() -> None:
    for file in SOURCE.rglob("*.py"):
        if str(file.relative_to(SOURCE)) not in MAY_BE_HEAVY:
            heavy = {name.partition(".")[0] for name in imports(file, top_level=True)} & HEAVY
            assert not heavy, f"{file.relative_to(SOURCE)} imports {heavy} at its top"


def test_every_public_name_is_there_and_no_module_hides_it() -> None:
    for name in triptych.__all__ * 2:
        assert not isinstance(getattr(triptych, name), ModuleType), name
