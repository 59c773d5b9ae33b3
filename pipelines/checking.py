"""Checking a study without running it: study file, files, formulas.

Reads every file as a run would and keeps nothing: people are hashed with a key that
is thrown away.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path

from analyses.formula import parse_formula
from data_contracts.conform import WaveSource, conform_wave
from data_contracts.door import AdmittedRows, admit_roster, admit_wave
from data_contracts.errors import LcwavesError, ModelError
from data_contracts.formats import read_file
from data_contracts.roster import RosterSource, conform_rosters
from data_contracts.study import RosterFile, Study, Wave, raw_file, roster_file
from data_contracts.study_file import load_study

__all__ = ["FileCheck", "StudyCheck", "check_study"]


@dataclass(frozen=True)
class FileCheck:
    """What was found in one file.

    Attributes:
        name: Wave or roster.
        file: File name inside the study.
        there: Whether the file lies in its place.
        rows: Rows read.
        accepted: Rows that keep every rule.
        set_aside: Rows and answers set aside, by rule.
        stopped: Identifying columns that would be stopped, by name.
        error: What is wrong with the file as a whole.
    """

    name: str
    file: str
    there: bool
    rows: int = 0
    accepted: int = 0
    set_aside: tuple[tuple[str, int], ...] = ()
    stopped: tuple[str, ...] = ()
    error: LcwavesError | None = None


@dataclass(frozen=True)
class StudyCheck:
    """What was found in a whole study."""

    study: Study
    files: tuple[FileCheck, ...]
    formulas: tuple[ModelError, ...]

    @property
    def errors(self) -> tuple[LcwavesError, ...]:
        """Everything that would stop a run."""
        return (*self.formulas, *(f.error for f in self.files if f.error is not None))


def check_study(folder: Path) -> StudyCheck:
    """Check a study file, its rosters, its waves and its formulas.

    Args:
        folder: Study folder.

    Returns:
        What was found, file by file; a wave without a file is no error.

    Raises:
        StudyFileError: If the study file itself is wrong.
    """
    study = load_study(folder)
    secret = secrets.token_bytes(32)
    rosters = {
        name: roster
        for name in ("membership", "participants", "community_years")
        if (roster := getattr(study.rosters, name)) is not None
    }
    files: list[FileCheck] = []
    sources: dict[str, RosterSource] = {}
    for name, roster in rosters.items():
        checked, source = _roster(folder, name, roster, secret=secret)
        files.append(checked)
        if source is not None:
            sources[name] = source
    people: set[str] | None = None
    if len(sources) == len(rosters) and rosters:
        tables = conform_rosters(
            study,
            membership=sources.get("membership"),
            participants=sources.get("participants"),
            community_years=sources.get("community_years"),
        )
        people = set(tables.participant.get_column("participant"))
        files = [_with_quarantine(f, tables.quarantine.rows(named=True)) for f in files]
    files += [
        _wave(folder, study, wave, secret=secret, people=people) for wave in study.waves
    ]
    formulas: list[ModelError] = []
    for model in study.models:
        try:
            parse_formula(model.formula)
        except ModelError as error:
            formulas.append(ModelError(f"models.{model.id}: {error}"))
    return StudyCheck(study, tuple(files), tuple(formulas))


def _with_quarantine(checked: FileCheck, rows: list[dict[str, object]]) -> FileCheck:
    mine = [str(r["rule"]) for r in rows if r["source"] == checked.name]
    counts = tuple((rule, mine.count(rule)) for rule in sorted(set(mine)))
    return FileCheck(
        name=checked.name,
        file=checked.file,
        there=checked.there,
        rows=checked.rows,
        accepted=checked.rows - len(mine),
        set_aside=counts,
        stopped=checked.stopped,
    )


def _stopped(admitted: AdmittedRows) -> tuple[str, ...]:
    return tuple(s.name for s in admitted.stopped)


def _roster(
    folder: Path, name: str, roster: RosterFile, *, secret: bytes
) -> tuple[FileCheck, RosterSource | None]:
    path = roster_file(folder, roster)
    shown = str(path.relative_to(folder))
    try:
        rows = read_file(path, roster.format, name=shown)
        admitted = admit_roster(rows, name, roster, secret=secret)
    except LcwavesError as error:
        return FileCheck(name, shown, there=path.exists(), error=error), None
    checked = FileCheck(
        name, shown, there=True, rows=rows.frame.height, stopped=_stopped(admitted)
    )
    return checked, RosterSource(name, shown, rows.digest, admitted.frame)


def _wave(
    folder: Path, study: Study, wave: Wave, *, secret: bytes, people: set[str] | None
) -> FileCheck:
    path = raw_file(folder, wave)
    shown = str(path.relative_to(folder))
    if not path.exists():
        return FileCheck(wave.id, shown, there=False)
    try:
        rows = read_file(path, wave.format, name=shown)
        admitted = admit_wave(rows, study, wave, secret=secret)
        tables = conform_wave(
            admitted.frame,
            study,
            wave=wave,
            source=WaveSource(shown, rows.file_format, rows.digest),
            people=people,
        )
    except LcwavesError as error:
        return FileCheck(wave.id, shown, there=True, error=error)
    counts = tables.quarantine.get_column("rule").value_counts().sort("rule")
    return FileCheck(
        wave.id,
        shown,
        there=True,
        rows=admitted.frame.height,
        accepted=tables.response.height,
        set_aside=tuple((str(r), int(n)) for r, n in counts.iter_rows()),
        stopped=_stopped(admitted),
    )
