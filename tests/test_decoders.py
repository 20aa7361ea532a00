"""Pictures decoded in processes of their own: what harms one costs one picture, and nothing else."""

import os
import resource
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from time import monotonic

import pytest
from PIL import Image

from test_picture_cost import COSTLY, HONEST, encode, many_scans, picture
from triptych import index
from triptych.catalog.options import IndexOptions
from triptych.core import decoders as module
from triptych.core.decoder_process import Wanted
from triptych.core.decoders import DecoderError, Decoders
from triptych.core.errors import PictureError
from triptych.core.images import open_picture, pad_square
from triptych.core.limits import DEFAULT_LIMITS, Limits

SLOW = many_scans(30, side=3000)  # a second or more of a processor
SMALL = HONEST["png"]


@pytest.fixture(scope="module")
def shared() -> Iterator[Decoders]:
    with Decoders(2) as decoders:
        yield decoders


@pytest.fixture
def decoders() -> Iterator[Decoders]:
    with Decoders(1) as decoders:
        yield decoders


def busy_process(decoders: Decoders, opening: "Future[Image.Image]") -> int:
    """The process that is at work on a picture."""
    end = monotonic() + 60
    while monotonic() < end and not opening.done():
        for process in [*decoders._busy]:
            return process._process.pid
    raise AssertionError("no process was at work")


@pytest.mark.parametrize("content", HONEST.values(), ids=HONEST)
def test_a_picture_is_the_same_wherever_it_is_decoded(content: bytes, shared: Decoders) -> None:
    here = open_picture(content)
    assert shared.open_picture(content).tobytes() == here.tobytes()
    assert shared.open_picture(content, square=32).tobytes() == pad_square(here, 32).tobytes()


@pytest.mark.parametrize("content", [*COSTLY.values(), (b"", ""), (b"no picture", "")], ids=[*COSTLY, "empty", "text"])
def test_it_is_refused_for_the_same_reason(content: tuple[bytes, str], shared: Decoders) -> None:
    with pytest.raises(PictureError) as here:
        open_picture(content[0])
    with pytest.raises(PictureError) as there:
        shared.open_picture(content[0])
    assert str(there.value) == str(here.value)


def test_a_jpeg_can_be_made_where_it_was_decoded(shared: Decoders) -> None:
    made = shared.decode(encode(picture(400), "PNG"), DEFAULT_LIMITS, Wanted(square=32, jpeg=100))
    assert made.picture is not None
    assert made.picture.size == (32, 32)
    assert open_picture(made.jpeg).size == (100, 100)
    alone = shared.decode(SMALL, DEFAULT_LIMITS, Wanted(pixels=False, jpeg=100))
    assert alone.picture is None
    assert open_picture(alone.jpeg).size == (16, 16)


@pytest.mark.parametrize("missing", [(), ("pread", "preadv", "pwrite")], ids=["", "without pread and pwrite"])
def test_where_a_process_inherits_nothing(missing: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """As on Windows."""
    monkeypatch.setattr(module, "_INHERITS", False)
    for name in missing:
        monkeypatch.delattr(os, name)
    with Decoders(1) as decoders:
        assert decoders.open_picture(SMALL).tobytes() == open_picture(SMALL).tobytes()
        assert open_picture(decoders.decode(SMALL, DEFAULT_LIMITS, Wanted(jpeg=100)).jpeg).size == (16, 16)
        with pytest.raises(PictureError):
            decoders.open_picture(b"no picture")
        path = Path(decoders._idle[0]._path)
        assert path.exists()
    assert not path.exists()


def test_a_picture_that_takes_too_long_is_ended(decoders: Decoders) -> None:
    with pytest.raises(PictureError, match=r"too slow: decoding it takes more than 0\.01 s of processor time"):
        decoders.open_picture(SLOW, replace(DEFAULT_LIMITS, max_seconds=0.01))
    assert decoders.open_picture(SMALL).size == (16, 16)


def test_a_picture_that_is_not_waited_for_is_ended() -> None:
    with Decoders(1, patience=0.05) as decoders, pytest.raises(PictureError, match=r"too slow: it was not decoded in"):
        decoders.open_picture(SLOW)


def test_a_picture_that_wants_too_much_memory_is_refused(decoders: Decoders) -> None:
    with pytest.raises(PictureError, match="needs too much memory to be decoded"):
        decoders.open_picture(SMALL, square=20_000)  # 1.6 GB, of a picture of 16x16
    assert decoders.open_picture(SMALL).size == (16, 16)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_small_picture_may_use_little_memory(decoders: Decoders) -> None:
    decoders.open_picture(SMALL)
    limits = Path(f"/proc/{decoders._idle[0]._process.pid}/limits").read_text()
    data = next(line for line in limits.splitlines() if line.startswith("Max data size"))
    assert int(data.split()[3]) < 250_000_000


@pytest.mark.parametrize("how", [signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS])
def test_a_decoder_that_crashes_costs_one_picture(how: signal.Signals, decoders: Decoders) -> None:
    with ThreadPoolExecutor(1) as threads:
        opening = threads.submit(decoders.open_picture, SLOW)
        os.kill(busy_process(decoders, opening), how)
        with pytest.raises(PictureError, match=rf"its decoder crashed \({how.name}\)"):
            opening.result()
    assert decoders.open_picture(SMALL).size == (16, 16)


def test_a_decoder_that_the_system_killed_gets_a_second_chance(decoders: Decoders) -> None:
    """As it does where memory is short, whatever the picture."""
    with ThreadPoolExecutor(1) as threads:
        opening = threads.submit(decoders.open_picture, SLOW)
        os.kill(busy_process(decoders, opening), signal.SIGKILL)
        assert opening.result().size == (3000, 3000)


def test_closing_ends_what_is_under_way() -> None:
    decoders = Decoders(1)
    with ThreadPoolExecutor(1) as threads:
        opening = threads.submit(decoders.open_picture, SLOW)
        process = busy_process(decoders, opening)
        decoders.close()
        with pytest.raises(DecoderError, match="not decoded any more"):
            opening.result()
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)
    with pytest.raises(DecoderError, match="not decoded any more"):
        decoders.open_picture(SMALL)


def test_signals_to_the_whole_group_do_not_end_a_decoder(decoders: Decoders) -> None:
    """Whoever finishes requests after SIGTERM or Ctrl-C needs it."""
    decoders.open_picture(SMALL)
    process = decoders._idle[0]._process
    os.kill(process.pid, signal.SIGTERM)
    os.kill(process.pid, signal.SIGINT)
    assert decoders.open_picture(SMALL).size == (16, 16)
    assert decoders._idle[0]._process is process


def test_a_decoder_ends_with_the_program(decoders: Decoders) -> None:
    decoders.open_picture(SMALL)
    process = decoders._idle[0]
    process._socket.close()
    assert process._process.wait(60) == 0


def test_where_no_process_starts_no_picture_is_to_blame(monkeypatch: pytest.MonkeyPatch, decoders: Decoders) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(module.sys, "executable", "/nowhere/python")
        with pytest.raises(DecoderError, match="cannot start a process to decode pictures"):
            decoders.open_picture(SMALL)
        with pytest.raises(DecoderError):
            decoders.check()
    decoders.check()
    assert decoders.open_picture(SMALL).size == (16, 16)


@pytest.mark.skipif(sys.platform != "linux", reason="a file in memory has a size elsewhere, too, but no /proc")
def test_what_a_large_picture_held_is_given_back(decoders: Decoders) -> None:
    decoders.open_picture(encode(Image.new("RGB", (3000, 3000)), "PNG"))
    process = decoders._idle[0]
    assert os.fstat(process._shared).st_size == 0
    with pytest.raises(PictureError):
        decoders.open_picture(bytes(20_000_000))
    assert os.fstat(process._shared).st_size == 0


def test_no_memory_for_a_file_is_no_picture_s_fault(decoders: Decoders) -> None:
    decoders.start()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(DecoderError, match="no memory for a picture of 5000 bytes"):
            decoders.open_picture(bytes(5000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_decoder_knows_no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIPTYCH_API_KEY", "sk-of-the-owner")
    monkeypatch.setenv("HF_TOKEN", "hf-of-the-owner")
    with Decoders(1) as decoders:
        decoders.start()
        environment = Path(f"/proc/{decoders._idle[0]._process.pid}/environ").read_bytes()
    assert b"PATH=" in environment
    assert b"of-the-owner" not in environment


def test_index_goes_on_after_a_picture_that_takes_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(IndexOptions, "limits", property(lambda _: Limits(max_seconds=0.01)))
    (tmp_path / "pictures").mkdir()
    for name, content in {"a": SMALL, "b": SLOW, "c": encode(picture(24), "PNG")}.items():
        (tmp_path / "pictures" / f"{name}.png").write_bytes(content)
    result = index(tmp_path / "pictures", tmp_path / "catalog", encoder="wardrobe")
    assert (result.total, result.rejected, result.rejected_for) == (2, 1, {"too slow": 1})
    assert "b.png,too slow" in (tmp_path / "catalog" / "rejected.csv").read_text()


def test_index_blames_no_picture_where_no_process_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "a.png").write_bytes(SMALL)
    with monkeypatch.context() as patched:
        patched.setattr(module.sys, "executable", "/nowhere/python")
        with pytest.raises(DecoderError):
            index(tmp_path / "pictures", tmp_path / "catalog", encoder="wardrobe")
    assert index(tmp_path / "pictures", tmp_path / "catalog", encoder="wardrobe").total == 1
