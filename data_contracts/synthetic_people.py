"""The invented people: who was in which community, class year and campus, and when.

A life is one row of terms (half academic years); spells are read off it, so no two
of a person's spells can overlap. Answers are the matter of ``synthetic_answers``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

from data_contracts.study import Study

__all__ = [
    "ABSENT",
    "FIRST_CLINICAL",
    "IntArray",
    "People",
    "Spell",
    "Term",
    "invent_people",
]

IntArray = NDArray[np.int64]

ABSENT = -1
"""Class year, community or campus of a term in which a person is no member."""

FIRST_CLINICAL = 2
"""Position of the first class year that is spent in clinics, part of it elsewhere."""

# Share of an entering class that goes another way than straight through.
_STORIES = (
    ("leaves", 0.04),
    ("pauses", 0.03),
    ("repeats", 0.02),
    ("changes community", 0.02),
)
_TRANSFERS = 0.02
_AWAY_CAMPUSES = 0.40  # share of the clinical years at the regional campuses
_MOVES_BACK = 0.06  # share that changes campus once more in the last class year
_TRACKS = (("standard", 0.9), ("research", 0.1))


@dataclass(frozen=True)
class Term:
    """Half an academic year."""

    academic_year: str
    first_day: date
    last_day: date


@dataclass(frozen=True)
class Spell:
    """A person in one community, class year and campus over a time.

    ``person`` is the row in ``People``; the others are positions in the study's
    lists; ``last_day`` is None while the spell lasts.
    """

    person: int
    community: int
    class_year: int
    campus: int
    first_day: date
    last_day: date | None


@dataclass(frozen=True)
class People:
    """All people of the rosters and their terms.

    Attributes:
        keys: Pseudonyms, one per person.
        unused_keys: Pseudonyms that nobody has.
        cohorts: Academic year in which the person's class began.
        tracks: Curriculum track.
        terms: Terms in order.
        class_year: Position of the class year, people x terms, ``ABSENT`` outside.
        community: Position of the community, likewise.
        campus: Position of the campus, likewise.
    """

    keys: tuple[str, ...]
    unused_keys: tuple[str, ...]
    cohorts: tuple[str, ...]
    tracks: tuple[str, ...]
    terms: tuple[Term, ...]
    class_year: IntArray
    community: IntArray
    campus: IntArray

    def term_at(self, day: date) -> int:
        """Position of the term that holds a day.

        Raises:
            KeyError: If the day lies outside all terms.
        """
        for position, term in enumerate(self.terms):
            if term.first_day <= day <= term.last_day:
                return position
        raise KeyError(day)

    def spells(self) -> Iterator[Spell]:
        """Yield the membership spells, person by person, in order of time."""
        last_class_year = int(self.class_year.max())
        for person in range(len(self.keys)):
            start = 0
            lives = list(
                zip(
                    self.community[person].tolist(),
                    self.class_year[person].tolist(),
                    self.campus[person].tolist(),
                    strict=True,
                )
            )
            for end in range(1, len(lives) + 1):
                if end < len(lives) and lives[end] == lives[start]:
                    continue
                community, class_year, campus = lives[start]
                lasts = end == len(lives) and class_year != last_class_year
                if community != ABSENT:
                    yield Spell(
                        person=person,
                        community=community,
                        class_year=class_year,
                        campus=campus,
                        first_day=self.terms[start].first_day,
                        last_day=None if lasts else self.terms[end - 1].last_day,
                    )
                start = end


def invent_people(study: Study, n_entering: int, *, rng: np.random.Generator) -> People:
    """Invent the people of a study.

    Args:
        study: Study with academic years, class years, communities and campuses; the
            first campus is the main one.
        n_entering: People who enter each year, give or take 3.
        rng: Source of chance.

    Returns:
        Everybody who entered early enough to be asked in the first wave, or later.
    """
    n_classes = len(study.class_years)
    first = int(study.academic_years[0][:4]) - (n_classes - 1)
    years = range(first, int(study.academic_years[-1][:4]) + 1)
    terms = tuple(term for year in years for term in _terms(year))
    share = _intake_shares(len(study.communities), rng)
    cohorts: list[str] = []
    class_rows: list[list[int]] = []
    community_rows: list[IntArray] = []
    campus_rows: list[IntArray] = []
    for year in years:
        straight = n_entering + int(rng.random() * 7) - 3
        transfers = round(_TRANSFERS * n_entering)
        places = _deal(share, straight + transfers, rng)
        for position, place in enumerate(places):
            story = _story(rng) if position < straight else "joins late"
            path = _class_path(story, n_classes, rng)
            before = 2 * (year - first)
            path = ([ABSENT] * before + path + [ABSENT] * len(terms))[: len(terms)]
            classes = np.array(path, dtype=np.int64)
            if (classes == ABSENT).all():  # joins after the study's last term
                continue
            community = np.where(classes == ABSENT, ABSENT, place)
            if story == "changes community":
                other = (place + 1 + int(rng.random() * (len(share) - 1))) % len(share)
                moved = np.arange(len(terms)) >= before + 1 + int(rng.random() * 6)
                community[moved & (classes != ABSENT)] = other
            cohorts.append(_label(year))
            class_rows.append(path)
            community_rows.append(community)
            campus_rows.append(_campus_path(classes, len(study.campuses), rng))
    numbers = np.argsort(rng.random(90_000))[: len(cohorts) + 50]
    keys = [f"P{number:05d}" for number in numbers]
    tracks = [_pick(_TRACKS, rng) for _ in cohorts]
    return People(
        keys=tuple(keys[: len(cohorts)]),
        unused_keys=tuple(keys[len(cohorts) :]),
        cohorts=tuple(cohorts),
        tracks=tuple(tracks),
        terms=terms,
        class_year=np.array(class_rows, dtype=np.int64),
        community=np.array(community_rows, dtype=np.int64),
        campus=np.array(campus_rows, dtype=np.int64),
    )


def _label(year: int) -> str:
    return f"{year}-{(year + 1) % 100:02d}"


def _terms(year: int) -> tuple[Term, Term]:
    label = _label(year)
    return (
        Term(label, date(year, 8, 1), date(year, 12, 31)),
        Term(label, date(year + 1, 1, 1), date(year + 1, 7, 31)),
    )


def _intake_shares(n_communities: int, rng: np.random.Generator) -> list[float]:
    """Communities differ a little in size, by 8% from the smallest to the largest."""
    weights = np.linspace(0.965, 1.045, n_communities)[
        np.argsort(rng.random(n_communities))
    ]
    return [float(w) for w in weights / weights.sum()]


def _deal(share: Sequence[float], n_people: int, rng: np.random.Generator) -> list[int]:
    """Deal a class out to the communities by their shares, in random order."""
    exact = np.array(share) * n_people
    places = np.floor(exact).astype(np.int64)
    short = np.argsort(places - exact, kind="stable")[: n_people - int(places.sum())]
    places[short] += 1
    dealt = np.repeat(np.arange(len(share)), places)
    return [int(c) for c in dealt[np.argsort(rng.random(n_people))]]


def _pick(
    shares: Sequence[tuple[str, float]], rng: np.random.Generator, rest: str = ""
) -> str:
    point = rng.random()
    for name, share in shares:
        if point < share:
            return name
        point -= share
    return rest or shares[0][0]


def _story(rng: np.random.Generator) -> str:
    return _pick(_STORIES, rng, "straight through")


def _class_path(story: str, n_classes: int, rng: np.random.Generator) -> list[int]:
    """Class years term by term from the term in which the class began."""
    path = [year for year in range(n_classes) for _ in range(2)]
    inner = 1 + int(rng.random() * (len(path) - 2))  # a term that is not at the edge
    if story == "leaves":
        return path[:inner]
    if story == "pauses":
        return [*path[:inner], ABSENT, ABSENT, *path[inner:]]
    if story == "repeats":
        year = int(rng.random() * (n_classes - 1))
        again = 2 * (year + 1)
        return [*path[:again], year, year, *path[again:]]
    if story == "joins late":
        missed = 2 * (1 + int(rng.random() * 2))
        return [ABSENT] * missed + path[missed:]
    return path


def _campus_path(
    classes: IntArray, n_campuses: int, rng: np.random.Generator
) -> IntArray:
    """Main campus first; part of the clinical half is spent elsewhere."""
    away, back, which = rng.random(3)
    clinical = 1 + int(which * (n_campuses - 1)) if away < _AWAY_CAMPUSES else 0
    last = (clinical + 1) % n_campuses if back < _MOVES_BACK else clinical
    campus = np.where(classes == ABSENT, ABSENT, 0)
    campus[classes >= FIRST_CLINICAL] = clinical
    campus[classes > FIRST_CLINICAL] = last
    return campus
