"""What is materialized and what is stale: the manifest held against the study."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from assets.context import StudyContext
from assets.core import ROSTER_TABLES, WAVE_TABLES
from assets.out import RESULT_TABLES
from data_contracts.study import RosterFile, Wave, raw_file, roster_file
from pipelines.manifest import Entry
from pipelines.store import WHOLE, StudyStore

__all__ = ["Freshness", "rosters_freshness", "wave_freshness", "year_freshness"]

_CHANGED = {
    "file": "the file changed",
    "declaration": "study.yaml changed",
    "key": "the hashing key changed",
    "code": "lcwaves changed",
    "people": "the roster changed",
    "raw": "the raw layer changed",
    "manifest": "a wave or a roster changed",
}


@dataclass(frozen=True)
class Freshness:
    """Whether something is there and why it would have to be made again.

    Attributes:
        name: Wave, analysis year or ``rosters``.
        present: Whether it is materialized whole.
        file_there: Whether its file lies in the study folder.
        reasons: Why it is stale; empty where it is not.
    """

    name: str
    present: bool
    file_there: bool
    reasons: tuple[str, ...]

    @property
    def is_current(self) -> bool:
        """True where nothing has to be done."""
        return self.present and not self.reasons


def _compared(entry: Entry, expected: dict[str, str]) -> tuple[str, ...]:
    return tuple(
        _CHANGED[name]
        for name, digest in expected.items()
        if entry.inputs.get(name) != digest
    )


def _file_digest(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None


def wave_freshness(place: StudyContext, store: StudyStore, wave: Wave) -> Freshness:
    """Hold a wave's stored tables against its file, the study file and the code."""
    manifest = store.manifest
    digest = _file_digest(raw_file(place.folder, wave))
    raw = manifest.entry("raw_wave", wave.id)
    core = [manifest.entry(t, wave.id) for t in (*WAVE_TABLES, "score")]
    reasons: list[str] = []
    shared = {"declaration": place.wave_declaration(wave), "code": place.code_digest}
    if raw is not None:
        expected = {**shared, "key": place.secret_name}
        if digest is not None:
            expected["file"] = digest
        reasons += _compared(raw, expected)
        for entry in core:
            if entry is not None:
                people = place.roster_digest()
                reasons += _compared(
                    entry, {**shared, "raw": raw.digest, "people": people}
                )
    return Freshness(
        name=wave.id,
        present=raw is not None and all(e is not None for e in core),
        file_there=digest is not None,
        reasons=tuple(dict.fromkeys(reasons)),
    )


def rosters_freshness(place: StudyContext, store: StudyStore) -> Freshness:
    """Hold the tables of people against the roster files and the study file."""
    manifest = store.manifest
    expected = place.roster_inputs()
    entries = [manifest.entry(t, WHOLE) for t in ROSTER_TABLES]
    reasons: list[str] = []
    there = True
    for name in ("membership", "participants", "community_years"):
        roster: RosterFile | None = getattr(place.study.rosters, name)
        raw = manifest.entry(f"raw_{name}", WHOLE)
        entries.append(raw)
        if roster is None:
            continue
        digest = _file_digest(roster_file(place.folder, roster))
        there = there and digest is not None
        if raw is not None and digest is not None:
            reasons += _compared(raw, {"file": digest})
    reasons += [r for e in entries if e is not None for r in _compared(e, expected)]
    return Freshness(
        name="rosters",
        present=all(e is not None for e in entries),
        file_there=there,
        reasons=tuple(dict.fromkeys(reasons)),
    )


def year_freshness(place: StudyContext, store: StudyStore, year: str) -> Freshness:
    """Hold a year's result tables against the current waves and rosters."""
    manifest = store.manifest
    waves = [w.id for w in place.study.waves_up_to(year)]
    expected = place.year_inputs(store.year_manifest(waves).digest)
    entries = [manifest.entry(t, year) for t in RESULT_TABLES]
    reasons = [r for e in entries if e is not None for r in _compared(e, expected)]
    return Freshness(
        name=year,
        present=all(e is not None for e in entries),
        file_there=True,
        reasons=tuple(dict.fromkeys(reasons)),
    )
