"""Write the generated pages of the documentation: docs/reference/cli.md and docs/reference/api.md.

python bench/write_reference.py [docs/reference]
"""

import inspect
import re
import subprocess
import sys
from pathlib import Path

import triptych

SECTIONS = {
    "Catalogs and search": ("catalog", "retrieval"),
    "Mining": ("mining", "triplets", "chat"),
    "Composers and training": ("composers", "training"),
    "Encoders and export": ("encoders", "exporting"),
    "Benchmarks and evaluation": ("benchmarks", "evaluation"),
    "Service": ("serving",),
    "The rest": ("core", "demonstration"),
}
"""Title of a section: the subpackages whose public names it holds."""

_HEAD = """# Python API

Every public name of the package `triptych`, by topic. Below each table the site shows the whole docstrings, which
`help(triptych.NAME)` shows as well. [In Python](../how-to/python.md) is the introduction.

This page is generated from the docstrings: `make reference`.
"""


def cli_page() -> str:
    """The command line, as Typer documents it."""
    command = [sys.executable, "-m", "typer", "triptych.cli", "utils", "docs", "--name", "triptych"]
    written = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    head, rest = written.split("\n", 1)
    note = "This page is generated from the program: `make reference`. `triptych COMMAND --help` says the same."
    # Outside of code, `<word` would be taken for HTML.
    parts = re.split(r"(```.*?```|`[^`\n]*`)", rest.rstrip(), flags=re.DOTALL)
    text = "".join(part if part.startswith("`") else part.replace("<", "&lt;") for part in parts)
    return "\n".join([head.replace("`triptych`", "Command line"), "", note, text, ""])


def api_page() -> str:
    """A table of names for each section, and what mkdocstrings replaces by the docstrings."""
    homes = {**triptych._HOME, "TriptychError": "triptych.core.errors"}
    parts = [_HEAD]
    for title, packages in SECTIONS.items():
        names = sorted((name for name, home in homes.items() if home.split(".")[1] in packages), key=str.lower)
        rows = [f"| `{name}` | {_first_line(name)} |" for name in names]
        parts.append("\n".join([f"## {title}\n", "| name | what it is |", "|---|---|", *rows, ""]))
        parts += [f"::: {homes[name]}.{name}\n" for name in names]
    return "\n".join(parts)


def _first_line(name: str) -> str:
    value = getattr(triptych, name)
    if name == "KNOWN_ENCODERS":  # a mapping has no docstring of its own
        return "Encoders to choose from: name to what it is for, its size and its licence."
    text = (inspect.getdoc(value) or "").split("\n\n")[0].replace("\n", " ")
    return text.replace("|", "\\|").replace("<", "&lt;")


if __name__ == "__main__":
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "docs/reference")
    (folder / "cli.md").write_text(cli_page(), encoding="utf-8")
    (folder / "api.md").write_text(api_page(), encoding="utf-8")
