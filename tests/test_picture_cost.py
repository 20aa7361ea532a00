"""Picture files that cost more than they seem are refused before a decoder sees them; honest ones are opened."""

import struct
import zlib
from collections.abc import Mapping
from io import BytesIO

import pytest
from PIL import Image

from triptych.core import images
from triptych.core.errors import PictureError
from triptych.core.images import open_picture
from triptych.core.limits import Limits


def encode(picture: Image.Image, kind: str, **options: object) -> bytes:
    content = BytesIO()
    picture.save(content, kind, **options)
    return content.getvalue()


def picture(side: int = 64) -> Image.Image:
    return Image.radial_gradient("L").resize((side, side)).convert("RGB")


def many_scans(count: int, side: int = 64) -> bytes:
    """A progressive JPEG whose last scan is repeated."""
    whole = encode(picture(side), "JPEG", progressive=True)
    last = whole[whole.rindex(b"\xff\xda") : -2]
    return whole[:-2] + last * count + whole[-2:]


def directory(tags: Mapping[int, tuple[int, int, int]], order: str = "<", wide: bool = False) -> bytes:
    """A TIFF's head and its one directory: tag to type, count and value or offset."""
    mark = b"II" if order == "<" else b"MM"
    head = mark + struct.pack(order + ("HHHQ" if wide else "HL"), *((43, 8, 0, 16) if wide else (42, 8)))
    body = struct.pack(order + ("Q" if wide else "H"), len(tags))
    for tag, (kind, count, value) in sorted(tags.items()):
        size = 8 if wide else 4
        code = {3: "H", 4: "L", 16: "Q"}.get(kind, "L")
        inline = count == 1 and struct.calcsize("=" + code) <= size
        field = struct.pack(order + (code if inline else "Q" if wide else "L"), value)
        body += struct.pack(order + ("HHQ" if wide else "HHL"), tag, kind, count) + field.ljust(size, b"\0")
    return head + body + bytes(8 if wide else 4)


def tiled(side: int, tile: int, order: str = "<", wide: bool = False, **more: tuple[int, int, int]) -> bytes:
    """A grey TIFF of one deflated tile, which holds next to nothing."""
    tags = {
        256: (4, 1, side),
        257: (4, 1, side),
        258: (3, 1, 8),
        259: (3, 1, 8),
        262: (3, 1, 1),
        277: (3, 1, 1),
        322: (4, 1, tile),
        323: (4, 1, tile),
        324: (4, 1, 300),
    } | {int(tag[1:]): value for tag, value in more.items()}
    pixels = zlib.compress(bytes(tile * min(tile, 256)))
    return directory(tags | {325: (4, 1, len(pixels))}, order, wide).ljust(300, b"\0") + pixels


def gif(comments: int) -> bytes:
    """A GIF with so many empty comments before its first frame."""
    whole = encode(Image.new("P", (16, 16)), "GIF")
    colours = 13 + (3 << (1 + (whole[10] & 7)) if whole[10] & 0x80 else 0)
    return whole[:colours] + b"!\xfe\x01x\0" * comments + whole[colours:]


def png(chunks: int) -> bytes:
    """A PNG with so many private chunks of no content."""
    whole = encode(picture(16), "PNG")
    extra = struct.pack(">I", 0) + b"prVt" + struct.pack(">I", zlib.crc32(b"prVt"))
    return whole[:33] + extra * chunks + whole[33:]


def jpeg_segments(count: int, content: bytes) -> bytes:
    whole = encode(picture(), "JPEG")
    return whole[:2] + (b"\xff\xe1" + struct.pack(">H", 2 + len(content)) + content) * count + whole[2:]


def webp(kind: bytes, width: int, height: int) -> bytes:
    """The head of a WebP, which says no more than its size."""
    if kind == b"VP8X":
        content = bytes(4) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    elif kind == b"VP8L":
        content = b"\x2f" + (width - 1 | height - 1 << 14).to_bytes(4, "little") + bytes(5)
    else:
        content = b"\x10\0\0\x9d\x01\x2a" + struct.pack("<HH", width, height)
    return b"RIFF" + struct.pack("<I", 12 + len(content)) + b"WEBP" + kind + struct.pack("<I", len(content)) + content


def tiff_of_scans(count: int) -> bytes:
    """A TIFF of one strip, which is a progressive JPEG with many scans."""
    strip = many_scans(count)
    tags = {256: (4, 1, 64), 257: (4, 1, 64), 258: (3, 1, 8), 259: (3, 1, 7), 262: (3, 1, 6), 277: (3, 1, 3)}
    tags |= {278: (4, 1, 64), 273: (4, 1, 300), 279: (4, 1, len(strip))}
    return directory(tags).ljust(300, b"\0") + strip


COSTLY = {
    "jpeg-scans": (many_scans(5000), "too many scans"),
    "jpeg-segments": (jpeg_segments(70_000, b"x"), "too many segments"),
    "jpeg-exif": (jpeg_segments(80, b"Exif\0\0" + bytes(60_000)), "too large: metadata"),
    "tiff-tiles": (tiled(16, 46_336), "too large tiles: 46336x46336 for a picture of 16x16"),
    "tiff-tiles-big-endian": (tiled(16, 46_336, ">"), "too large tiles"),
    "bigtiff-tiles": (tiled(16, 46_336, wide=True), "too large tiles"),
    "tiff-tiles-of-no-size": (tiled(16, 0), "damaged or truncated (tiles without a size)"),
    "tiff-tags": (tiled(16, 16, t700=(1, 400, 0), t33432=(2, 400, 0), t270=(2, 400, 0)), "damaged or truncated (tags"),
    "tiff-strips": (directory({273: (4, 70_000, 8)}).ljust(300_000, b"\0"), "too many tiles or strips"),
    "tiff-scans": (tiff_of_scans(5000), "too many scans"),
    "gif-blocks": (gif(70_000), "too many blocks"),
    "gif-frame": (
        encode(Image.new("P", (16, 16)), "GIF").replace(struct.pack("<4H", 0, 0, 16, 16), b"\xff" * 8, 1),
        "",
    ),
    "png-chunks": (png(70_000), "too many chunks"),
    "webp-canvas": (webp(b"VP8X", 16_000, 16_000), "too many pixels: 16000x16000"),
    "webp-lossless": (webp(b"VP8L", 16_000, 16_001), "too many pixels: 16000x16001"),
    "webp-lossy": (webp(b"VP8 ", 16_001, 16_000), "too many pixels: 16001x16000"),
}


@pytest.mark.parametrize(("content", "expected"), COSTLY.values(), ids=COSTLY)
def test_a_costly_file_never_reaches_a_decoder(content: bytes, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*args: object, **options: object) -> None:
        raise AssertionError("a decoder was asked")

    monkeypatch.setattr(images.Image, "open", never)
    with pytest.raises(PictureError) as refused:
        open_picture(content)
    assert str(refused.value).startswith(expected or "too many pixels")


HONEST = {
    "progressive": encode(picture(), "JPEG", progressive=True),
    "some-scans": many_scans(20),
    "mpo": encode(picture(), "MPO", save_all=True, append_images=[picture()]),
    "restarts": encode(picture(), "JPEG", restart_marker_blocks=1),
    "exif": jpeg_segments(2, b"Exif\0\0" + bytes(60_000)),
    "png": png(200),
    "apng": encode(picture(), "PNG", save_all=True, append_images=[picture(32).resize((64, 64))] * 20),
    "gif": encode(picture().quantize(), "GIF", save_all=True, append_images=[Image.new("P", (64, 64), 3)] * 20),
    "gif-comments": gif(200),
    "webp": encode(picture(), "WEBP"),
    "webp-lossless": encode(picture(), "WEBP", lossless=True),
    "webp-animated": encode(picture(), "WEBP", save_all=True, append_images=[Image.new("RGB", (64, 64))] * 5),
    "tiff": encode(picture(), "TIFF"),
    "tiff-strips": encode(picture(600), "TIFF", compression="tiff_lzw", strip_size=1800),
    "tiff-jpeg": encode(picture(600), "TIFF", compression="jpeg"),
    "tiff-tiles": tiled(16, 256),
    "bigtiff": encode(picture(), "TIFF", big_tiff=True),
    "bmp": encode(picture(), "BMP"),
}


@pytest.mark.parametrize("content", HONEST.values(), ids=HONEST)
def test_honest_files_of_these_kinds_are_opened(content: bytes) -> None:
    assert open_picture(content).mode == "RGB"


def test_the_limits_can_be_chosen() -> None:
    assert open_picture(many_scans(80), Limits(max_scans=100)).size == (64, 64)
    with pytest.raises(PictureError, match="too many chunks: at most 100 "):
        open_picture(png(200), Limits(max_parts=100))


@pytest.mark.slow
def test_looking_for_scans_takes_one_pass() -> None:
    """A run of fill bytes is no reason to begin anew at each of them; that would take hours here."""
    whole = encode(picture(), "JPEG")
    with pytest.raises(PictureError, match=r"damaged|segments"):
        open_picture(whole[: len(whole) // 2] + b"\xff" * 8_000_000 + b"\0" + bytes(9))
