"""The meaning of a table's cell: a number, a date, a boolean or words, in common spellings."""

import math
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from typing import Literal

Decimal = Literal[".", ","]
"""The sign before the decimals; the other one of the two may group thousands."""
DateOrder = Literal["dmy", "mdy"]
"""Whether 1/2/2024 is the first of February or the second of January."""

_LONGEST = 80  # characters of a number or date
_TOO_LONG = 19  # digits; a number of so many may not fit 64 bits
_BLANK = frozenset({"", "-", "--", "–", "—", "n/a", "n.a.", "#n/a"})
_NO_VALUE = _BLANK | {"na", "nan", "null", "none", "nil", "?", "<na>"}
_TRUE = frozenset({"true", "yes", "y", "t", "on"})
_FALSE = frozenset({"false", "no", "n", "f", "off"})
# Fixed and thin spaces, and full-width characters, which are as wide as Chinese ones.
_ORDINARY = {0xFF01 + place: 0x21 + place for place in range(94)} | {
    **dict.fromkeys((0xA0, 0x2007, 0x2009, 0x202F, 0x3000), " "),
    0x2212: "-",
    0x2019: "'",
}
_SYMBOLS = "".join(chr(code) for code in range(0x20D0) if unicodedata.category(chr(code)) == "Sc")
_CODES = (
    "AED|ARS|AUD|BGN|BRL|CAD|CHF|CLP|CNY|COP|CZK|DKK|EUR|GBP|HKD|HUF|IDR|ILS|INR|ISK|JPY|KRW|MXN|MYR|NOK|NZD|PHP|PKR|"
    "PLN|RON|RUB|SAR|SEK|SGD|THB|TRY|TWD|UAH|USD|VND|ZAR|Fr\\.|Rs\\.?|Kč|kr\\.?|zł|лв|руб\\.?"
)
_SAME = {"EUR": "€", "USD": "$", "US$": "$", "GBP": "£", "INR": "₹", "Rs": "₹", "Fr": "CHF"}
_CURRENCY = f"[A-Z]{{0,3}}[{re.escape(_SYMBOLS)}]|(?:{_CODES})(?![A-Za-z])"
_PLAIN = re.compile(r"-?(?:0|[1-9][0-9]{0,14})(?:\.(?P<part>[0-9]{1,15}))?")
_AMOUNT = re.compile(
    rf"(?P<open>\()?\s*(?P<sign>[-+]?)\s*(?P<before>{_CURRENCY})?\s*(?P<after_sign>[-+]?)\s*"
    r"(?P<digits>\d(?:[\d.,' ]*\d)?[.,]?|[.,]\d+)(?P<dash>(?<=[.,])[-–—]+)?(?P<power>[eE][-+]?\d{1,3})?"
    rf"\s*(?P<after>%|{_CURRENCY})?\s*(?P<close>\))?"
)
_DIGITS: dict[Decimal, re.Pattern[str]] = {
    ".": re.compile(r"(?P<whole>\d+|[1-9]\d{0,2}(?P<group>[,' ])(?:\d{2,3}(?P=group))*\d{3})?(?:\.(?P<part>\d+))?"),
    ",": re.compile(r"(?P<whole>\d+|[1-9]\d{0,2}(?P<group>[.' ])(?:\d{2,3}(?P=group))*\d{3})?(?:,(?P<part>\d+))?"),
}
_TIME = r"(?:(?:T|,?\s+)(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:\.(?P<fraction>\d{1,9}))?)?"
_TIME += r"(?:\s*(?P<half>[AaPp])\.?[Mm]\.?)?\s*(?P<zone>Z|[-+]\d{2}:?\d{2})?)?"
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH = r"(?P<name>jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|"
_MONTH += r"oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\.?"
_DATES = tuple(
    re.compile(form + _TIME, re.IGNORECASE)
    for form in (
        r"(?P<year>\d{4})(?P<mark>[-/.])(?P<month>\d{1,2})(?P=mark)(?P<day>\d{1,2})",
        r"(?P<year>(?:19|20)\d{2})(?P<month>\d{2})(?P<day>\d{2})",
        r"(?P<first>\d{1,2})(?P<mark>[-/.])(?P<second_part>\d{1,2})(?P=mark)(?P<year>\d{4}|\d{2})",
        rf"(?P<day>\d{{1,2}})(?:st|nd|rd|th)?\.?[\s-]+{_MONTH},?[\s-]+(?P<year>\d{{4}})",
        rf"{_MONTH}\s+(?P<day>\d{{1,2}})(?:st|nd|rd|th)?,?\s+(?P<year>\d{{4}})",
    )
)
_PART_OF_DATE = re.compile(r"(?P<year>\d{4})(?:[-/](?P<month>0?[1-9]|1[0-2]))?")
_CENTURY_ENDS = 69  # 69 is 1969, 68 is 2068, as POSIX has it


def is_blank(text: str) -> bool:
    """Whether a cell is empty, or a mark for a missing value such as "-" or "n/a"."""
    return text.strip().casefold() in _BLANK


def is_no_value(text: str) -> bool:
    """Whether a cell of a column of numbers, dates or booleans has no value. Some
    marks of this kind may also be words."""
    return text.strip().casefold() in _NO_VALUE


def is_code(text: str) -> bool:
    """Whether digits are a name rather than a number: leading zeros, or more digits
    than a number can hold, would be lost."""
    bare = text.strip()
    return bare.isdecimal() and len(bare) > 1 and (bare[0] == "0" or len(bare) >= _TOO_LONG)


def read_boolean(text: str) -> bool | None:
    """The boolean that `yes`, `No` or `true` means; None for other words."""
    word = text.strip().casefold()
    return True if word in _TRUE else False if word in _FALSE else None


@dataclass(frozen=True)
class Amount:
    """A number as written: its value with either decimal sign, None if it makes no sense with that sign."""

    point: float | None
    comma: float | None
    unit: str
    """A currency, `%`, or nothing."""

    def value(self, decimal: Decimal) -> float | None:
        """The number with this decimal sign."""
        return self.point if decimal == "." else self.comma

    @property
    def ambiguous(self) -> bool:
        """Whether the text may be either of two numbers, such as 1,299."""
        return self.point is not None and self.comma is not None and self.point != self.comma

    @property
    def by_point(self) -> bool:
        """Whether it is ambiguous because of a point, such as 1.299."""
        return self.ambiguous and abs(self.point or 0) < abs(self.comma or 0)

    @property
    def money(self) -> bool:
        """Whether it has a currency, and so no three decimals."""
        return self.unit not in {"", "%"}


def read_amount(text: str) -> Amount | None:
    """Read a number with grouped thousands, a currency, %, or brackets for a minus. 20 % is 20.

    Returns:
        The number; None if the text is no finite number.
    """
    if len(text) > _LONGEST:
        return None
    if (plain := _PLAIN.fullmatch(text)) and len(plain["part"] or "") != 3:
        return Amount(float(text), None, "") if plain["part"] else Amount(int(text), int(text), "")
    found = _AMOUNT.fullmatch(text.translate(_ORDINARY).strip())
    if found is None or bool(found["open"]) != bool(found["close"]) or (found["before"] and found["after"]):
        return None
    signs = [sign for sign in (found["sign"], found["after_sign"], "-" if found["open"] else "") if sign]
    if len(signs) > 1:
        return None
    digits = found["digits"][:-1] if found["dash"] else found["digits"]  # 12,- has no decimals
    power, factor = found["power"] or "", -1 if signs == ["-"] else 1
    point, comma = _value(digits, ".", power), _value(digits, ",", power)
    if point is None and comma is None:
        return None
    unit = (found["before"] or found["after"] or "").rstrip(".")
    return Amount(
        None if point is None else factor * point, None if comma is None else factor * comma, _SAME.get(unit, unit)
    )


def _value(digits: str, decimal: Decimal, power: str) -> float | None:
    found = _DIGITS[decimal].fullmatch(digits)
    if found is None or not (found["whole"] or found["part"]):
        return None
    whole, part = re.sub(r"\D", "", found["whole"] or "0"), (found["part"] or "").rstrip("0")
    if not power and not part and len(whole) < _TOO_LONG:
        return int(whole)
    value = float(f"{whole}.{part or 0}{power}")
    return value if math.isfinite(value) else None


def read_number(text: str) -> float | None:
    """Read a single number whose decimal sign is unknown: 1,299 is 1299, and 9,5 is 9.5.

    Returns:
        The number; None if the text is none.
    """
    amount = read_amount(text)
    if amount is None:
        return None
    return amount.comma if amount.point is None or (amount.money and amount.by_point) else amount.point


def date_orders(text: str) -> frozenset[DateOrder]:
    """The orders of day and month in which a text is a date: both if that makes
    no difference, none if it is no date."""
    return frozenset(order for order in ("dmy", "mdy") if read_date(text, order) is not None)


def is_ambiguous_date(text: str) -> bool:
    """Whether a text is one date with the day first, and another with the month first."""
    dates = [read_date(text, order) for order in ("dmy", "mdy")]
    return None not in dates and dates[0] != dates[1]


def read_date(text: str, order: DateOrder | None = None) -> date | datetime | None:
    """Read a date, or a moment if a time of day is given. A moment with an offset is converted to UTC.

    Args:
        text: the text.
        order: of day and month, for forms such as 1/2/2024. Without it these are no dates.

    Returns:
        The date or moment; None if the text is none.
    """
    bare = text.translate(_ORDINARY).strip()
    if len(bare) > _LONGEST or not any(character.isdecimal() for character in bare):
        return None
    for form in _DATES:
        if found := form.fullmatch(bare):
            return _moment(found.groupdict(), order)
    return None


def _moment(parts: dict[str, str | None], order: DateOrder | None) -> date | datetime | None:
    year = int(parts["year"] or 0)
    if len(parts["year"] or "") == 2:
        year += 1900 if year >= _CENTURY_ENDS else 2000
    if name := parts.get("name"):
        month, day = _MONTHS.index(name[:3].casefold()) + 1, int(parts["day"] or 0)
    elif first := parts.get("first"):
        both = int(first), int(parts["second_part"] or 0)
        chosen = "dmy" if parts["mark"] == "." or both[0] == both[1] else order
        if chosen is None:
            return None
        day, month = both if chosen == "dmy" else both[::-1]
    else:
        month, day = int(parts["month"] or 0), int(parts["day"] or 0)
    try:
        if parts["hour"] is None:
            return date(year, month, day)
        moment = datetime.combine(date(year, month, day), _time(parts))
        return moment.astimezone(UTC) if moment.tzinfo else moment
    except (ValueError, OverflowError):
        return None


def _time(parts: dict[str, str | None]) -> time:
    """The time of day.

    Raises:
        ValueError: there is no such time.
    """
    hour = int(parts["hour"] or 0)
    if half := parts["half"]:
        if not 1 <= hour <= 12:
            raise ValueError(hour)
        hour = hour % 12 + (12 if half in "Pp" else 0)
    zone = parts["zone"]
    offset = None
    if zone:
        digits = "+0000" if zone in "Zz" else zone.replace(":", "")
        minutes = int(digits[1:3]) * 60 + int(digits[3:])
        offset = timezone(timedelta(minutes=-minutes if digits[0] == "-" else minutes))
    micro = int((parts["fraction"] or "0").ljust(6, "0")[:6])
    return time(hour, int(parts["minute"] or 0), int(parts["second"] or 0), micro, tzinfo=offset)


def iso_of(moment: date) -> str:
    """A date or moment in a form that sorts by time: 2024-03-01, 2024-03-01T10:00:00.000000, in UTC."""
    if not isinstance(moment, datetime):
        return moment.isoformat()
    plain = moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment
    return plain.isoformat(timespec="microseconds")


def iso_prefix(text: str) -> str | None:
    """The beginning of `iso_of` for a date that a person writes: 2024, 2024-03, 2024-03-01, 2024-03-01T10:00.

    Returns:
        The prefix; None if the text is no date, or could be two.
    """
    bare = text.strip()
    if part := _PART_OF_DATE.fullmatch(bare):
        return part["year"] + (f"-{int(part['month']):02}" if part["month"] else "")
    moment = read_date(bare) or next(
        (read_date(bare, order) for order in date_orders(bare) if not is_ambiguous_date(bare)), None
    )
    if moment is None:
        return None
    full = iso_of(moment)
    written = next(_times(bare), "")
    return full[: {0: 10, 1: 16, 2: 19}[written.count(":")]] if "." not in written else full


def _times(text: str) -> Iterator[str]:
    for found in re.finditer(r"\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?", text):
        yield found.group()
