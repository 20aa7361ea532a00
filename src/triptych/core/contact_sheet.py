"""Draw a query and its results as one picture: the question on the left, the answers on the right, best first."""

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from triptych.core.errors import UsageError
from triptych.core.images import WHITE, pad_square

_CARD = (243, 243, 245)  # colours; the layout below is in pixels
_INK = (32, 33, 36)
_MUTED = (120, 122, 128)
_ACCENT = (181, 67, 46)
_MARGIN = 28  # around the sheet
_GAP = 14  # between cards
_INSET = 10  # of a card's content
_ARROW = 26  # length of the arrow
_MOST_LINES = 8  # of the modification
_MOST_CHARACTERS = 1000  # more than fit in _MOST_LINES; keeps a book from being measured
_SMALLEST_SIDE = 48  # of a card; a smaller one has no room for its caption

_Colour = tuple[int, int, int]
_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def contact_sheet(
    reference: Image.Image | None,
    modification: str,
    results: Sequence[tuple[Image.Image, str]],
    *,
    columns: int = 5,
    side: int = 180,
) -> Image.Image:
    """Draw a query and its results as one RGB picture, each result with a caption such as its score.

    Pictures are padded to squares and never cropped. Texts may have any length and script. A text that does not fit is
    cut and ends in an ellipsis; characters that the built-in font lacks become boxes.

    Args:
        reference: the query's picture; None if there is none.
        modification: the query's words.
        results: pictures with their captions, best first.
        columns: results in a row, at least 1.
        side: side of each square, in pixels, at least 48.

    Raises:
        UsageError: `columns` or `side` is too small.
    """
    if columns < 1 or side < _SMALLEST_SIDE:
        raise UsageError(f"a contact sheet needs at least 1 column, and squares of at least {_SMALLEST_SIDE} pixels")
    font = ImageFont.load_default(max(11, side // 12))
    question = _question(reference, modification, font, side)
    answers = [_answer(rank, picture, text, font, side) for rank, (picture, text) in enumerate(results, 1)]
    if not answers:
        answers = [_card(side, [("nothing found", _MUTED)], font)]
    across = min(columns, len(answers))
    rows = -(-len(answers) // across)
    cell_width, cell_height = (length + _GAP for length in answers[0].size)
    left = _MARGIN + question.width + _GAP + _ARROW + _GAP
    height = max(question.height, rows * cell_height - _GAP)
    sheet = Image.new("RGB", (left + across * cell_width - _GAP + _MARGIN, height + 2 * _MARGIN), WHITE)
    sheet.paste(question, (_MARGIN, _MARGIN))
    middle = _MARGIN + min(question.height, cell_height - _GAP) // 2
    _draw_arrow(sheet, _MARGIN + question.width + _GAP, middle)
    for number, answer in enumerate(answers):
        row, column = divmod(number, across)
        sheet.paste(answer, (left + column * cell_width, _MARGIN + row * cell_height))
    return sheet


def _question(reference: Image.Image | None, modification: str, font: _Font, side: int) -> Image.Image:
    lines = _wrap(f"+ {_plain(modification)}", font, side)
    return _card(side, [(line, _ACCENT) for line in lines], font, reference)


def _answer(rank: int, picture: Image.Image, caption: str, font: _Font, side: int) -> Image.Image:
    card = _card(side, [(f"{rank}", _INK)], font, picture)
    room = side - font.getlength(f"{rank}") - _GAP
    text = _ellipsise(_plain(caption)[:_MOST_CHARACTERS], font, room)
    place = (_INSET + side - font.getlength(text), card.height - _INSET - _line_height(font))
    ImageDraw.Draw(card).text(place, text, _MUTED, font)
    return card


def _card(
    side: int,
    lines: Sequence[tuple[str, _Colour]],
    font: _Font,
    picture: Image.Image | None = None,
) -> Image.Image:
    """Draw a card with rounded corners: a picture, if there is one, above lines of text."""
    top = _INSET if picture is None else 2 * _INSET + side
    height = top + len(lines) * _line_height(font) + _INSET
    card = Image.new("RGB", (side + 2 * _INSET, height), WHITE)
    # Drawn four times as large and reduced, since Pillow's own corners are jagged.
    mask = Image.new("L", (4 * card.width, 4 * card.height))
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, mask.width - 1, mask.height - 1), 4 * _INSET, 255)
    card.paste(_CARD, mask=mask.reduce(4))
    if picture is not None:
        card.paste(pad_square(picture.convert("RGB"), side), (_INSET, _INSET))
    pen = ImageDraw.Draw(card)
    for number, (line, colour) in enumerate(lines):
        pen.text((_INSET, top + number * _line_height(font)), line, colour, font)
    return card


def _draw_arrow(sheet: Image.Image, x: int, y: int) -> None:
    """Draw an arrow, since the built-in font has none."""
    pen = ImageDraw.Draw(sheet)
    tip = x + _ARROW
    pen.line((x, y, tip, y), _MUTED, 2)
    pen.line((tip - 8, y - 7, tip, y, tip - 8, y + 7), _MUTED, 2, joint="curve")


def _line_height(font: _Font) -> int:
    return round(1.35 * (font.size if isinstance(font, ImageFont.FreeTypeFont) else 11))


def _plain(text: str) -> str:
    """Put a text on one line that any font can take: no control characters, no half of a surrogate pair."""
    known = text.encode("utf-8", "replace").decode("utf-8")
    return "".join(char for char in " ".join(known.split()) if char.isprintable())


def _wrap(text: str, font: _Font, width: int) -> list[str]:
    """Break a text into lines of at most `width` pixels. Long words, and scripts without spaces, break anywhere."""
    lines = [""]
    for word in text[:_MOST_CHARACTERS].split():
        joined = f"{lines[-1]} {word}".lstrip()
        if font.getlength(joined) <= width:
            lines[-1] = joined
            continue
        lines.append("")
        for char in word:
            if lines[-1] and font.getlength(lines[-1] + char) > width:
                lines.append("")
            lines[-1] += char
    if len(lines) <= _MOST_LINES:
        return lines
    last = " ".join(lines[_MOST_LINES - 1 : _MOST_LINES + 1])
    return [*lines[: _MOST_LINES - 1], _ellipsise(last, font, width)]


def _ellipsise(text: str, font: _Font, width: float) -> str:
    """Cut a text to `width` pixels, with an ellipsis at the end if it was cut."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(f"{text}…") > width:
        text = text[:-1].rstrip()
    return f"{text}…"
