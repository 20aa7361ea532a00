"""The arrows between rooms run one way, and heavy libraries stay where they are used."""

import ast
import re
from pathlib import Path
from types import ModuleType

import triptych

SOURCE = Path(triptych.__file__).parent
# From the bottom up, as docs/architecture.md lists them: a room imports only those that its line names.
ROOMS = {
    "core": "",
    "metrics": "core",
    "encoders": "core",
    "chat": "core",
    "benchmarks": "core",
    "catalog": "core encoders",
    "tagging": "core encoders",
    "triplets": "core catalog",
    "composers": "core encoders tagging",
    "training": "core metrics encoders catalog tagging triplets composers",
    "retrieval": "core encoders chat catalog composers",
    "mining": "core encoders catalog tagging triplets composers training chat",
    "exporting": "core encoders catalog composers retrieval",
    "serving": "core encoders chat catalog tagging retrieval",
    "evaluation": "core metrics encoders chat catalog tagging triplets composers training mining benchmarks",
    "demonstration": "core metrics encoders chat catalog tagging triplets composers training mining benchmarks "
    "evaluation",
    "cli": "core metrics encoders chat benchmarks catalog tagging triplets composers training retrieval mining "
    "exporting serving evaluation demonstration",
}
HEAVY = {"torch", "transformers", "matplotlib", "jinja2", "openai", "httpx2", "fastapi", "uvicorn", "faiss", "psycopg"}
# Torch stands at the top of these alone; other heavy libraries where the second list says.
TORCH = re.compile(
    r"(.*/)?(networks|learners)/.*|training/(loop|checkpoints|losses|grad_cache|processes)\.py|training/inversion/methods\.py"
)
_WEB = ("blind_routes", "forms", "openapi", "page_files", "problems", "program_routes", "routes")
OTHERS = {"chat/endpoint.py"} | {f"serving/{name}.py" for name in _WEB}


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
        room = file.relative_to(SOURCE).parts[0]
        if room == "__init__.py":
            continue
        for name in imports(file, top_level=False):
            package, _, rest = name.partition(".")
            other = rest.partition(".")[0]
            if package == "triptych" and other and other != room:
                assert other in ROOMS[room].split(), f"{file.relative_to(SOURCE)} imports {name}"


def test_heavy_libraries_are_imported_where_used() -> None:
    for file in SOURCE.rglob("*.py"):
        name = file.relative_to(SOURCE).as_posix()
        heavy = {name.partition(".")[0] for name in imports(file, top_level=True)} & HEAVY
        if TORCH.fullmatch(name):
            heavy -= {"torch"}
        if name not in OTHERS:
            assert not heavy, f"{name} imports {heavy} at its top"


def test_no_library_writes_by_a_file_of_its_own() -> None:
    """`safetensors` does in `save_file`, and a kill leaves that file behind."""
    assert [file.name for file in SOURCE.rglob("*.py") if "save_file(" in file.read_text("utf-8")] == []


def test_no_module_imports_itself_by_way_of_others() -> None:
    arrows = {}
    for file in SOURCE.rglob("*.py"):
        module = ".".join(file.relative_to(SOURCE.parent).with_suffix("").parts).removesuffix(".__init__")
        arrows[module] = {name for name in imports(file, top_level=False) if name.startswith("triptych")} - {module}
    done: set[str] = set()

    def visit(module: str, above: tuple[str, ...]) -> None:
        assert module not in above, f"circle: {' -> '.join([*above[above.index(module) :], module])}"
        if module not in done:
            for other in arrows.get(module, ()):
                visit(other, (*above, module))
            done.add(module)

    for module in arrows:
        visit(module, ())


def test_every_public_name_is_there_and_no_module_hides_it() -> None:
    for name in triptych.__all__ * 2:
        assert not isinstance(getattr(triptych, name), ModuleType), name
