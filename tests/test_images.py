"""Finding, opening and loading pictures, good ones and every kind of bad one."""

import os
import socket
import struct
import subprocess
import sys
import threading
import warnings
import zlib
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from triptych.core.errors import DataError, PictureError, UsageError
from triptych.core.finding import Rejected, find_pictures
from triptych.core.images import load_pictures, open_picture, pad_square
from triptych.core.limits import Limits
from triptych.core.progress import progress

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 128, 0), (0, 0, 255), (255, 255, 255)
ORIENTATION = 0x0112


def encode(picture: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    content = BytesIO()
    picture.save(content, kind, **options)
    return content.getvalue()


def plain(colour: tuple[int, int, int] = RED, side: int = 16) -> Image.Image:
    return Image.new("RGB", (side, side), colour)


def noise(width: int = 64, height: int = 48) -> Image.Image:
    # Incompressible, so that what is cut off anywhere is missed.
    state, values = 1, bytearray()
    for _ in range(width * height * 3):
        state = state * 1103515245 + 12345 & 0x7FFFFFFF
        values.append(state >> 16 & 255)
    return Image.frombytes("RGB", (width, height), bytes(values))


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def bomb(side: int) -> bytes:
    """A 1-bit PNG of side x side in a few kilobytes; its pixels are sound."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0))
    packer = zlib.compressobj(9)
    row = bytes(1 + (side + 7) // 8)
    pixels = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def broken_exif() -> bytes:
    """An upright JPEG whose EXIF promises more than it holds: Pillow warns."""
    entry = struct.pack("<HHII", 0x010E, 2, 100, 26)
    return encode(plain(), "JPEG", exif=b"Exif\0\0II*\0" + struct.pack("<IH", 8, 1) + entry + bytes(4) + b"x")


def palette_with_transparency() -> bytes:
    """Left half transparent (its colour is blue), right half red; Pillow warns if it is made RGB directly."""
    picture = Image.new("P", (16, 16), 1)
    picture.putpalette([*BLUE, *RED, *GREEN])
    picture.paste(0, (0, 0, 8, 16))
    return encode(picture, "PNG", transparency=bytes([0, 255, 100]))


def save(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(encode(plain()))


def reason(source: Path | bytes, limits: Limits | None = None) -> str:
    with pytest.raises(PictureError) as caught:
        open_picture(source, limits or Limits())
    return str(caught.value)


# Opening ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "empty"),
        (b"A text that somebody called a picture.\n" * 20, "not a picture"),
        (b"\xff\xd8\xff", "not a picture"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n%%EndComments\n", "not a picture"),
        (encode(plain(), "PPM"), "not a picture"),
        (encode(plain(), "TGA"), "not a picture"),
        (encode(plain(side=1)), "too small: 1x1"),
        (encode(Image.new("RGB", (200, 7))), "too small: 200x7"),
        (bomb(10_000), "too many pixels: 10000x10000"),
        (bomb(20_000), "too many pixels"),
        (encode(plain())[:-30], "damaged or truncated"),
        (
            encode(Image.new("F", (8, 8), float("inf")), "TIFF"),
            "damaged or truncated (values that are not finite)",
        ),
    ],
    ids=[
        *("empty", "text", "jpeg-mark", "eps", "ppm", "tga", "one-pixel", "sliver"),
        *("bomb", "big-bomb", "cut", "infinite"),
    ],
)
def test_what_is_no_good_picture_is_rejected_with_its_reason(content: bytes, expected: str, tmp_path: Path) -> None:
    (tmp_path / "p.jpg").write_bytes(content)
    assert reason(content).startswith(expected)
    assert reason(tmp_path / "p.jpg") == reason(content)
    assert str(tmp_path) not in reason(tmp_path / "p.jpg")


def test_a_bomb_is_judged_by_its_header() -> None:
    # With its pixels cut off, decoding would fail for another reason.
    assert reason(bomb(10_000)[:60]).startswith("too many pixels")


def test_limits_can_be_moved() -> None:
    content = encode(plain(side=20))
    assert open_picture(content, Limits(min_side=20, max_pixels=400, max_bytes=len(content))).size == (20, 20)
    assert reason(content, Limits(min_side=21)).startswith("too small")
    assert reason(content, Limits(max_pixels=399)).startswith("too many pixels")
    assert reason(content, Limits(max_bytes=len(content) - 1)).startswith("too large")
    assert open_picture(encode(plain(side=1)), Limits(min_side=1)).size == (1, 1)


@pytest.mark.parametrize("share", [0.03, 0.1, 0.3, 0.5, 0.7, 0.9, 0.97, 0.99])
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("JPEG", {}),
        ("JPEG", {"progressive": True}),
        ("PNG", {}),
        ("WEBP", {}),
        ("GIF", {}),
        ("BMP", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
    ],
)
def test_truncated_pictures_are_rejected(kind: str, options: dict[str, object], share: float) -> None:
    content = encode(noise(), kind, **options)
    assert open_picture(content).size == (64, 48)
    assert reason(content[: int(len(content) * share)]).startswith(("damaged", "not a picture"))


@pytest.mark.parametrize(("kind", "suffix"), [("PNG", ".jpg"), ("JPEG", ".png"), ("WEBP", ".gif"), ("BMP", ".tif")])
def test_the_content_decides_the_format(kind: str, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"picture{suffix}"
    path.write_bytes(encode(noise(), kind))
    assert open_picture(path).tobytes() == Image.open(path).convert("RGB").tobytes()


def cmyk() -> Image.Image:
    return Image.new("CMYK", (16, 16), (0, 255, 255, 0))


def animation(kind: str) -> bytes:
    options = {"lossless": True} if kind == "WEBP" else {}
    return encode(plain(RED), kind, save_all=True, append_images=[plain(BLUE)], **options)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (encode(cmyk(), "JPEG", quality=95), RED),
        (encode(cmyk(), "TIFF"), RED),
        (encode(plain(), "TIFF", compression="tiff_lzw"), RED),
        (encode(plain(RED).convert("P", palette=Image.Palette.ADAPTIVE)), RED),
        (encode(Image.new("1", (16, 16), 1)), WHITE),
        (encode(Image.new("L", (16, 16), 77)), (77, 77, 77)),
        (encode(Image.new("RGBA", (16, 16), (*BLUE, 0))), WHITE),
        (encode(Image.new("RGBA", (16, 16), (*BLUE, 255))), BLUE),
        (encode(Image.new("RGBA", (16, 16), (255, 0, 0, 51))), (255, 204, 204)),
        (encode(Image.new("LA", (16, 16), (0, 102))), (153, 153, 153)),
        (encode(plain(RED), transparency=RED), WHITE),
        (encode(Image.new("L", (16, 16), 5), transparency=5), WHITE),
        (animation("GIF"), RED),
        (animation("WEBP"), RED),
        (animation("MPO"), (254, 0, 0)),
    ],
    ids=[
        *("cmyk-jpeg", "cmyk-tiff", "lzw-tiff", "palette", "bilevel", "grey", "clear", "opaque", "veil"),
        *("grey-veil", "rgb-key", "grey-key", "gif", "webp", "mpo"),
    ],
)
def test_every_kind_becomes_rgb(content: bytes, expected: tuple[int, int, int]) -> None:
    picture = open_picture(content)
    assert (picture.mode, picture.size, picture.info) == ("RGB", (16, 16), {})
    assert all(abs(got - want) <= 1 for got, want in zip(picture.getpixel((5, 5)), expected, strict=True))


def test_palette_transparency_goes_on_white() -> None:
    picture = open_picture(palette_with_transparency())
    assert (picture.getpixel((2, 8)), picture.getpixel((12, 8))) == (WHITE, RED)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.parametrize("mode", ["I;16", "I;16B"])
def test_16_bit_grey_keeps_its_tones(kind: str, mode: str) -> None:
    order = ">" if mode == "I;16B" else "<"
    row = [0, 256, 1000, 16384, 32768, 50000, 65000, 65535]
    content = encode(Image.frombytes(mode, (8, 8), struct.pack(f"{order}8H", *row) * 8), kind)
    picture = open_picture(content)
    assert [picture.getpixel((x, 4)) for x in range(8)] == [(round(v / 257),) * 3 for v in row]


def test_float_grey_is_scaled_by_its_values() -> None:
    picture = Image.new("F", (8, 8), -1.0)
    picture.putpixel((0, 0), 1.0)
    picture.putpixel((1, 0), 0.0)
    opened = open_picture(encode(picture, "TIFF"))
    assert [opened.getpixel((x, 0))[0] for x in range(3)] == [255, 128, 0]


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP"])
@pytest.mark.parametrize(
    ("orientation", "size", "corner"),
    [
        (1, (16, 32), (0, 0)),
        (2, (16, 32), (1, 0)),
        (3, (16, 32), (1, 1)),
        (4, (16, 32), (0, 1)),
        (5, (32, 16), (0, 0)),
        (6, (32, 16), (1, 0)),
        (7, (32, 16), (1, 1)),
        (8, (32, 16), (0, 1)),
        (9, (16, 32), (0, 0)),
    ],
)
def test_exif_orientation_is_applied(
    kind: str, orientation: int, size: tuple[int, int], corner: tuple[int, int]
) -> None:
    stored = Image.new("RGB", (16, 32), WHITE)
    stored.paste(RED, (0, 0, 8, 8))
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    picture = open_picture(encode(stored, kind, exif=exif))
    assert picture.size == size
    reddish = {
        (x, y)
        for x in (0, 1)
        for y in (0, 1)
        if picture.getpixel((3 + x * (size[0] - 7), 3 + y * (size[1] - 7)))[1] < 100
    }
    assert reddish == {corner}
    assert ORIENTATION not in picture.getexif()


def noisy_contents() -> dict[str, bytes]:
    return {"exif": broken_exif(), "palette": palette_with_transparency(), "bomb": bomb(10_000)}


def naively(content: bytes) -> None:
    picture = Image.open(BytesIO(content))
    picture.getexif()
    picture.convert("RGB")


@pytest.mark.parametrize("name", noisy_contents())
def test_no_warning_escapes(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    content = noisy_contents()[name]
    with pytest.warns((UserWarning, Image.DecompressionBombWarning)):
        naively(content)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if name == "bomb":
            reason(content)
        else:
            assert open_picture(content).size == (16, 16)
    assert caught == []
    assert capfd.readouterr().err == ""


def test_pillow_logs_nothing_on_standard_error(tmp_path: Path) -> None:
    samples = struct.pack("<HHI", 277, 3, 1)
    tiff = encode(plain(), "TIFF")
    assert samples in tiff
    (tmp_path / "p.tif").write_bytes(tiff.replace(samples + b"\3", samples + b"\x63"))
    # On its own: a test runner catches what is logged.
    script = (
        "from pathlib import Path; from triptych.core.errors import PictureError\n"
        "from triptych.core.images import open_picture\n"
        "try: open_picture(Path('p.tif'))\n"
        "except PictureError as error: print(error)\n"
    )
    ran = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert ran.stdout.startswith("not a picture")
    assert ran.stderr == ""


# Files that are no plain files ------------------------------------------------------------------------------


def make_fifo(path: Path) -> None:
    os.mkfifo(path)


def make_socket(path: Path) -> None:
    # A socket's path is short by law: bind it by a relative one.
    before = Path.cwd()
    os.chdir(path.parent)
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path.name)
    finally:
        os.chdir(before)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no FIFO")
@pytest.mark.parametrize("make", [make_fifo, make_socket])
def test_a_fifo_or_socket_is_rejected_and_never_waited_for(make: Callable[[Path], None], tmp_path: Path) -> None:
    make(tmp_path / "p.jpg")
    (tmp_path / "list.txt").write_text("p.jpg\n")
    assert reason(tmp_path / "p.jpg") == "not a regular file"
    for source in (tmp_path, tmp_path / "list.txt"):
        found = find_pictures(source)
        assert (found.names, found.rejected) == ([], [Rejected("p.jpg", "not a regular file")])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("gone.jpg", "no such file or directory"),
        ("folder.jpg", "not a regular file"),
        ("p.jpg/p.jpg", "not a directory"),
        ("n\0ul.jpg", "embedded null byte"),
        ("x" * 300, "file name too long"),
    ],
)
def test_paths_that_lead_to_no_file(name: str, expected: str, tmp_path: Path) -> None:
    save(tmp_path, "p.jpg")
    (tmp_path / "folder.jpg").mkdir()
    assert reason(tmp_path / name) == expected


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[Path]:
    """A folder with an unreadable picture, an unreadable folder and a good picture."""
    save(tmp_path, "good.jpg", "shut.jpg", "room/inside.jpg")
    (tmp_path / "shut.jpg").chmod(0)
    (tmp_path / "room").chmod(0)
    if os.access(tmp_path / "room", os.R_OK):
        pytest.skip("permissions do not bind this user")
    yield tmp_path
    (tmp_path / "room").chmod(0o700)


def test_what_cannot_be_read_is_reported(locked: Path) -> None:
    assert reason(locked / "shut.jpg") == "permission denied"
    found = find_pictures(locked)
    assert found.names == ["good.jpg", "shut.jpg"]
    assert found.rejected == [Rejected("room", "permission denied")]
    (locked / "list.txt").write_text("room/inside.jpg\n")
    assert find_pictures(locked / "list.txt").rejected == [Rejected("room/inside.jpg", "permission denied")]


def test_an_unreadable_list_is_an_error_of_its_own(locked: Path) -> None:
    (locked / "list.txt").write_text("good.jpg\n")
    (locked / "list.txt").chmod(0)
    with pytest.raises(DataError, match="permission denied"):
        find_pictures(locked / "list.txt")


# Finding ----------------------------------------------------------------------------------------------------


def test_a_folder_is_listed_by_suffix_in_order(tmp_path: Path) -> None:
    save(tmp_path, "b.JPG", "a.png", "Z.webp", "deep/er/c.TiFf", "deep.jpg", "notes.txt", "jpg", "a.jpg.part")
    save(tmp_path, ".hidden.jpg", ".cache/in.jpg", "deep/.hidden/in.jpg", "album.jpg/in.jpg")
    found = find_pictures(tmp_path)
    assert found.root == tmp_path
    assert found.names == ["Z.webp", "a.png", "album.jpg/in.jpg", "b.JPG", "deep.jpg", "deep/er/c.TiFf"]
    assert found.rejected == []


def test_an_empty_folder_holds_nothing(tmp_path: Path) -> None:
    assert (find_pictures(tmp_path).names, find_pictures(tmp_path).rejected) == ([], [])


@pytest.mark.parametrize("name", ["фото.jpg", "صورة.jpg", "🦊.jpg", "line\nbreak.jpg", "e\u0301.jpg", "a\u2028b.jpg"])
def test_names_in_any_script(name: str, tmp_path: Path) -> None:
    save(tmp_path, f"папка/{name}")
    assert find_pictures(tmp_path).names == [f"папка/{name}"]
    [(loaded, picture)] = load_pictures(tmp_path, [f"папка/{name}"], threads=1)
    assert loaded == f"папка/{name}"
    assert isinstance(picture, Image.Image)


def test_undecodable_names_are_rejected_in_print(tmp_path: Path) -> None:
    raw = os.fsencode(tmp_path)
    try:
        os.mkdir(raw + b"/d\xff")
    except OSError:
        pytest.skip("this file system has only names in UTF-8")
    for name in (b"caf\xe9.jpg", b"caf\xe9.doc", b"d\xff/in.jpg"):
        with open(raw + b"/" + name, "wb") as file:
            file.write(encode(plain()))
    (tmp_path / "list.txt").write_bytes(b"caf\xe9.jpg\n")
    save(tmp_path, "good.jpg")
    found = find_pictures(tmp_path)
    listed = find_pictures(tmp_path / "list.txt")
    assert found.names == ["good.jpg"]
    assert [left_out.name for left_out in found.rejected] == ["caf\\xe9.jpg", "d\\xff"]
    assert [left_out.name for left_out in listed.rejected] == ["caf\\xe9.jpg"]
    assert all("UTF-8" in left_out.reason for left_out in found.rejected + listed.rejected)
    repr(found).encode("utf-8")


def test_links_are_followed_and_broken_ones_reported(tmp_path: Path) -> None:
    root = tmp_path / "root"
    save(tmp_path, "root/real/one.jpg", "elsewhere/two.jpg", "elsewhere/three.jpg")
    (root / "linked").symlink_to(tmp_path / "elsewhere")
    (root / "four.jpg").symlink_to("real/one.jpg")
    (root / "broken.jpg").symlink_to("gone.jpg")
    (root / "album").symlink_to("/nowhere/at/all")
    (root / "self.jpg").symlink_to("self.jpg")
    found = find_pictures(root)
    assert found.names == ["four.jpg", "linked/three.jpg", "linked/two.jpg", "real/one.jpg"]
    assert found.rejected == [
        Rejected("album", "a broken link"),
        Rejected("broken.jpg", "a broken link"),
        Rejected("self.jpg", "too many levels of symbolic links"),
    ]


def test_a_real_folder_counts_once_and_by_its_own_path(tmp_path: Path) -> None:
    save(tmp_path, "z/one.jpg")
    (tmp_path / "a").symlink_to("z")
    (tmp_path / "z" / "loop").symlink_to("..")
    (tmp_path / "z" / "itself").symlink_to(".")
    assert find_pictures(tmp_path).names == ["z/one.jpg"]
    assert find_pictures(tmp_path).rejected == []


def test_a_link_out_to_a_folder_above_is_not_followed(tmp_path: Path) -> None:
    save(tmp_path, "root/one.jpg", "other/two.jpg")
    (tmp_path / "root" / "up").symlink_to(tmp_path)
    found = find_pictures(tmp_path / "root")
    assert found.names == ["one.jpg"]
    assert [left_out.name for left_out in found.rejected] == ["up"]


def test_a_list_names_pictures(tmp_path: Path) -> None:
    save(tmp_path, "p/b.jpg", "p/a b.jpg", "p/ünï.jpg", "p/no-suffix", "secret.jpg")
    lines = ["b.jpg", "", "   ", "a b.jpg", "./b.jpg", "b.jpg", "no-suffix", "ünï.jpg"]
    lines += ["gone.jpg", "../secret.jpg", str(tmp_path / "secret.jpg"), "x/../b.jpg", ".", "n\0ul"]
    (tmp_path / "list.TXT").write_bytes("\r\n".join(lines).encode("utf-8-sig"))
    found = find_pictures(tmp_path / "list.TXT", root=tmp_path / "p")
    assert found.root == tmp_path / "p"
    assert found.names == ["a b.jpg", "b.jpg", "no-suffix", "ünï.jpg"]
    assert {left_out.name: left_out.reason for left_out in found.rejected} == {
        "gone.jpg": "no such file or directory",
        "../secret.jpg": "leads outside the root folder",
        str(tmp_path / "secret.jpg"): "leads outside the root folder",
        "x/../b.jpg": "leads outside the root folder",
        ".": "not a regular file",
        "n\0ul": "embedded null byte",
    }


def test_a_list_is_relative_to_its_own_folder_by_default(tmp_path: Path) -> None:
    save(tmp_path, "p/b.jpg")
    (tmp_path / "list.txt").write_text("p/b.jpg")
    found = find_pictures(tmp_path / "list.txt")
    assert (found.root, found.names, found.rejected) == (tmp_path, ["p/b.jpg"], [])


@pytest.mark.parametrize(
    ("source", "root", "message"),
    [
        ("gone", None, "does not exist"),
        ("p.jpg", None, "neither a folder"),
        ("list.txt", "gone", "not a folder"),
        (".", ".", "needs no root"),
    ],
)
def test_sources_that_make_no_sense(source: str, root: str | None, message: str, tmp_path: Path) -> None:
    save(tmp_path, "p.jpg")
    (tmp_path / "list.txt").write_text("p.jpg\n")
    with pytest.raises(UsageError, match=message):
        find_pictures(tmp_path / source, root=None if root is None else tmp_path / root)


# Fitting and loading ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "box"),
    [
        ((40, 20), (0, 4, 16, 12)),
        ((20, 40), (4, 0, 12, 16)),
        ((30, 30), (0, 0, 16, 16)),
        ((4, 2), (0, 4, 16, 12)),
        ((9000, 8), (0, 7, 16, 8)),
    ],
)
def test_pad_square_keeps_the_whole_picture(size: tuple[int, int], box: tuple[int, int, int, int]) -> None:
    square = pad_square(Image.new("RGB", size, RED), 16, fill=BLUE)
    expected = Image.new("RGB", (16, 16), BLUE)
    expected.paste(RED, box)
    assert square.tobytes() == expected.tobytes()


@pytest.fixture
def mixed(tmp_path: Path) -> tuple[Path, list[str]]:
    """Sixty pictures, each of its own colour, every third one bad or one that Pillow warns about."""
    odd = [*noisy_contents().values(), b"", encode(noise())[:500], b"no picture"]
    for n in range(60):
        content = encode(plain((n, 2 * n, 3 * n))) if n % 3 else odd[n // 3 % len(odd)]
        (tmp_path / f"{n:02}.png").write_bytes(content)
    return tmp_path, [*(f"{n:02}.png" for n in range(60)), "gone.png"]


def outcome(result: object) -> object:
    return result.tobytes() if isinstance(result, Image.Image) else f"{type(result).__name__}: {result}"


@pytest.mark.parametrize("threads", [1, 2, 8])
def test_threads_change_nothing_and_one_bad_picture_stops_no_other(mixed: tuple[Path, list[str]], threads: int) -> None:
    root, names = mixed

    def alone(name: str) -> object:
        try:
            return outcome(open_picture(root / name))
        except PictureError as error:
            return outcome(error)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        loaded = [(name, outcome(result)) for name, result in load_pictures(root, names, threads=threads)]
    assert loaded == [(name, alone(name)) for name in names]
    assert caught == []
    assert sum(str(result).startswith("PictureError") for _, result in loaded) == 13


class Watched(list[str]):
    """Names that count how many of them have been taken."""

    taken = 0

    def __iter__(self) -> Iterator[str]:
        for name in super().__iter__():
            self.taken += 1
            yield name


@pytest.mark.parametrize("threads", [1, 3])
def test_the_look_ahead_is_bounded(mixed: tuple[Path, list[str]], threads: int) -> None:
    root, names = mixed
    watched = Watched(names)
    results = load_pictures(root, watched, threads=threads)
    ahead = []
    for read, _ in enumerate(results, start=1):
        ahead.append(watched.taken - read)
    assert max(ahead) == 2 * threads - 1
    assert len(ahead) == len(names)


def test_a_reader_may_leave_early(mixed: tuple[Path, list[str]]) -> None:
    root, names = mixed
    results = load_pictures(root, names, threads=2)
    next(results)
    results.close()
    assert not any(thread.name.startswith("pictures") for thread in threading.enumerate())


def test_closed_progress_closes_the_reader_it_shows(mixed: tuple[Path, list[str]]) -> None:
    root, names = mixed
    reader = load_pictures(root, names, threads=2)  # named, so that it is not closed for want of anyone who holds it
    shown = progress(reader, "read", total=len(names), unit="picture")
    next(shown)
    shown.close()
    assert not any(thread.name.startswith("pictures") for thread in threading.enumerate())


def test_prepare_runs_in_the_worker(tmp_path: Path) -> None:
    save(tmp_path, "a.jpg", "b.jpg")

    def prepare(picture: Image.Image) -> tuple[tuple[int, int], bool]:
        return picture.size, threading.current_thread() is threading.main_thread()

    loaded = list(load_pictures(tmp_path, ["b.jpg", "gone", "a.jpg"], threads=2, prepare=prepare))
    assert [loaded[0], loaded[2]] == [("b.jpg", ((16, 16), False)), ("a.jpg", ((16, 16), False))]
    assert isinstance(loaded[1][1], PictureError)


def test_a_fault_of_prepare_is_not_taken_for_a_bad_picture(tmp_path: Path) -> None:
    save(tmp_path, "a.jpg")

    def prepare(picture: Image.Image) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(load_pictures(tmp_path, ["a.jpg"], threads=1, prepare=prepare))
