"""Each command for an anchor in docs/reference/published-rows.md runs, but for weights, pictures and a server.

Models are tiny, random, and in the published layouts; pictures are made; the annotations are CIRCO's official
ones.
"""

import json
import os
import re
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("transformers", reason="needs the extra hf")
pytest.importorskip("httpx2", reason="needs the extra chat")

from loopback import Loopback, completion, content_for
from made_benchmarks import read, write, write_picture
from test_joint import build_bge, build_qwen
from tiny_clip import build_small_clip
from triptych.cli import main
from triptych.encoders import qwen_vl
from triptych.tagging import tagger

DATA = Path(os.environ.get("TRIPTYCH_DATA", "../shared/data"))
PAGE = Path(__file__).parents[1] / "docs" / "reference" / "published-rows.md"
HEADING = "### Commands for these rows"
pytestmark = pytest.mark.skipif(not (DATA / "circo").is_dir(), reason=f"no annotations of CIRCO in {DATA}")


def commands() -> list[str]:
    """The commands of the page's block."""
    text = PAGE.read_text("utf-8")
    [block] = re.findall(r"```\n(.*?)```", text[text.index(HEADING) :].partition("\n### `")[0], re.S)
    return [line for line in block.splitlines() if not line.startswith("#")]


def respond(body: dict[str, Any]) -> Any:
    """A chat model that reasons, judges, compiles and checks without looking."""
    system = body["messages"][0]["content"]
    if "You turn a request to a picture search into phrases" in system:
        return completion(json.dumps({"target": "a red dress", "keep": ["a photo"], "avoid": []}))
    if "You check an answer" in system:
        return completion(json.dumps({"changed": True, "kept": True, "grade": 5}))
    return completion(json.dumps(content_for(body)))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with everything that the commands name."""
    folder = tmp_path_factory.mktemp("anchors")
    for number in range(60):
        write_picture(folder / "PICTURES" / f"{number}.png", number, (32, 32))
    rows = [f"{number}.png,a photo of a {'red' if number % 2 else 'blue'} dress" for number in range(60)]
    (folder / "texts.csv").write_text("image,caption\n" + "\n".join(rows) + "\n")
    circo = folder / "CIRCO"
    (circo / "annotations").mkdir(parents=True)
    named: set[int] = set()
    for split in ("val", "test"):
        content = read(DATA / "circo" / "annotations" / f"{split}.json")
        write(circo / "annotations" / f"{split}.json", content)
        for query in content:
            named |= {query["reference_img_id"], *query.get("gt_img_ids", ())}
    coco = circo / "COCO2017_unlabeled"
    images = [{"id": number, "file_name": f"{number:012}.jpg"} for number in sorted(named)]
    write(coco / "annotations" / "image_info_unlabeled2017.json", {"images": images})
    for each in images:
        write_picture(coco / "unlabeled2017" / each["file_name"], each["id"], (16, 16))
    for name in ("clip", "bge", "qwen"):
        (folder / name).mkdir()
    build_small_clip(folder / "clip", DATA / "clip-vit-base-patch32-tokenizer")
    build_bge(folder / "bge")
    build_qwen(folder / "qwen")
    (folder / "reranker").mkdir()
    build_qwen(folder / "reranker", words=["yes", "no"])
    return folder


@pytest.mark.slow
def test_the_commands_run(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    monkeypatch.setattr(qwen_vl, "_SIDE", 64)
    monkeypatch.setattr(
        tagger, "_FEW", 1000
    )  # random weights find no word in any picture: keep all, as of few pictures
    models = {
        "hf:openai/clip-vit-large-patch14": f"hf:{place / 'clip'}",
        "hf:Qwen/Qwen3-VL-Reranker-2B": f"hf:{place / 'reranker'}",
        "hf:Qwen/Qwen3-VL-Embedding-2B": f"hf:{place / 'qwen'}",
    }
    recipes = json.loads(
        (PAGE.parents[2] / "src/triptych/evaluation/reproduction/recipes.json")
        .read_text("utf-8")
        .replace("hf:BAAI/BGE-VL-base", f"hf:{place / 'bge'}")
    )
    write(place / "recipes.json", recipes)
    with Loopback(respond=respond) as server:
        for line in commands():
            program, *arguments = shlex.split(line)
            assert program == "triptych"
            known = models | {"MODEL": "m", "chat:MODEL": "chat:m", "URL": server.url}
            arguments = [known.get(word, word) for word in arguments]
            if "--rerank" in arguments:  # fewer answers: what is missing is time
                arguments += ["--rerank-top", "2"]
            if arguments[0] == "reproduce":
                arguments += ["--recipes", "recipes.json"]
            monkeypatch.setattr(sys, "argv", ["triptych", *arguments])
            with pytest.raises(SystemExit) as ended:
                main()
            assert not ended.value.code, line
    found = {path.stem: read(path)["rows"] for path in (place / "anchors").glob("*.json")}
    assert {name.split(".")[0] for name in found} == {"inversion", "compile", "verified", "reranked", "qwen"}
    for rows in found.values():
        for row in rows:
            assert (row["queries"], row["benchmark"]) == (220, "circo")
            assert "mAP@5" in row["metrics"]
    assert len(found["inversion.circo.val"]) == 3
    assert found["reranked.circo.val"][0]["verification"]["scores"] == "yes-no"
    assert found["verified.circo.val"][0]["verification"]["scores"] == "grades"
    assert (place / "reproduced" / "bge-vl-base.circo.test.joint").is_dir()
