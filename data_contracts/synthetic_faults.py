"""Faults planted in the synthetic study, one per row, so that each can be counted.

Every fault breaks exactly one rule of the pipeline. Rows that are added carry
answers, but never those of a person's own response.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np

from data_contracts.study import Wave
from data_contracts.synthetic_truth import PlantedFault

__all__ = [
    "FINISHED",
    "UNUSED_PER_WAVE",
    "Response",
    "SpareKeys",
    "gap_marks",
    "plant_faults",
]

FINISHED = 100
"""Progress, in per cent, of a response that reached the end."""

UNUSED_PER_WAVE = 3
"""Keys that nobody has, set aside for each wave's unknown people."""


@dataclass(frozen=True)
class Response:
    """One row of a survey export, before it takes the shape of a format.

    Attributes:
        key: The person's key as text; empty where it is missing.
        started: When the form was opened.
        seconds: How long it was open.
        progress: Per cent of the form that was seen; below 100 it is unfinished.
        preview: Made with the survey tool's preview, not by a person.
        answers: Item answers as text, in the wave's order.
    """

    key: str
    started: datetime
    seconds: int
    progress: int
    preview: bool
    answers: tuple[str, ...]

    @property
    def recorded(self) -> datetime:
        """When the form was closed."""
        return self.started + timedelta(seconds=self.seconds)


@dataclass(frozen=True)
class SpareKeys:
    """Keys for rows that faults add.

    Attributes:
        absent: Keys of rostered people who were asked and did not answer.
        unused: Keys that nobody has.
    """

    absent: tuple[str, ...]
    unused: tuple[str, ...]


def gap_marks(wave: Wave) -> tuple[str, str]:
    """Texts of an item that was not reached and of one that was skipped."""
    return ("", wave.missing_codes[0])


# By position of the wave: rule and how often. Even positions are Qualtrics files,
# the only ones that mark previews and unfinished responses.
_PLAN: tuple[tuple[tuple[str, int], ...], ...] = (
    (
        ("preview_response", 3),
        ("unfinished_response", 4),
        ("missing_key", 2),
        ("unknown_person", 1),
        ("unknown_code", 2),
    ),
    (("exact_repeat", 2), ("unknown_code", 3)),
    (
        ("preview_response", 2),
        ("unfinished_response", 5),
        ("duplicate_person", 2),
        ("exact_repeat", 1),
    ),
    (("duplicate_person", 1), ("missing_key", 1)),
    (("preview_response", 2), ("unfinished_response", 3), ("unknown_code", 3)),
    (("unknown_person", 2),),
    (
        ("preview_response", 4),
        ("unfinished_response", 6),
        ("duplicate_person", 1),
        ("missing_key", 1),
        ("unknown_person", 2),
    ),
    (("exact_repeat", 1), ("unknown_code", 4)),
)
_NO_CODES = ("7", "x")


def plant_faults(
    responses: Sequence[Response],
    wave: Wave,
    *,
    position: int,
    spare: SpareKeys,
    rng: np.random.Generator,
) -> tuple[tuple[Response, ...], tuple[PlantedFault, ...]]:
    """Plant the faults of one wave.

    Args:
        responses: Faultless responses of the wave.
        wave: Wave that they belong to.
        position: Position of the wave in the study; says which faults.
        spare: Keys for rows that are added.
        rng: Source of chance.

    Returns:
        All rows in order of recording, and what was planted.
    """
    gaps = set(gap_marks(wave))
    rows = list(responses)
    order = np.argsort(rng.random(len(rows)))
    whole = iter(
        [
            int(i)
            for i in order
            if rows[i].progress == FINISHED and not gaps & set(rows[i].answers)
        ]
    )
    absent, unused = iter(spare.absent), iter(spare.unused)
    added: list[Response] = []
    planted: list[PlantedFault] = []
    for rule, times in _PLAN[position]:
        for n in range(times):
            at = next(whole)
            model = rows[at]
            later = replace(
                model, started=model.started + timedelta(hours=3 + 5 * n, seconds=n)
            )
            if rule == "preview_response":
                added.append(replace(later, key=next(absent), preview=True))
            elif rule == "unfinished_response":
                # The first of a wave opened the form again after answering: their
                # good response must not become a duplicate.
                key = model.key if n == 0 else next(absent)
                added.append(_abandoned(later, key, percent=2 + 3 * n))
            elif rule == "missing_key":
                added.append(replace(later, key=""))
            elif rule == "unknown_person":
                added.append(replace(later, key=next(unused)))
            elif rule == "exact_repeat":
                added.append(model)
            elif rule == "duplicate_person":
                other = rows[next(whole)]
                added.append(replace(later, answers=_other_answers(model, other)))
            else:
                rows[at] = replace(model, answers=_miscoded(model.answers, n))
        planted.append(
            PlantedFault(
                wave=wave.id,
                rule=rule,
                extent="answer" if rule == "unknown_code" else "row",
                count=2 * times if rule == "duplicate_person" else times,
            )
        )
    everything = sorted([*rows, *added], key=lambda r: (r.recorded, r.key, r.answers))
    return tuple(everything), tuple(planted)


def _abandoned(model: Response, key: str, *, percent: int) -> Response:
    blank = tuple("" for _ in model.answers)
    return replace(model, key=key, seconds=20, progress=percent, answers=blank)


def _other_answers(model: Response, other: Response) -> tuple[str, ...]:
    """The answers of another person; told apart by the last if they are the same."""
    if other.answers != model.answers:
        return other.answers
    return (*other.answers[:-1], "1" if other.answers[-1] == "0" else "0")


def _miscoded(answers: tuple[str, ...], n: int) -> tuple[str, ...]:
    """One answer that no instrument knows, at a different place for each ``n``."""
    at = (2 + 36 * n) % len(answers)
    return tuple(_wrong(answers, at, _NO_CODES[n % len(_NO_CODES)]))


def _wrong(answers: tuple[str, ...], at: int, code: str) -> Iterator[str]:
    for i, answer in enumerate(answers):
        yield code if i == at else answer
