"""Delimited text, read exactly: every record as text, with its row number.

Knows nothing of what columns mean. Encoding, separators, ragged rows and stray
bytes are checked here, for every format that is delimited text.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from data_contracts.errors import DataError, MachineError

__all__ = ["Record", "RecordFile", "read_records"]

_SEPARATORS = (",", ";", "\t")
_LARGEST_CELL = 1_000_000


@dataclass(frozen=True)
class Record:
    """One record: its row number in the file (header counted) and its cells."""

    row_number: int
    cells: tuple[str, ...]


@dataclass(frozen=True)
class RecordFile:
    """All records of a file, and the digest of its bytes."""

    name: str
    digest: str
    records: Sequence[Record]


def read_records(path: Path, *, name: str) -> RecordFile:
    """Read a delimited text file.

    The separator (comma, semicolon or tab) is the one that gives the first record
    the most cells. Empty lines are passed over but counted, so a row number is
    what a spreadsheet shows.

    Args:
        path: File to read.
        name: How messages call the file, relative to the study.

    Returns:
        Records of equal width; the first is the header.

    Raises:
        DataError: If the file is empty, is not UTF-8 text, or a row has more or
            fewer cells than the header.
        MachineError: If it cannot be opened.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise DataError(
            f"{name}: found no such file; expected the wave's export there. Put the "
            "file in place or mend its name in study.yaml."
        ) from None
    except OSError as error:
        raise MachineError(
            f"{name}: the file cannot be read ({error.strerror}). Check its "
            "permissions."
        ) from None
    text = _decoded(content, name)
    records = list(_parsed(text, name))
    if not records:
        raise DataError(
            f"{name}: found an empty file; expected a header and rows. Export it again."
        )
    width = len(records[0].cells)
    ragged = [r for r in records if len(r.cells) != width]
    if ragged:
        first = ragged[0]
        raise DataError(
            f"{name}, row {first.row_number}: found {len(first.cells)} cells where "
            f"the header has {width} ({len(ragged)} such rows in all). A separator "
            "inside a cell needs quotes, or the file was cut; export it again."
        )
    digest = hashlib.sha256(content).hexdigest()
    return RecordFile(name=name, digest=digest, records=records)


def _decoded(content: bytes, name: str) -> str:
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise DataError(
            f"{name}: found UTF-16 text; expected UTF-8. Export it as CSV in UTF-8."
        )
    if b"\0" in content:
        row = content[: content.index(b"\0")].count(b"\n") + 1
        raise DataError(
            f"{name}, line {row}: found a NUL byte; expected text. This is not a CSV "
            "file, or it was damaged; export it again."
        )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row = content[: error.start].count(b"\n") + 1
        raise DataError(
            f"{name}, line {row}: found bytes that are not UTF-8; expected UTF-8. "
            "Save the file as CSV in UTF-8 (Excel: «CSV UTF-8»)."
        ) from None


def _parsed(text: str, name: str) -> list[Record]:
    first_line = next((line for line in text.splitlines() if line.strip()), "")
    separator = max(
        _SEPARATORS,
        key=lambda s: len(next(csv.reader([first_line], delimiter=s), [])),
    )
    csv.field_size_limit(_LARGEST_CELL)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    records: list[Record] = []
    number = 0
    try:
        for cells in reader:
            number += 1
            if cells:
                records.append(Record(number, tuple(cells)))
    except csv.Error as error:
        raise DataError(
            f"{name}, row {number + 1}: found text that is not well-formed CSV "
            f"({error}). Check the quotes of this row or export the file again."
        ) from None
    return records
