"""Plain CSV or TSV: one header row, then one row a response or roster line."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from data_contracts.errors import DataError
from data_contracts.formats.delimited import read_records
from data_contracts.formats.rows import ROW_NUMBER, FileRows, named_columns

__all__ = ["read_tabular"]


def read_tabular(path: Path, *, name: str) -> FileRows:
    """Read a plain delimited file with one header row.

    Args:
        path: File to read.
        name: How messages call it.

    Returns:
        Its rows as text.

    Raises:
        DataError: If it is not well-formed, or has no rows.
    """
    file = read_records(path, name=name)
    header, *records = file.records
    if not records:
        raise DataError(
            f"{name}: found a header without rows; expected at least one row. Export "
            "it again."
        )
    frame, repeated = named_columns(records, header.cells)
    never = pl.repeat(value=False, n=len(records), dtype=pl.Boolean, eager=True)
    return FileRows(
        name=name,
        file_format="tabular",
        digest=file.digest,
        frame=frame,
        repeated=repeated,
        row_numbers=pl.Series(ROW_NUMBER, [r.row_number for r in records]),
        question_texts={},
        previews=never,
        unfinished=never,
    )
