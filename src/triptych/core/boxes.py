"""A box within a picture, for a photo with several things."""

import math
from dataclasses import dataclass

from PIL import Image

from triptych.core.errors import UsageError
from triptych.core.text import truncate

_LEAST = 8
"""The shortest side of a part, in pixels."""


@dataclass(frozen=True)
class Box:
    """The left and upper edge of a box, its width and its height.

    They are shares of the picture's sides, from 0 to 1, or pixels if one of them is above 1.
    """

    x: float
    y: float
    width: float
    height: float

    @classmethod
    def read(cls, given: str) -> "Box":
        """Parse `0.1,0.2,0.5,0.6`, or in pixels `40,80,300,420`.

        Raises:
            UsageError: the text is no box.
        """
        shown = truncate(given, 80)
        try:
            numbers = [float(part) for part in given.split(",")]
        except ValueError:
            numbers = []
        if len(numbers) != 4 or not all(math.isfinite(number) and number >= 0 for number in numbers):
            raise UsageError(f"--box {shown!r}: write x,y,width,height, as shares of the picture (0 to 1) or in pixels")
        box = cls(*numbers)
        if not (box.width and box.height):
            raise UsageError(f"--box {shown!r}: its width and height must be above 0")
        if max(numbers) <= 1 and (box.x + box.width > 1.001 or box.y + box.height > 1.001):
            raise UsageError(f"--box {shown!r}: the box leaves the picture; x + width and y + height are at most 1")
        return box

    def __str__(self) -> str:
        return ",".join(f"{number:g}" for number in (self.x, self.y, self.width, self.height))

    def cut(self, picture: Image.Image) -> Image.Image:
        """The part of a picture within the box.

        Raises:
            UsageError: the box is outside the picture, or smaller than some pixels.
        """
        across, down = picture.size
        if max(self.x, self.y, self.width, self.height) <= 1:
            edges = (self.x * across, self.y * down, (self.x + self.width) * across, (self.y + self.height) * down)
        else:
            edges = (self.x, self.y, self.x + self.width, self.y + self.height)
        left, upper = max(0, math.floor(edges[0])), max(0, math.floor(edges[1]))
        right, lower = min(across, math.ceil(edges[2])), min(down, math.ceil(edges[3]))
        if right - left < min(_LEAST, across) or lower - upper < min(_LEAST, down):
            raise UsageError(
                f"--box {self}: less than {_LEAST} pixels of a side lie within the picture of {across} x {down} pixels"
            )
        return picture.crop((left, upper, right, lower))
