"""File formats: an export file becomes rows of text with provenance."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from data_contracts.formats.qualtrics import read_qualtrics
from data_contracts.formats.rows import FileRows
from data_contracts.formats.tabular import read_tabular

__all__ = ["FileRows", "read_file"]

_READERS: dict[str, Callable[..., FileRows]] = {
    "qualtrics": read_qualtrics,
    "tabular": read_tabular,
}


def read_file(path: Path, file_format: str, *, name: str) -> FileRows:
    """Read a file in its declared format.

    Args:
        path: File to read.
        file_format: A format of study.yaml.
        name: How messages call the file, relative to the study.

    Returns:
        Rows of text with provenance.

    Raises:
        DataError: If the file is not what its format says.
    """
    return _READERS[file_format](path, name=name)
