"""``lcwaves status``: materialized, stale, set aside."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from data_contracts.study import Study
from pipelines.freshness import (
    Freshness,
    rosters_freshness,
    wave_freshness,
    year_freshness,
)
from pipelines.opening import open_context
from pipelines.store import StudyStore
from pipelines.terminal import Terminal

__all__ = ["show_status"]


def show_status(folder: Path, terminal: Terminal) -> None:
    """Print what is there and what would be made again."""
    place = open_context(folder, progress=lambda _: None)
    store = StudyStore(folder)
    study = place.study
    terminal.say(f"{study.title} ({folder})")
    rows = [_row(rosters_freshness(place, store), rows="", set_aside="")]
    quarantine = store.read("quarantine")
    received = store.read("wave")
    for wave in study.waves:
        fresh = wave_freshness(place, store, wave)
        rows.append(
            _row(
                fresh,
                rows=_rows_read(received, wave.id),
                set_aside=_counts(quarantine, wave.id),
            )
        )
    roster_faults = store.read("roster_quarantine")
    if roster_faults is not None and roster_faults.height:
        rows[0][3] = _counts(roster_faults, None)
    terminal.table("Waves", ["wave", "state", "rows read", "set aside"], rows)
    terminal.table(
        "Years", ["year", "results", "draft", "published"], _years(place.folder, study,
        [year_freshness(place, store, y) for y in study.academic_years]),
    )  # fmt: skip


def _row(fresh: Freshness, *, rows: str, set_aside: str) -> list[str]:
    return [fresh.name, _state(fresh), rows, set_aside]


def _state(fresh: Freshness) -> str:
    if not fresh.file_there and not fresh.present:
        return "no file yet"
    if not fresh.present:
        return "not materialized"
    gone = [] if fresh.file_there else ["its file is gone"]
    if reasons := [*gone, *fresh.reasons]:
        return f"stale: {', '.join(reasons)}"
    return "up to date"


def _rows_read(received: pl.DataFrame | None, wave: str) -> str:
    if received is None:
        return ""
    found = received.filter(pl.col("wave") == wave).get_column("rows_read")
    return str(found[0]) if len(found) else ""


def _counts(quarantine: pl.DataFrame | None, source: str | None) -> str:
    if quarantine is None:
        return ""
    mine = quarantine if source is None else quarantine.filter(source=source)
    counts = mine.get_column("rule").value_counts().sort("rule")
    return "\n".join(f"{rule}: {n}" for rule, n in counts.iter_rows()) or "nothing"


def _years(folder: Path, study: Study, fresh: list[Freshness]) -> list[list[str]]:
    return [
        [
            year,
            _state(f),
            "yes" if (folder / "drafts" / year / "index.html").is_file() else "no",
            "yes" if (folder / "published" / year / "index.html").is_file() else "no",
        ]
        for year, f in zip(study.academic_years, fresh, strict=True)
    ]
