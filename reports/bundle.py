"""Drafts and published reports as folders: the only writer of the reports layer.

A folder is made whole beside its place and then swapped in, so that a failure
leaves the earlier one as it was. Publishing renders exactly the draft's released
numbers again, without the draft's marks, and enters them in the ledger first.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import polars as pl

from data_contracts.errors import DataError, DisclosureError, MachineError
from reports.disclosure import (
    Release,
    canonical,
    reopen_release,
    require_release,
    to_json,
)
from reports.export import Drawing, export_figures
from reports.figures import FigureSet, build_figures
from reports.html import State, identity, render_page
from reports.ledger import append_entry
from reports.provenance import Provenance
from reports.report_figure import for_export
from reports.theme import WIDTH

__all__ = [
    "Draft",
    "FigureFiles",
    "Published",
    "preview_png",
    "promote_draft",
    "write_draft",
]

Progress = Callable[[str], None]
FigureFiles = Literal["all", "preview", "none"]

_MANIFEST = "bundle.json"
_PREVIEW, _PREVIEW_WIDTH = Path("figures", "preview.png"), 700
_YEAR = re.compile(r"^\d{4}-\d{2}$")
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


@dataclass(frozen=True)
class Draft:
    """A draft as written.

    Attributes:
        folder: ``drafts/<year>``.
        page: Its page.
        digest: Its identity: of the released numbers and their provenance.
        figure_files: Figures written as files.
        note: Why figures are missing as files; None where none is.
        n_held_back: Result rows that the gate held back.
    """

    folder: Path
    page: Path
    digest: str
    figure_files: tuple[Path, ...]
    note: str | None
    n_held_back: int


@dataclass(frozen=True)
class Published:
    """A published report.

    Attributes:
        folder: ``published/<year>``.
        page: Its page.
        digest: Identity of the draft that it shows.
        already: True where the same digest was published before; nothing was done.
        message: What was done, in a sentence.
        note: Why figures are missing as files; None where none is.
    """

    folder: Path
    page: Path
    digest: str
    already: bool
    message: str
    note: str | None = None


def write_draft(
    study_folder: Path,
    release: Release,
    provenance: Provenance,
    *,
    figures: FigureFiles = "all",
    progress: Progress | None = None,
) -> Draft:
    """Write ``drafts/<year>/``: page, released numbers, tables, figures.

    Args:
        study_folder: The study's folder.
        release: A release of the gate.
        provenance: Where its numbers come from.
        figures: Which figures become files: all as PNG and SVG, the main one as a
            small preview alone, or none.
        progress: Told what is being done, in a few words.

    Returns:
        The draft. The same release and provenance give the same page and tables.

    Raises:
        DisclosureError: If the value was not made by the gate.
        MachineError: If the folder cannot be written; an earlier draft stays.
    """
    release = require_release(release)
    place = study_folder / "drafts" / _checked_year(release.analysis_year)
    digest = identity(release, provenance)
    with _swapped_in(place) as new:
        note, _ = _fill(
            new,
            release,
            provenance,
            state="draft",
            figures=figures,
            progress=progress or _silent,
        )
    held = release.rows("held_back")["n_result_rows"].sum()
    return Draft(
        folder=place,
        page=place / "index.html",
        digest=digest,
        figure_files=tuple(sorted((place / "figures").glob("*"))),
        note=note,
        n_held_back=int(held or 0),
    )


def promote_draft(
    study_folder: Path,
    analysis_year: str,
    *,
    figures: FigureFiles = "all",
    progress: Progress | None = None,
) -> Published:
    """Publish exactly the draft of a year, and enter it in the ledger.

    Args:
        study_folder: The study's folder.
        analysis_year: Academic year of the draft.
        figures: Which figures become files: all as PNG and SVG, the main one as a
            small preview alone, or none.
        progress: Told what is being done, in a few words.

    Returns:
        What was published. The same digest again does nothing and says so.

    Raises:
        DataError: If there is no draft of that year.
        DisclosureError: If the draft's files are not those that the gate let through.
        MachineError: If the folder or the ledger cannot be written; what was
            published before stays.
    """
    tell = progress or _silent
    year = _checked_year(analysis_year)
    draft, place = (study_folder / kind / year for kind in ("drafts", "published"))
    tell("checking the draft")
    release, provenance, digest = _open_draft(draft, year)
    page = place / "index.html"
    if page.is_file() and _published_digest(place) == digest:
        return Published(
            folder=place,
            page=place / "index.html",
            digest=digest,
            already=True,
            message=f"{year} is published already with digest {digest[:12]}: nothing "
            "was done.",
        )
    with _swapped_in(place) as new:
        note, _ = _fill(
            new,
            release,
            provenance,
            state="released",
            figures=figures,
            progress=tell,
        )
        # Before the swap: what has gone out is never missing from the ledger.
        append_entry(
            study_folder / "ledger" / release.policy.audience,
            {
                "analysis_year": year,
                "digest": digest,
                "manifest_digest": provenance.manifest_digest,
                "released_rows": release.n_rows,
            },
        )
    return Published(
        folder=place,
        page=place / "index.html",
        digest=digest,
        already=False,
        message=f"{year} is published with digest {digest[:12]}.",
        note=note,
    )


def preview_png(bundle: Path) -> bytes | None:
    """Small picture (700 pixels wide) of a bundle's main figure, if it was drawn."""
    path = bundle / _PREVIEW
    return path.read_bytes() if path.is_file() else None


def _fill(
    folder: Path,
    release: Release,
    provenance: Provenance,
    *,
    state: State,
    figures: FigureFiles,
    progress: Progress,
) -> tuple[str | None, FigureSet]:
    """Write everything of a bundle into an empty folder."""
    progress("drawing the figures")
    drawn = build_figures(release)
    progress("writing the page")
    page = render_page(release, provenance, state=state, figures=drawn)
    (folder / "index.html").write_text(page, encoding="utf-8")
    (folder / "release.json").write_text(to_json(release), encoding="utf-8")
    (folder / "provenance.json").write_text(
        canonical(provenance.model_dump(mode="json")) + "\n", encoding="utf-8"
    )
    tables = folder / "tables"
    tables.mkdir()
    for name, table in sorted(release.tables.items()):
        (tables / f"{name}.csv").write_text(_csv(table.frame), encoding="utf-8")
    note = None
    if figures != "none" and drawn.all:
        progress("writing the figures as files")
        note = _export(
            folder, release, drawn, draft=state == "draft", preview=figures == "preview"
        )
    _write_manifest(folder, digest=identity(release, provenance), state=state)
    return note, drawn


def _export(
    folder: Path, release: Release, figures: FigureSet, *, draft: bool, preview: bool
) -> str | None:
    (folder / "figures").mkdir()
    drawings = []
    for i, figure in enumerate(figures.all):
        data = for_export(figure, release, draft=draft)
        if i == 0:
            scale = _PREVIEW_WIDTH / WIDTH
            drawings.append(Drawing(data, folder / _PREVIEW, scale=scale))
            if preview:
                break
        for ending, scale in (("png", 2.0), ("svg", 1.0)):
            path = folder / "figures" / f"{figure.id}.{ending}"
            drawings.append(Drawing(data, path, scale=scale))
    return export_figures(drawings).note


def _write_manifest(folder: Path, *, digest: str, state: State) -> None:
    """Name every file of the bundle with its digest."""
    files = {
        path.relative_to(folder).as_posix(): _sha256(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    manifest = {"digest": digest, "state": state, "files": files}
    (folder / _MANIFEST).write_text(
        json.dumps(manifest, indent=1, sort_keys=True) + "\n", encoding="utf-8"
    )


def _open_draft(folder: Path, year: str) -> tuple[Release, Provenance, str]:
    """Read a draft back and hold it against its digest."""
    try:
        manifest = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
        text = (folder / "release.json").read_text(encoding="utf-8")
        provenance_text = (folder / "provenance.json").read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise DataError(
            f"There is no whole draft of {year} in {folder}. Make one first with: "
            f"lcwaves run --year {year}"
        ) from error
    except (OSError, ValueError) as error:
        raise _refused(year, "cannot be read") from error
    for name, expected in _files_of(manifest, year).items():
        path = folder / name
        if not path.is_file() or _sha256(path) != expected:
            raise _refused(year, f"was changed since it was made ({name})")
    release = reopen_release(text)
    try:
        provenance = Provenance.model_validate_json(provenance_text)
    except ValueError as error:
        raise _refused(year, "has a provenance that cannot be read") from error
    digest = identity(release, provenance)
    if digest != manifest["digest"] or release.analysis_year != year:
        raise _refused(year, "does not match its digest")
    return release, provenance, digest


def _files_of(manifest: object, year: str) -> Mapping[str, str]:
    files = manifest.get("files") if isinstance(manifest, dict) else None
    if not isinstance(files, dict) or "release.json" not in files:
        raise _refused(year, f"has no list of its files in {_MANIFEST}")
    return files


def _refused(year: str, what: str) -> DisclosureError:
    return DisclosureError(
        f"The draft of {year} {what}; only a draft exactly as the gate let it through "
        f"is published. Make it again with: lcwaves run --year {year}"
    )


def _published_digest(folder: Path) -> str | None:
    try:
        manifest = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return manifest.get("digest") if isinstance(manifest, dict) else None


def _csv(frame: pl.DataFrame) -> str:
    """Rows as CSV whose text no spreadsheet takes for a formula."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(frame.columns)
    for row in frame.iter_rows():
        writer.writerow([_safe(value) for value in row])
    return text.getvalue()


def _safe(value: object) -> object:
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return "" if value is None else value


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _checked_year(year: str) -> str:
    """An academic year, so that it cannot lead out of the study folder."""
    if not _YEAR.match(year):
        raise DataError(
            f"{year!r} is not an academic year; expected one such as 2025-26."
        )
    return year


@contextmanager
def _swapped_in(place: Path) -> Iterator[Path]:
    """Give an empty folder beside a place; swap it in when all went well.

    Raises:
        MachineError: If the folder cannot be made, filled or swapped.
    """
    new = place.with_name(f".new-{place.name}-{os.getpid()}")
    old = place.with_name(f".old-{place.name}-{os.getpid()}")
    try:
        new.mkdir(parents=True)
        yield new
        if place.exists():
            place.rename(old)
        try:
            new.rename(place)
        except OSError:
            if old.exists():
                old.rename(place)
            raise
    except OSError as error:
        raise MachineError(
            f"{place} could not be written ({error.strerror or type(error).__name__}). "
            "What stood there before is unchanged. Check that the folder may be "
            "written to and that the disk has room, then run this again."
        ) from error
    finally:
        shutil.rmtree(new, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def _silent(_: str) -> None:
    """Tell nobody."""
