"""Texts are encoded once, whoever asks again."""

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from triptych.catalog.text_vectors import TextVectors
from triptych.core.vectors import Vectors, unit


class Counting(SimpleNamespace):
    """An encoder that notes what it was asked."""

    def __init__(self, fingerprint: str = "a" * 64) -> None:
        super().__init__(fingerprint=fingerprint, dim=3, asked=[])

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        self.asked += texts
        return unit(np.array([[len(text), text.count("e"), 1] for text in texts], np.float32))


def test_each_text_is_encoded_once_and_by_no_later_command(tmp_path: Path) -> None:
    encoder = Counting()
    texts = TextVectors(tmp_path, encoder)
    first = texts(["red", "blue", "red", "not blue"])
    np.testing.assert_array_equal(first, encoder.encode_texts(["red", "blue", "red", "not blue"]))
    assert encoder.asked[:3] == ["red", "blue", "not blue"]
    assert texts.encoded == 3
    texts.save()
    [file] = tmp_path.iterdir()
    assert file.name == "texts-aaaaaaaaaaaaaaaa.parquet"
    again = Counting()
    kept = TextVectors(tmp_path, again)
    np.testing.assert_array_equal(kept(["not blue", "green", "blue"])[[0, 2]], first[[3, 1]])
    assert again.asked == ["green"]
    assert kept([]).shape == (0, 3)
    other = Counting("b" * 64)
    TextVectors(tmp_path, other)(["red"])
    assert other.asked == ["red"]


def test_the_file_is_bounded_and_holds_what_was_asked_last(tmp_path: Path) -> None:
    texts = TextVectors(tmp_path, Counting(), most=4)
    texts([f"text {number}" for number in range(6)])
    texts(["text 0"])
    texts.save()
    encoder = Counting()
    TextVectors(tmp_path, encoder)([f"text {number}" for number in range(6)])
    assert encoder.asked == ["text 1", "text 2"]


@pytest.mark.parametrize("content", [b"", b"PAR1 is no more than this"])
def test_a_damaged_file_is_told_and_written_anew(
    content: bytes, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "texts-aaaaaaaaaaaaaaaa.parquet"
    file.write_bytes(content)
    texts = TextVectors(tmp_path, Counting())
    assert "cannot be read; its texts are encoded again" in capfd.readouterr().err
    texts(["red"])
    texts.save()
    encoder = Counting()
    TextVectors(tmp_path, encoder)(["red"])
    assert not encoder.asked


def test_a_folder_that_cannot_be_written_is_no_failure(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    texts = TextVectors(tmp_path / "file", Counting())
    assert len(texts(["red"])) == 1
    texts.save()
    assert "cannot be written" in capfd.readouterr().err
