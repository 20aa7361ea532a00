"""Estimate what decoding a picture costs from its headers, before any decoder reads it.

A file of some hundred bytes can ask for gigabytes, since a TIFF's tile is held whole, however small the picture is. A
file of a quarter of a megabyte can take a minute, since each scan of a progressive JPEG is a pass over all its pixels.
The number of pixels shows neither.
"""

import re
import struct
from collections.abc import Iterator, Mapping
from itertools import pairwise

from triptych.core.errors import PictureError
from triptych.core.limits import Limits

_SPARE_PIXELS = 4_000_000  # that the tiles of a small picture may have beyond it
_MOST_EXIF = 4 * 1024 * 1024  # bytes; a segment holds 64 KB, and decoders join segments
_SOS = b"\xff\xda"
# In a scan's data, 0xFF is followed by zero or by a restart mark; anything else is the next marker.
_MARKER = re.compile(rb"\xff([^\x00\xff\xd0-\xd7])")
_ALONE = frozenset(range(0xD0, 0xD9)) | {0x01}  # markers without a length
_END = 0xD9  # the marker that ends a JPEG
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # markers with a picture's size
_FEW_SEGMENTS = 1000  # of a JPEG; of one with more, no work is estimated
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_WIDTH, _HEIGHT, _COMPRESSION = 256, 257, 259  # numbers of TIFF tags, as are the next
_STRIPS, _STRIP_BYTES, _TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_BYTES = 273, 279, 322, 323, 324, 325
_JPEG_IN_TIFF = {6, 7}


def check_cost(data: bytes, limits: Limits) -> None:
    """Check that the headers of a picture file promise no more work than `limits` allow.

    Damaged and unknown files pass: their decoder refuses them with the reason.

    Raises:
        PictureError: decoding would take too much memory or time.
    """
    if data[:2] == b"\xff\xd8":
        _check_jpeg(data, limits)
    elif data[:8] == b"\x89PNG\r\n\x1a\n":
        _check_png(data, limits)
    elif data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        _check_tiff(data, limits)
    elif data[:6] in (b"GIF87a", b"GIF89a"):
        _check_gif(data, limits)
    elif data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        _check_webp(data, limits)


def expected_work(data: bytes) -> int:
    """Pixels times passes that decoding takes, by a file's headers; 0 if the headers do not say, or contradict
    themselves."""
    if data[:2] == b"\xff\xd8":
        return _work_of_jpeg(data)
    if data[:8] == b"\x89PNG\r\n\x1a\n" and data[12:16] == b"IHDR":
        return int.from_bytes(data[16:20], "big") * int.from_bytes(data[20:24], "big")
    if data[:6] in (b"GIF87a", b"GIF89a"):
        return _little(data, 6, 2) * _little(data, 8, 2)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        width, height = _webp_canvas(data)
        return 2 * width * height
    if data[:2] == b"BM" and _little(data, 14, 4) >= 40:
        return _little(data, 18, 4) * abs(int.from_bytes(data[22:26], "little", signed=True))
    return 0


def _work_of_jpeg(data: bytes) -> int:
    pixels = passes = 0
    for parts, (marker, start, _) in enumerate(_segments(data)):
        if parts > _FEW_SEGMENTS:
            return 0
        if marker in _FRAMES:
            pixels = max(
                pixels, int.from_bytes(data[start + 1 : start + 3]) * int.from_bytes(data[start + 3 : start + 5])
            )
        passes += marker == _SOS[1]
    return pixels * passes


def _refuse_parts(what: str, limits: Limits) -> PictureError:
    return PictureError(f"too many {what}: at most {limits.max_parts} are accepted")


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Each marker of a JPEG up to its end, with the start and end of its content."""
    place = 2
    while found := _MARKER.search(data, place):
        marker, start = found.group(1)[0], found.end()
        if marker == _END:
            return
        length = int.from_bytes(data[start : start + 2], "big") if marker not in _ALONE else 0
        yield marker, start + min(2, length), start + length
        place = start + length


def _check_jpeg(data: bytes, limits: Limits) -> None:
    scans = exif = 0
    for parts, (marker, start, end) in enumerate(_segments(data), 1):
        if parts > limits.max_parts:
            raise _refuse_parts("segments", limits)
        scans += marker == _SOS[1]
        if scans > limits.max_scans:
            raise PictureError(f"too many scans: at most {limits.max_scans} are accepted")
        exif += end - start if data[start : start + 5] == b"Exif\0" else 0
        if exif > _MOST_EXIF:
            raise PictureError(f"too large: metadata of more than {_MOST_EXIF} bytes")


def _check_png(data: bytes, limits: Limits) -> None:
    place, parts = 8, 0
    while place + 8 <= len(data):
        place += 12 + int.from_bytes(data[place : place + 4], "big")
        parts += 1
        if parts > limits.max_parts:
            raise _refuse_parts("chunks", limits)


def _check_webp(data: bytes, limits: Limits) -> None:
    """Check a WebP's canvas, which the library allocates twice, and its number of chunks, of which frames consist."""
    _check_area(*_webp_canvas(data), limits)
    place, parts = 12, 0
    while place + 8 <= len(data):
        length = int.from_bytes(data[place + 4 : place + 8], "little")
        place += 8 + length + length % 2
        parts += 1
        if parts > limits.max_parts:
            raise _refuse_parts("chunks", limits)


def _webp_canvas(data: bytes) -> tuple[int, int]:
    """Width and height; zeros if the first chunk is of an unknown kind."""
    kind = data[12:16]
    if kind == b"VP8X":
        return 1 + _little(data, 24, 3), 1 + _little(data, 27, 3)
    if kind == b"VP8 ":
        return _little(data, 26, 2) & 0x3FFF, _little(data, 28, 2) & 0x3FFF
    if kind == b"VP8L":
        sides = _little(data, 21, 4)
        return 1 + (sides & 0x3FFF), 1 + (sides >> 14 & 0x3FFF)
    return 0, 0


def _little(data: bytes, place: int, width: int) -> int:
    return int.from_bytes(data[place : place + width], "little")


def _check_area(width: int, height: int, limits: Limits) -> None:
    if width * height > limits.max_pixels:
        raise PictureError(f"too many pixels: {width}x{height}; at most {limits.max_pixels} are accepted")


def _check_gif(data: bytes, limits: Limits) -> None:
    """Check a GIF's size, and the extensions before its first frame, which is the only frame that is read."""
    place = 13 + (3 << (1 + (data[10] & 7)) if len(data) > 10 and data[10] & 0x80 else 0)
    parts = 0
    while place < len(data):
        kind = data[place]
        if kind == 0x2C:
            left, top, width, height = struct.unpack("<4H", data[place + 1 : place + 9].ljust(8, b"\0"))
            _check_area(left + width, top + height, limits)
            return
        place += 1
        if kind == 0x3B:
            return
        if kind == 0x21:
            place += 1
            while place < len(data) and data[place]:
                place += 1 + data[place]
                parts += 1
                if parts > limits.max_parts:
                    raise _refuse_parts("blocks", limits)
            place += 1
        parts += 1
        if parts > limits.max_parts:
            raise _refuse_parts("blocks", limits)


class _Directory:
    """The first directory of a TIFF: where the values of each tag lie."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._order = "<" if data[:1] == b"I" else ">"
        self._wide = data[2:4] in (b"+\0", b"\0+")  # BigTIFF
        self.entries: Mapping[int, tuple[int, int, int]] = {}
        """Tag to type, count and offset of its values."""
        start = self._number(8, "Q") if self._wide else self._number(4, "L")
        count = self._number(start, "Q" if self._wide else "H")
        first, width, values = (start + 8, 20, 12) if self._wide else (start + 2, 12, 8)
        found: dict[int, tuple[int, int, int]] = {}
        for place in range(first, min(first + count * width, len(data) - width + 1), width):
            tag, kind = self._number(place, "H"), self._number(place + 2, "H")
            many = self._number(place + 4, "Q" if self._wide else "L")
            offset = place + values
            if many * _SIZES.get(kind, 1) > width - values:
                offset = self._number(offset, "Q" if self._wide else "L")
            found.setdefault(tag, (kind, many, offset))
        self.entries = found

    def bytes_of_values(self) -> int:
        """Bytes of all tags together, as a reader would read them."""
        return sum(many * _SIZES.get(kind, 1) for kind, many, _ in self.entries.values())

    def count(self, tag: int) -> int:
        """How many values a tag has."""
        return self.entries[tag][1] if tag in self.entries else 0

    def first(self, tag: int) -> int:
        """A tag's first whole number; 0 without one."""
        return next(iter(self.numbers(tag, 1)), 0)

    def numbers(self, tag: int, most: int) -> list[int]:
        """A tag's first whole numbers, at most `most`."""
        kind, many, offset = self.entries.get(tag, (0, 0, 0))
        code = {1: "B", 6: "B", 3: "H", 8: "H", 4: "L", 9: "L", 13: "L", 16: "Q", 17: "Q", 18: "Q"}.get(kind)
        if code is None:
            return []
        return [self._number(offset + place * _SIZES[kind], code) for place in range(min(many, most))]

    def _number(self, place: int, code: str) -> int:
        piece = self._data[place : place + struct.calcsize("=" + code)]
        return int.from_bytes(piece, "little" if self._order == "<" else "big")


def _check_tiff(data: bytes, limits: Limits) -> None:
    tiff = _Directory(data)
    if tiff.bytes_of_values() > 2 * len(data):
        raise PictureError("damaged or truncated (tags of more bytes than the file has)")
    parts = max(tiff.count(tag) for tag in (_STRIPS, _STRIP_BYTES, _TILES, _TILE_BYTES))
    if parts > limits.max_parts:
        raise _refuse_parts("tiles or strips", limits)
    width, height = tiff.first(_WIDTH), tiff.first(_HEIGHT)
    tile_width, tile_height = tiff.first(_TILE_WIDTH), tiff.first(_TILE_HEIGHT)
    if tiff.count(_TILE_WIDTH) or tiff.count(_TILE_HEIGHT):
        if not (tile_width and tile_height):
            raise PictureError("damaged or truncated (tiles without a size)")
        across, down = -(-width // tile_width), -(-height // tile_height)
        covered = across * tile_width * down * tile_height
        if covered > 4 * width * height + _SPARE_PIXELS:
            raise PictureError(f"too large tiles: {tile_width}x{tile_height} for a picture of {width}x{height}")
    if tiff.first(_COMPRESSION) in _JPEG_IN_TIFF:
        _check_scans_within(data, tiff, parts, limits)


def _check_scans_within(data: bytes, tiff: _Directory, parts: int, limits: Limits) -> None:
    """Check the scans of each tile or strip that is a JPEG. One that lies within another is read once."""
    spans = set()
    for places, lengths in ((_TILES, _TILE_BYTES), (_STRIPS, _STRIP_BYTES)):
        spans |= set(zip(tiff.numbers(places, parts), tiff.numbers(lengths, parts), strict=False))
    if any(start + length > after for (start, length), (after, _) in pairwise(sorted(spans))):
        raise PictureError("damaged or truncated (tiles that overlap)")
    for start, length in spans:
        if data.count(_SOS, start, start + length) > limits.max_scans:
            raise PictureError(f"too many scans: at most {limits.max_scans} are accepted")
