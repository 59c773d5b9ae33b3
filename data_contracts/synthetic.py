"""Writing a whole synthetic study with known truth, in real export formats.

The shipped ``studies/demo_study.yaml`` is the study's design: communities, waves,
headings and codings are read from it, so files and study file always agree. The
drawing is done in ``synthetic_people`` and ``synthetic_answers``, the faults in
``synthetic_faults``, the bytes in ``synthetic_files``.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, time, timedelta
from importlib import resources
from pathlib import Path

import numpy as np

from data_contracts.errors import DataError, MachineError
from data_contracts.study import Study, Wave, raw_file, roster_file
from data_contracts.study_file import STUDY_FILE
from data_contracts.synthetic_answers import (
    NOT_REACHED,
    SKIPPED,
    Participation,
    answer_items,
    decide_participation,
    draw_scores,
    outcome_truths,
)
from data_contracts.synthetic_faults import (
    FINISHED,
    UNUSED_PER_WAVE,
    Response,
    SpareKeys,
    gap_marks,
    plant_faults,
)
from data_contracts.synthetic_files import (
    IDENTIFYING_COLUMNS,
    community_years_roster,
    membership_roster,
    participants_roster,
    qualtrics_export,
    tabular_export,
)
from data_contracts.synthetic_people import IntArray, People, invent_people
from data_contracts.synthetic_truth import (
    RESPONSE,
    PlantedFault,
    Truth,
    WaveTruth,
)
from data_contracts.yaml_source import read_yaml

__all__ = ["FEWEST_ENTERING", "write_synthetic_study"]

FEWEST_ENTERING = 40
"""With fewer people a wave could not hold its planted faults."""


def write_synthetic_study(
    folder: Path, *, seed: int = 2026, n_entering: int = 185
) -> Truth:
    """Write the demonstration study: study.yaml, rosters and wave files.

    The same seed and number give the same bytes, and a file that already holds
    them is left alone.

    Args:
        folder: Study folder; made if it is not there.
        seed: Source of all chance.
        n_entering: Students who enter each year, give or take 3.

    Returns:
        What is true in the study and which faults its files hold.

    Raises:
        DataError: If the folder holds another study, or ``n_entering`` is too small.
        MachineError: If the folder cannot be written.

    Examples:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     truth = write_synthetic_study(Path(folder), n_entering=40)
        >>> truth.fault_count("2021-22_fall", "preview_response")
        3
    """
    if n_entering < FEWEST_ENTERING:
        raise DataError(
            f"Found {n_entering} students who enter each year; expected at least "
            f"{FEWEST_ENTERING}. Ask for more."
        )
    template = resources.files("data_contracts.studies") / "demo_study.yaml"
    with resources.as_file(template) as path:
        declaration = path.read_bytes()
        study = Study.model_validate(read_yaml(path).data)
    _refuse_another_study(folder / STUDY_FILE, declaration)
    people_rng, score_rng, who_rng, item_rng, file_rng = (
        np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(5)
    )
    people = invent_people(study, n_entering, rng=people_rng)
    scores = draw_scores(study, people, rng=score_rng)
    participation = decide_participation(study, people, scores, rng=who_rng)
    answers = answer_items(study, scores, participation, rng=item_rng)
    _write(folder / STUDY_FILE, declaration)
    _write_rosters(folder, study, people, rng=file_rng)
    waves: list[WaveTruth] = []
    faults: list[PlantedFault] = []
    for position, wave in enumerate(study.waves):
        responses, planted = plant_faults(
            _responses(wave, people, *answers[position], rng=file_rng),
            wave,
            position=position,
            spare=_spare_keys(people, participation, position, rng=file_rng),
            rng=file_rng,
        )
        export = qualtrics_export if wave.format == "qualtrics" else tabular_export
        _write(raw_file(folder, wave), export(study, wave, responses))
        waves.append(
            _wave_truth(wave, position, participation, rows=responses, planted=planted)
        )
        faults += planted
    return Truth(
        study=study.id,
        seed=seed,
        people=len(people.keys),
        spells=sum(1 for _ in people.spells()),
        outcomes=outcome_truths(study, scores, participation),
        waves=tuple(waves),
        faults=tuple(faults),
        identifying_columns=IDENTIFYING_COLUMNS,
        dropout_log_odds_per_sd=RESPONSE.per_sd,
        clinical_log_odds=RESPONSE.clinical,
    )


def _refuse_another_study(path: Path, declaration: bytes) -> None:
    try:
        present = path.read_bytes()
    except FileNotFoundError:
        return
    except OSError as error:
        raise _unwritable(path, error) from error
    if present != declaration:
        raise DataError(
            f"{path}: found a study file that differs from the demonstration's; "
            "expected an empty folder or the demonstration itself. Choose another "
            "folder; nothing was written."
        )


def _write(path: Path, content: bytes) -> None:
    """Write a file whole, or leave it alone where it holds the content already."""
    try:
        if path.is_file() and path.read_bytes() == content:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.partial")
        partial.write_bytes(content)
        partial.replace(path)
    except OSError as error:
        raise _unwritable(path, error) from error


def _unwritable(path: Path, error: OSError) -> MachineError:
    return MachineError(
        f"{path}: {error.strerror or 'an error of the file system'}; expected a folder "
        "that can be written. Choose another folder or mend its permissions."
    )


def _write_rosters(
    folder: Path, study: Study, people: People, *, rng: np.random.Generator
) -> None:
    rosters = study.rosters
    if rosters.membership is not None:
        content = membership_roster(study, rosters.membership, people)
        _write(roster_file(folder, rosters.membership), content)
    if rosters.participants is not None:
        content = participants_roster(rosters.participants, people)
        _write(roster_file(folder, rosters.participants), content)
    if rosters.community_years is not None:
        content = community_years_roster(
            study, rosters.community_years, people, rng=rng
        )
        _write(roster_file(folder, rosters.community_years), content)


def _responses(
    wave: Wave,
    people: People,
    rows: IntArray,
    answers: IntArray,
    *,
    rng: np.random.Generator,
) -> list[Response]:
    """Faultless responses; most come in the first days of the wave."""
    unreached, skipped = gap_marks(wave)
    gaps = {NOT_REACHED: unreached, SKIPPED: skipped}
    days = (wave.closed - wave.opened).days - 2  # room for rows that faults add
    opening = datetime.combine(wave.opened, time(7))
    responses = []
    for person, items in zip(rows.tolist(), answers.tolist(), strict=True):
        day, second, pace = rng.random(3)
        reached = sum(1 for item in items if item != NOT_REACHED)
        after = timedelta(days=int(days * day**2), seconds=int(second * 57_600))
        responses.append(
            Response(
                key=people.keys[person],
                started=opening + after,
                seconds=int((4 + 8 * pace) * reached),
                progress=round(100 * reached / len(items)),
                preview=False,
                answers=tuple(gaps.get(item, str(item)) for item in items),
            )
        )
    return responses


def _spare_keys(
    people: People,
    participation: Participation,
    position: int,
    *,
    rng: np.random.Generator,
) -> SpareKeys:
    """Keys for rows that faults add; each wave has unused keys of its own."""
    silent = participation.eligible[:, position] & ~participation.answered[:, position]
    absent = np.flatnonzero(silent)
    absent = absent[np.argsort(rng.random(len(absent)))]
    return SpareKeys(
        absent=tuple(people.keys[i] for i in absent),
        unused=people.unused_keys[UNUSED_PER_WAVE * position :][:UNUSED_PER_WAVE],
    )


def _wave_truth(
    wave: Wave,
    position: int,
    participation: Participation,
    *,
    rows: Sequence[Response],
    planted: Sequence[PlantedFault],
) -> WaveTruth:
    eligible = participation.eligible[:, position]
    clinical = participation.clinical[:, position]
    chance = participation.probability[:, position]
    answered = int(participation.answered[:, position].sum())
    set_aside = sum(f.count for f in planted if f.extent == "row")
    # Rows that faults add as unfinished hold no answer; those kept hold some.
    unfinished = [r for r in rows if r.progress < FINISHED and any(r.answers)]
    return WaveTruth(
        wave=wave.id,
        eligible=int(eligible.sum()),
        answered=answered,
        expected_rate=float(chance[eligible].mean()),
        expected_rate_preclinical=float(chance[eligible & ~clinical].mean()),
        expected_rate_clinical=float(chance[eligible & clinical].mean()),
        rows_in_file=len(rows),
        rows_accepted=len(rows) - set_aside,
        unfinished_kept=len(unfinished) if wave.format == "qualtrics" else 0,
    )
