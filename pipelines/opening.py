"""Opening a study: for a run of assets, and for reading in a notebook."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from functools import lru_cache
from importlib import metadata
from pathlib import Path

from assets.context import StudyContext
from data_contracts.study import DATABASE
from data_contracts.study_file import load_study, study_digest
from pipelines.settings import hashing_secret, secret_fingerprint, study_folder
from pipelines.store import StudyReader, StudyStore
from reports.bundle import FigureFiles

__all__ = ["code_digest", "open_context", "open_study"]

_PACKAGES = ("data_contracts", "analyses", "reports", "assets", "pipelines")
_SOURCES = {".py", ".yaml", ".j2", ".css", ".js"}
_NUMERIC = ("numpy", "scipy", "pandas", "polars", "statsmodels", "duckdb", "plotly")


def open_study(
    folder: str | os.PathLike[str] | None = None, *, year: str | None = None
) -> StudyReader:
    """Open the published tables of a study, read-only.

    Args:
        folder: Study folder; LCWAVES_STUDY or ./studies/demo by default.
        year: Analysis year; only the waves up to it are then seen.

    Returns:
        A reader: ``.table("score")`` gives polars, ``.pandas("score")`` pandas,
        ``.sql("...")`` the answer to a query. Works while the pipeline runs.

    Raises:
        DataError: If nothing has been published yet.
    """
    return StudyReader(study_folder(folder) / DATABASE, year=year)


def open_context(
    folder: Path,
    *,
    progress: Callable[[str], None],
    figures: FigureFiles = "all",
) -> StudyContext:
    """Open a study for a run: checked study file, store and hashing key."""
    study = load_study(folder)
    secret = hashing_secret(study.id)
    return StudyContext(
        folder=folder,
        study=study,
        secret=secret,
        secret_name=secret_fingerprint(secret),
        store=StudyStore(folder),
        code_version=metadata.version("lcwaves"),
        code_digest=code_digest(),
        packages={p: metadata.version(p) for p in _NUMERIC},
        study_digest=study_digest(folder),
        progress=progress,
        figures=figures,
    )


@lru_cache(maxsize=1)
def code_digest() -> str:
    """Digest of the project's own source, students' notebooks apart."""
    root = Path(__file__).resolve().parent.parent
    total = hashlib.sha256()
    for package in _PACKAGES:
        for path in sorted((root / package).rglob("*")):
            inside = path.relative_to(root)
            if path.suffix in _SOURCES and "notebooks" not in inside.parts:
                total.update(inside.as_posix().encode() + b"\0" + path.read_bytes())
    return total.hexdigest()
