"""Columns that identify a person: found by name and by content.

What is found here stops at the door (``door``): it is counted, never stored. A
column is judged by its name, and by its cells where enough of them look like a mail
address, an IP address or a phone number, whatever the column is called.
"""

from __future__ import annotations

import re

import polars as pl

__all__ = ["identified_by_content", "identified_by_name", "identifying_cells"]

_NAMES: dict[str, tuple[str, ...]] = {
    "e-mail": (r"e-?mail",),
    "IP address": (r"^ip[ _-]?addr", r"^ip$"),
    "name": (
        r"(first|last|sur|given|family|full)[ _-]?name",
        r"^(name|vorname|nachname|apellidos?|nombre)$",
    ),
    "phone": (r"phone|mobile|telefon", r"^tel(\b|_|$)"),
    "coordinates": (r"latitude|longitude", r"^(lat|lon|lng|gps)$"),
    "address": (
        r"(street|home|postal|mail(ing)?)[ _-]?address",
        r"^address",
        r"zip[ _-]?code|post(al)?[ _-]?code|^zip$",
    ),
    "birth date": (r"birth", r"^dob$"),
    "external reference": (r"^external(data)?reference$",),
    "official number": (r"^ssn$|social[ _-]?security|passport|^nhs[ _-]?(no|num)",),
    "student number": (
        r"student[ _-]?(no|num|nr|id)|matric",
        r"^(blazer|net|user)[ _-]?id$",
    ),
}

_CONTENTS: dict[str, tuple[str, ...]] = {
    "e-mail": (r"^[^@\s]+@[^@\s]+\.[^@\s]+$",),
    "IP address": (
        r"^(\d{1,3}\.){3}\d{1,3}$",
        r"^[0-9a-fA-F]{0,4}(:[0-9a-fA-F]{0,4}){3,7}$",
    ),
    "phone": (
        r"^\+?\(?\d{3}\)?[ .-]\d{3}[ .-]\d{2,4}([ .-]?\d{2})?$",
        r"^\+\d[\d .-]{8,}$",
    ),
}

_SMALL_SHARE = 0.02


def identified_by_name(column: str) -> str | None:
    """Say what a column identifies by its name, or None.

    Examples:
        >>> identified_by_name("RecipientEmail")
        'e-mail'
        >>> identified_by_name("olbi_3") is None
        True
    """
    for kind, patterns in _NAMES.items():
        if any(re.search(p, column.strip(), re.IGNORECASE) for p in patterns):
            return kind
    return None


def identifying_cells(cells: pl.Series) -> pl.Series:
    """Mark the cells that look identifying, whatever their column is called.

    Examples:
        >>> identifying_cells(pl.Series(["ann@example.org", "3"])).to_list()
        [True, False]
    """
    pattern = "|".join(p for patterns in _CONTENTS.values() for p in patterns)
    return cells.str.contains(pattern).fill_null(value=False)


def identified_by_content(cells: pl.Series) -> tuple[str, int] | None:
    """Say what a column's cells identify, and how many of them.

    Args:
        cells: Text cells; empty ones do not count.

    Returns:
        Kind and count where at least one cell in fifty looks identifying; None
        otherwise.

    Examples:
        >>> identified_by_content(pl.Series(["ann@example.org", "3", ""]))
        ('e-mail', 1)
    """
    filled = cells.filter(cells.str.len_chars() > 0)
    for kind, patterns in _CONTENTS.items():
        count = int(filled.str.contains("|".join(patterns)).sum())
        if count and count >= _SMALL_SHARE * len(filled):
            return kind, count
    return None
