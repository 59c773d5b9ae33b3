"""How numbers, levels and labels are written: real minus signs, honest decimals."""

from __future__ import annotations

import math

from reports.disclosure import OutcomeFacts

__all__ = [
    "COUNT_NOTE",
    "DASH",
    "DIRECTION",
    "MINUS",
    "count",
    "direction",
    "interval",
    "level_label",
    "level_words",
    "mid_sentence",
    "number",
    "p_value",
    "signed",
]

MINUS, DASH = "\N{MINUS SIGN}", "\N{EN DASH}"
THIN_SPACE = "\N{NARROW NO-BREAK SPACE}"
COUNT_NOTE = "Counts are rounded"

DIRECTION = {
    "worse": "higher is worse",
    "better": "higher is better",
    "neither": "higher is neither better nor worse",
}
"""What a higher score means, in the words that stand at the axis."""


def number(value: float | None, decimals: int) -> str:
    """Write a number with a real minus sign; never a negative zero.

    Examples:
        >>> number(-0.124, 2) == f"{MINUS}0.12", number(-0.001, 2)
        (True, '0.00')
    """
    if value is None:
        return DASH
    if math.isinf(value):
        return "infinite"
    text = f"{abs(value):.{decimals}f}"
    return f"{MINUS}{text}" if value < 0 and float(text) != 0 else text


def signed(value: float | None, decimals: int) -> str:
    """Write a difference with its sign, plus included.

    Examples:
        >>> signed(0.05, 2)
        '+0.05'
    """
    text = number(value, decimals)
    return f"+{text}" if value is not None and value > 0 else text


def count(value: int | None) -> str:
    """Write a count with thin spaces between thousands.

    Examples:
        >>> count(7513) == f"7{THIN_SPACE}513", count(480)
        (True, '480')
    """
    if value is None:
        return DASH
    return f"{value:,}".replace(",", THIN_SPACE) if value >= 1000 else str(value)


def p_value(value: float | None) -> str:
    """Write a p value as journals do.

    Examples:
        >>> p_value(0.0004), p_value(0.0423)
        ('< .001', '.042')
    """
    if value is None:
        return DASH
    return "< .001" if value < 0.001 else f"{value:.3f}".removeprefix("0")


def decimals_shown(facts: OutcomeFacts, *limits: float | None) -> int:
    """Decimals for numbers of an outcome: one fewer than released.

    All that are released where fewer would make a limit look like zero.
    """
    shown = max(0, facts.decimals - 1) if facts.width < 10 else facts.decimals
    for limit in limits:
        if limit and round(limit, shown) == 0:
            return facts.decimals
    return shown


def interval(low: float | None, high: float | None, decimals: int) -> str:
    """Write an interval, as ``low to high``.

    Examples:
        >>> interval(0.01, 0.05, 2)
        '0.01 to 0.05'
    """
    if low is None or high is None:
        return "no interval"
    return f"{number(low, decimals)} to {number(high, decimals)}"


def direction(low: float | None, high: float | None) -> int:
    """Sign of a difference whose interval excludes zero, else 0.

    Examples:
        >>> direction(-0.2, -0.04), direction(-0.2, 0.04), direction(None, None)
        (-1, 0, 0)
    """
    if low is None or high is None:
        return 0
    return 1 if low > 0 else -1 if high < 0 else 0


def mid_sentence(label: str) -> str:
    """A label as it stands inside a sentence.

    Examples:
        >>> mid_sentence("Exhaustion"), mid_sentence("DREEM total")
        ('exhaustion', 'DREEM total')
    """
    if len(label) > 1 and label[1].isupper():
        return label
    return label[:1].lower() + label[1:]


def level_words(by: str, level: str) -> str:
    """A level as it stands in a sentence; a bare class year says what it is.

    Examples:
        >>> level_words("class_year", "4"), level_words("class_year", "M4")
        ('class year 4', 'M4')
    """
    words = level_label(level)
    return f"class year {words}" if by == "class_year" and len(words) == 1 else words


def level_label(level: str) -> str:
    """A cell's levels as people read them.

    Examples:
        >>> level_label("2025-26 : M1")
        '2025-26, M1'
    """
    return level.replace(" : ", ", ")
