"""`eval --rerank hf:`: a tiny model of the published architecture scores answers, and its scores train a composer."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from made_benchmarks import evaluate, write_cirr
from planted import Squares
from test_joint import build_qwen
from tiny_clip import build_clip
from triptych.core.errors import UsageError
from triptych.encoders import qwen_reranker, qwen_vl
from triptych.encoders.qwen_reranker import QwenVLReranker

transformers = pytest.importorskip("transformers", reason="needs the extra hf")
torch = pytest.importorskip("torch")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_qwen(tmp_path_factory.mktemp("reranker"), words=["yes", "no"])


@pytest.fixture(scope="module")
def reranker(folder: Path) -> QwenVLReranker:
    return QwenVLReranker(f"hf:{folder}", 1, side=64)


def pictures(count: int) -> np.ndarray:
    noise = np.random.default_rng(0)
    return np.stack([noise.integers(0, 256, (50, 60, 3), dtype=np.uint8) for _ in range(count)])


def test_the_score_is_that_of_yes_against_no_as_the_next_token(reranker: QwenVLReranker, folder: Path) -> None:
    pixels = np.stack([reranker.prepare(Image.fromarray(each)) for each in pictures(6)])
    scores, tokens = reranker.scores(pixels[0], "red dress", pixels[1:])
    assert scores.shape == (5,)
    assert tokens > 8
    assert len(np.unique(scores.round(6))) == 5
    # The published class, one candidate at a time, with all its logits.
    whole = transformers.Qwen3VLForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()
    seen: list[Any] = []
    reranker_batch = reranker.batch
    reranker.batch = lambda rows, some: seen.append(reranker_batch(rows, some)) or seen[-1]  # type: ignore[method-assign]
    try:
        for place in range(1, 3):
            reranker.scores(pixels[0], "red dress", pixels[place : place + 1])
            with torch.inference_mode():
                logits = whole(**seen[-1]).logits[0, -1]
            yes, no = (logits[reranker.tokenizer.convert_tokens_to_ids(word)] for word in ("yes", "no"))
            assert scores[place - 1] == pytest.approx(float(torch.sigmoid(yes - no)), abs=1e-5)
    finally:
        reranker.batch = reranker_batch  # type: ignore[method-assign]
    said = reranker.tokenizer.decode(seen[0]["input_ids"][0]).replace(" ", "")
    assert said.count("<|vision_start|>") == 2
    assert said.index("<|vision_start|>") < said.index("reddress") < said.rindex("<|vision_start|>")
    # Marks of the chat in a person's words are words.
    before = seen[0]["input_ids"].shape
    reranker.scores(pixels[0], "red <|im_end|> dress", pixels[1:2])
    assert before[0] == 1


def test_a_local_model_verifies_and_goes_on_where_it_stopped(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(qwen_reranker, "_BATCH", 2)
    monkeypatch.setattr(qwen_vl, "_SIDE", 64)
    root = write_cirr(tmp_path / "cirr")
    scored: list[int] = []
    score = QwenVLReranker.scores

    def counted(self: QwenVLReranker, reference: Any, wish: str, candidates: Any) -> Any:
        if len(scored) == 2 and not (tmp_path / "stopped").exists():
            (tmp_path / "stopped").touch()
            raise KeyboardInterrupt
        scored.append(len(candidates))
        return score(self, reference, wish, candidates)

    monkeypatch.setattr(QwenVLReranker, "scores", counted)
    encoder: Any = Squares()
    asked = {
        "methods": ["sum"],
        "encoder": encoder,
        "gap": False,
        "output": tmp_path / "r.json",
        "threads": 1,
        "answers": 3,
    }
    asked |= {"rerank": f"hf:{folder}", "rerank_top": 3, "rerank_weight": 1.0, "rerank_out": tmp_path / "soft.jsonl"}
    with pytest.raises(KeyboardInterrupt):
        evaluate("cirr", root=root, split="val", **asked)
    first = evaluate("cirr", root=root, split="val", **asked).rows[0]
    assert scored == [3] * 6  # the two queries that were scored are not scored again
    said = first.verification
    assert said is not None
    assert (said.model, said.scores, said.calls, said.tokens_out) == (f"hf:{folder}", "yes-no", 18, 18)
    assert said.seconds > 0
    again = evaluate("cirr", root=root, split="val", **asked).rows[0]
    assert again == first
    lines = [json.loads(line) for line in (tmp_path / "soft.jsonl").read_text().splitlines()]
    assert first.answers is not None
    for line, answers in zip(lines, first.answers.values(), strict=True):
        scores = dict(zip(line["candidates"], line["scores"], strict=True))
        assert list(answers) == sorted(scores, key=lambda name: -scores[name])
    assert any(line["candidates"] != [*answers] for line, answers in zip(lines, first.answers.values(), strict=True))


def test_what_is_no_reranker_is_refused(folder: Path, tmp_path: Path) -> None:
    clip = build_clip(tmp_path)
    with pytest.raises(UsageError, match="a clip is no reranker; use a Qwen3-VL-Reranker"):
        QwenVLReranker(f"hf:{clip}")
    jina = tmp_path / "jina"
    jina.mkdir()
    config = {"model_type": "qwen2_vl", "auto_map": {"AutoModel": "modeling.JinaVLForRanking"}}
    (jina / "config.json").write_text(json.dumps(config))
    with pytest.raises(UsageError, match=r"needs its authors' code.* or serve the model and name it as chat:MODEL"):
        QwenVLReranker(f"hf:{jina}")
