"""Qualtrics CSV exports: names, question texts and (since 2017) ImportIds on top.

The modern export has three header rows; the older one two, with the fixed columns
named V1, V2, ... and their meaning in the second row. Preview and unfinished
responses are marked, not dropped: ``conform`` decides about them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from data_contracts.errors import DataError
from data_contracts.formats.delimited import Record, read_records
from data_contracts.formats.rows import ROW_NUMBER, FileRows, named_columns

__all__ = ["read_qualtrics"]

_IMPORT_ID = re.compile(r"""^\s*\{\s*['"]ImportId['"]\s*:""")
_RESPONSE_ID = {"responseid", "_recordid"}
_PREVIEW = {"1", "2", "9", "17", "survey preview", "survey test", "spam preview"}
"""Status of a preview or test, as number or as label."""
_UNFINISHED = {"0", "false"}
_HEADERS_WITH_IDS = 3


def read_qualtrics(path: Path, *, name: str) -> FileRows:
    """Read a Qualtrics CSV or TSV export.

    Args:
        path: File to read.
        name: How messages call it.

    Returns:
        Its rows as text, with question texts and preview and unfinished marks.

    Raises:
        DataError: If the header is not Qualtrics', or no response follows it.
    """
    file = read_records(path, name=name)
    names, texts, n_headers = _header(file.records, name)
    records = list(file.records[n_headers:])
    if not records:
        raise DataError(
            f"{name}: found Qualtrics headers without a response; expected at least "
            "one. Export it again."
        )
    frame, repeated = named_columns(records, names)
    # Fixed columns go by their meaning: the older export names them V1, V2, ...
    meaning = {
        _plain(text): column.strip()
        for column, text in zip(names, texts, strict=True)
        if column.strip()
    } | {_plain(column): column.strip() for column in names if column.strip()}
    return FileRows(
        name=name,
        file_format="qualtrics",
        digest=file.digest,
        frame=frame,
        repeated=repeated,
        row_numbers=pl.Series(ROW_NUMBER, [r.row_number for r in records]),
        question_texts={
            c.strip(): t for c, t in zip(names, texts, strict=True) if c.strip()
        },
        previews=_marked(frame, meaning.get("status"), _PREVIEW),
        unfinished=_marked(frame, meaning.get("finished"), _UNFINISHED),
    )


def _plain(text: str) -> str:
    return text.strip().casefold()


def _header(
    records: Sequence[Record], name: str
) -> tuple[tuple[str, ...], tuple[str, ...], int]:
    """Names, question texts and how many header rows there are."""
    ids = (
        sum(bool(_IMPORT_ID.match(c)) for c in records[_HEADERS_WITH_IDS - 1].cells)
        if len(records) >= _HEADERS_WITH_IDS
        else 0
    )
    if ids:
        return records[0].cells, records[1].cells, _HEADERS_WITH_IDS
    if len(records) > 1 and _RESPONSE_ID & {_plain(c) for c in records[1].cells}:
        return records[0].cells, records[1].cells, 2
    found = "one header row" if len(records) > 1 else "a single row"
    raise DataError(
        f"{name}: found {found} without Qualtrics' ImportId row or ResponseID; "
        "expected a Qualtrics export. If it is a plain table, write format: tabular; "
        "otherwise export it from Qualtrics as CSV again."
    )


def _marked(frame: pl.DataFrame, column: str | None, values: set[str]) -> pl.Series:
    if column is None:
        return pl.repeat(value=False, n=frame.height, dtype=pl.Boolean, eager=True)
    text = frame.get_column(column).str.to_lowercase().str.strip_chars()
    return text.is_in(sorted(values))
