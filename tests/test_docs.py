"""What the documentation says is true: its examples run, and its links, commands, options and names exist."""

import ast
import doctest
import importlib.util
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import typer.main

import triptych
from serving_helpers import picture_file
from triptych.cli import app

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PYTHON_PAGE = DOCS / "how-to" / "python.md"
GENERATED = (DOCS / "reference" / "cli.md", DOCS / "reference" / "api.md")
PAGES = sorted(DOCS.rglob("*.md"))
WRITTEN = [page for page in PAGES if page not in GENERATED and page.parent.name != "history"]
"""Without what a program wrote, and the history, which has the commands of its day."""
AROUND = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "bench/README.md")]

_FENCE = re.compile(r"^ *```([^\n`]*)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)|<img src=\"([^\"]+)\"")
_INLINE = re.compile(r"`([^`\n]+)`")
_OTHER_PROGRAMS = {
    "vllm", "ollama", "uvicorn", "nginx", "psql", "createdb", "curl", "pip", "git", "python", "python3", "llama.cpp",
    "transformers", "docker", "torchrun",
}  # fmt: skip
_FOREIGN_OPTIONS = {"--mmproj", "--without-guard", "--nproc-per-node", "--user", "--no-healthcheck"}
"""Options of other programs, and of bench/, that a sentence names by themselves."""


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def blocks(page: Path, *kinds: str) -> list[str]:
    """The fenced blocks of a page that are of these kinds ("" for those that name none)."""
    return [body for kind, body in _FENCE.findall(text_of(page)) if kind.strip() in kinds]


def prose(page: Path) -> str:
    return _FENCE.sub("", text_of(page))


# Examples


def test_the_python_page(own_catalog: Path, few_garments: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = own_catalog.parent
    shutil.copy(few_garments / "images" / "w000005.jpg", folder / "jacket.jpg")
    (folder / "new.png").write_bytes(picture_file())
    monkeypatch.chdir(folder)
    text = text_of(PYTHON_PAGE).replace("```", "")
    test = doctest.DocTestParser().get_doctest(text, {}, PYTHON_PAGE.name, str(PYTHON_PAGE), 0)
    assert len(test.examples) > 15
    said: list[str] = []
    results = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test, out=said.append)
    assert results.failed == 0, "".join(said)


@pytest.mark.parametrize("page", [ROOT / "README.md", *WRITTEN], ids=named)
def test_python_blocks_name_what_there_is(page: Path) -> None:
    for block in blocks(page, "python"):
        if block.lstrip().startswith(">>>"):
            continue  # the doctest above
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "triptych":
                assert node.attr in triptych.__all__, f"triptych.{node.attr}"
            if isinstance(node, ast.ImportFrom) and node.module == "triptych":
                assert {name.name for name in node.names} <= {*triptych.__all__}


# Links


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings that are the same as plain Markdown on a code host and on the built site."""
    found = set()
    for heading in re.findall(r"^#{1,6} +(.+?) *$", _FENCE.sub("", text_of(page)), re.MULTILINE):
        bare = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "")
        kept = re.sub(r"[^\w\s-]", "", bare).strip().lower()
        host, site = re.sub(r"\s", "-", kept), re.sub(r"[-\s]+", "-", kept)
        if host == site:
            found.add(site)
    return found


@pytest.mark.parametrize("page", [*AROUND, *PAGES], ids=named)
def test_links_lead_somewhere(page: Path) -> None:
    for groups in _LINK.findall(prose(page)):
        link = groups[0] or groups[1]
        address = urlsplit(link)
        if address.scheme:
            assert address.scheme in {"http", "https"}, link
            assert "." in address.netloc, link
            continue
        target = (page.parent / address.path).resolve() if address.path else page
        assert target.is_file(), f"{link}: there is no such file"
        if address.fragment:
            assert target.suffix == ".md", link
            assert address.fragment in anchors(target), f"{link}: no such heading, or its anchor differs on the site"
        if page.is_relative_to(DOCS):
            assert target.is_relative_to(DOCS), f"{link}: leads out of docs/, so the site cannot have it"


def test_every_page_and_picture_is_used() -> None:
    site = text_of(ROOT / "mkdocs.yml")
    for page in PAGES:
        assert f": {page.relative_to(DOCS).as_posix()}\n" in site, f"{named(page)} is not in mkdocs.yml"
    linked = {
        (page.parent / (first or second)).resolve()
        for page in [*AROUND, *PAGES]
        for first, second in _LINK.findall(text_of(page))
    }
    for picture in [path for path in DOCS.rglob("*") if path.suffix in {".png", ".jpg"}]:
        if not picture.name.startswith("search-page-"):  # `make screenshots` writes one more than is shown
            assert picture in linked, f"{named(picture)} is shown nowhere"


# Commands


@cache
def program() -> Any:
    return typer.main.get_command(app)


def command_of(words: list[str]) -> tuple[Any, list[str]]:
    """The command that a line's words name, and the arguments after it."""
    command, rest = program(), words
    while hasattr(command, "commands"):
        assert rest, "no command is named"
        assert rest[0] in command.commands, f"there is no command {rest[0]!r}"
        command, rest = command.commands[rest[0]], rest[1:]
    return command, rest


def parse(words: list[str], *, whole: bool) -> None:
    """Parse a command's arguments as the program does, without running it.

    Args:
        words: what stands behind `triptych`.
        whole: whether all that is required must be there, and the values must fit.
    """
    if words[0] in {"--help", "--version", "COMMAND"}:
        return
    command, arguments = command_of(words)
    if "--help" in arguments:
        return
    context = command.context_class(command, info_name=words[0])
    values, left, _ = command.make_parser(context).parse_args(list(arguments))
    assert not left, f"{' '.join(words)}: nothing takes {left}"
    for parameter in command.params if whole else []:
        value = values.get(parameter.name)
        assert value is not None or not parameter.required, f"{' '.join(words)}: {parameter.name} is missing"
        if value is not None:
            parameter.process_value(context, value)  # a choice, a number within its range


def command_lines(block: str) -> Iterator[list[str]]:
    """The words of each command of a shell block; what is joined by && or | is apart, and comments are left out."""
    for line in re.sub(r"\\\n", " ", block).splitlines():
        lexer = shlex.shlex(line.strip().removeprefix("$ "), posix=True, punctuation_chars="&|;")
        lexer.whitespace_split = True
        words: list[str] = []
        for word in [*lexer, "&"]:
            if set(word) <= set("&|;"):
                if words:
                    yield words
                words = []
            else:
                words.append(word)


@pytest.mark.parametrize("page", [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *WRITTEN], ids=named)
def test_commands_are_those_of_the_program(page: Path) -> None:
    for block in blocks(page, "", "console", "sh", "bash"):
        for words in command_lines(block):
            if words[0] == "triptych":
                parse(words[1:], whole="…" not in words)
            elif words[0] == "make":
                assert re.search(rf"^{words[1]}:", text_of(ROOT / "Makefile"), re.MULTILINE), f"make {words[1]}"
    for snippet in _INLINE.findall(prose(page)):
        if snippet.startswith("triptych ") and "…" not in snippet:
            words = shlex.split(snippet)[1:]
            parse([*words, "VALUE"] if words[-1] in options_with_values() else words, whole=False)
        if re.fullmatch(r"make [a-z-]+", snippet):
            assert re.search(rf"^{snippet[5:]}:", text_of(ROOT / "Makefile"), re.MULTILINE), snippet


@pytest.mark.parametrize("line", ["index p --catalog c --nope", "nope", "eval cirr --split", "mine --catalog c extra"])
def test_a_command_that_does_not_exist_is_noticed(line: str) -> None:
    with pytest.raises(Exception, match=r"."):
        parse(line.split(), whole=False)


def test_a_missing_or_wrong_value_is_noticed() -> None:
    with pytest.raises(AssertionError, match="out is missing"):
        parse(["mine", "--catalog", "c"], whole=True)
    with pytest.raises(Exception, match="valid integer"):
        parse(["mine", "--catalog", "c", "--out", "o.parquet", "--changes", "many"], whole=True)


@cache
def parameters() -> list[Any]:
    """Every option and argument of every command."""

    def below(command: Any) -> list[Any]:
        further = getattr(command, "commands", {}).values()
        return [*command.params, *(parameter for each in further for parameter in below(each))]

    return below(program())


def options() -> set[str]:
    return {name for parameter in parameters() for name in parameter.opts + parameter.secondary_opts} | {"--help"}


def options_with_values() -> set[str]:
    return {name for parameter in parameters() if not getattr(parameter, "is_flag", True) for name in parameter.opts}


@pytest.mark.parametrize("page", [ROOT / "README.md", *WRITTEN], ids=named)
def test_options_are_those_of_the_program(page: Path) -> None:
    for snippet in _INLINE.findall(prose(page)):
        if snippet.split()[0] in _OTHER_PROGRAMS:
            continue
        for option in re.findall(r"(?<![\w/-])--[a-z][a-z0-9-]+", snippet):
            assert option in options() | _FOREIGN_OPTIONS or snippet.startswith("python bench/"), f"`{snippet}`"


def test_installing_is_said_as_it_works() -> None:
    """The package is on no index: it is installed from its folder, with extras that there are."""
    project = tomllib.loads(text_of(ROOT / "pyproject.toml"))["project"]
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *WRITTEN]:
        for command in re.findall(r"pip install[^\n`]*", text_of(page)):
            assert "triptych[" not in command, f"{named(page)}: {command}"
            for extras in re.findall(r"'\.\[([a-z,]+)\]'", command):
                assert {*extras.split(",")} <= {*project["optional-dependencies"]}, command


# Names


@pytest.mark.parametrize("page", [*AROUND[:2], ROOT / "SECURITY.md", ROOT / "bench" / "README.md", *WRITTEN], ids=named)
def test_files_that_are_named_exist(page: Path) -> None:
    for path in re.findall(r"(?<![\w./])(?:src/triptych|tests|bench|examples)/[\w./-]*\w", text_of(page)):
        assert (ROOT / path).exists(), path


def test_where_things_are() -> None:
    """Paths are below the package, and a name is in a file that its paragraph, list item or table row names."""
    page = text_of(DOCS / "where-things-are.md")
    count = 0
    for part in re.split(r"\n\n|\n(?=\d\. |\|)", page.partition("## Five first tasks")[2]):
        found = _INLINE.findall(part)
        paths = [ROOT / "src" / "triptych" / name for name in found if re.fullmatch(r"[a-z_]+/[\w/]*(\.py)?", name)]
        assert all(path.exists() for path in paths), paths
        texts = [text_of(path) for path in paths if path.suffix == ".py"]
        for name in found:
            if texts and re.fullmatch(r"[A-Z]\w+(\.\w+)?|[a-z]+_\w+", name):
                assert any(name.rpartition(".")[2] in text for text in texts), name
                count += 1
    assert count >= 10


@cache
def functions_of(file: str) -> list[str]:
    return re.findall(r"^def (test_\w+)", text_of(ROOT / "tests" / file), re.MULTILINE)


def test_the_tests_that_pages_name_exist() -> None:
    every = {name for path in (ROOT / "tests").glob("test_*.py") for name in functions_of(path.name)}
    for text in map(text_of, (DOCS / "security.md", DOCS / "reference" / "benchmarks.md")):
        for file, name in re.findall(r"`(?:tests/)?(test_\w+\.py)::(test_\w+)", text):
            assert name in functions_of(file), f"{file}::{name}"
        for name in re.findall(r"`::(test_\w+)", text):
            assert name in every, name
    page = text_of(DOCS / "reliability.md")
    files = {letter: file for file, letter in re.findall(r"`tests/(test_\w+\.py)`[^(]*\(([A-Z])\)", page)}
    for line in page.splitlines():
        if line.startswith("| ") and (cell := re.match(r"[A-Z] `", line.split(" | ")[-1])):
            for letter, names in re.findall(r"([A-Z]) ((?:`\w+`(?:, )?)+)", line.split(" | ")[-1]):
                for name in _INLINE.findall(names):
                    assert any(name in test for test in functions_of(files[letter])), f"{letter} {name}: {cell}"


def test_addresses_of_the_service_exist() -> None:
    sources = "".join(map(text_of, sorted((ROOT / "src/triptych/serving").glob("*routes.py"))))
    routes = set(re.findall(r"\"(/[\w/{}.]*)\"", sources))
    known = [re.compile(re.sub(r"\{\w+\}", "[^/]+", route) or "/") for route in routes]
    for page in WRITTEN:
        for path in re.findall(
            r"(?:127\.0\.0\.1|localhost):8000(/(?!v1)[\w/.-]*)|`(?:GET|POST|DELETE) (/[\w/{}]+)`", text_of(page)
        ):
            address = path[0] or path[1]
            assert any(route.fullmatch(address) for route in known), f"{named(page)}: {address}"


# Generated pages, and the site


@pytest.fixture(scope="module")
def reference() -> Any:
    spec = importlib.util.spec_from_file_location("write_reference", ROOT / "bench" / "write_reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_command_line_reference_is_that_of_the_program(reference: Any) -> None:
    assert text_of(GENERATED[0]) == reference.cli_page(), (
        "docs/reference/cli.md is behind the program: `make reference`"
    )


def test_the_api_reference_has_every_public_name(reference: Any) -> None:
    page = text_of(GENERATED[1])
    assert page == reference.api_page(), "docs/reference/api.md is behind the docstrings: `make reference`"
    assert set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)) == {*triptych.__all__} - {"__version__"}


@pytest.mark.slow
def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    for module in ("mkdocs", "mkdocstrings"):
        pytest.importorskip(module, reason="needs the extra docs")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    pages = {path.relative_to(tmp_path).with_suffix(".md") for path in tmp_path.rglob("*.html")}
    assert {page.relative_to(DOCS) for page in PAGES} <= pages
    assert "Raises" in (tmp_path / "reference" / "api.html").read_text(encoding="utf-8")
