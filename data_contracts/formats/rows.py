"""What every format gives: named columns of text, row by row, with provenance."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import polars as pl

from data_contracts.formats.delimited import Record

__all__ = ["FileRows", "named_columns"]

ROW_NUMBER = "row_number"


@dataclass(frozen=True)
class FileRows:
    """The rows of one file, before anything is known of their meaning.

    Attributes:
        name: File name as messages call it.
        file_format: Format as which it was read.
        digest: SHA-256 of the file's bytes.
        frame: Text columns by their names in the file, those that stand once.
        repeated: Column names that stand more than once: real exports have them,
            so they are refused only where a study maps one of them.
        row_numbers: Row in the file of each row of ``frame``, header counted.
        question_texts: Wording by column name, where the format carries it.
        previews: Per row, whether the survey tool marked it as a preview.
        unfinished: Per row, whether the survey tool marked it as unfinished.
    """

    name: str
    file_format: str
    digest: str
    frame: pl.DataFrame
    repeated: frozenset[str]
    row_numbers: pl.Series
    question_texts: dict[str, str]
    previews: pl.Series
    unfinished: pl.Series


def named_columns(
    records: list[Record], header: tuple[str, ...]
) -> tuple[pl.DataFrame, frozenset[str]]:
    """Set records under their header.

    Args:
        records: Data records.
        header: Column names; outer white space does not count, and a nameless
            column (a trailing separator) is nobody's data.

    Returns:
        One text column per name that stands once, outer white space stripped, and
        the names that stand more than once.

    Examples:
        >>> named_columns([Record(2, ("1", "2", "3"))], ("a", "b", "b"))[1]
        frozenset({'b'})
    """
    names = [h.strip() for h in header]
    counts = Counter(n for n in names if n)
    frame = pl.DataFrame(
        {
            name: pl.Series([r.cells[i].strip() for r in records], dtype=pl.String)
            for i, name in enumerate(names)
            if counts[name] == 1
        }
    )
    return frame, frozenset(n for n, count in counts.items() if count > 1)
