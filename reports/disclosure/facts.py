"""What a release carries of the study file: titles, scales and rules, no person.

A draft must be promoted without reading the study file again, so the words and
ranges that a page needs travel with the released numbers.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from data_contracts.errors import DisclosureError
from data_contracts.instrument import Instrument
from data_contracts.study import InstrumentUse, Study

__all__ = [
    "InstrumentFacts",
    "OutcomeFacts",
    "PrimaryFacts",
    "ScaleFacts",
    "StudyFacts",
    "study_facts",
]


class _Facts(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class OutcomeFacts(_Facts):
    """One outcome: its words, the whole range of its scale and its direction."""

    id: str
    label: str
    instrument: str
    minimum: float
    maximum: float
    higher_is: Literal["better", "worse", "neither"]

    @property
    def width(self) -> float:
        """Width of the whole scale, in its own units."""
        return self.maximum - self.minimum

    @property
    def decimals(self) -> int:
        """Decimals that are released: one step is about 1/3000 of the scale.

        More of them would give away the number of people behind a mean.

        Examples:
            >>> facts = dict(id="x", label="X", instrument="x", higher_is="worse")
            >>> OutcomeFacts(**facts, minimum=1, maximum=4).decimals
            3
            >>> OutcomeFacts(**facts, minimum=0, maximum=200).decimals
            1
        """
        digits_before_the_point = len(str(int(self.width)))
        return max(0, 4 - digits_before_the_point)


class ScaleFacts(_Facts):
    """How one scale is scored."""

    label: str
    n_items: int
    combine: str
    minimum_answered: int | None
    missing_rule: str
    higher_is: str


class InstrumentFacts(_Facts):
    """One instrument as the study uses it."""

    id: str
    title: str
    version: str
    concept: str
    coding: str
    reverse: tuple[int, ...]
    citation: str
    scales: tuple[ScaleFacts, ...]


class PrimaryFacts(_Facts):
    """One declared primary contrast, in its declared place."""

    outcome: str
    by: str
    level: str
    reference: str


class StudyFacts(_Facts):
    """The study as its pages present it."""

    id: str
    title: str
    synthetic: bool
    linked: bool
    has_roster: bool
    academic_years: tuple[str, ...]
    class_years: tuple[str, ...]
    n_communities: int
    outcomes: tuple[OutcomeFacts, ...]
    instruments: tuple[InstrumentFacts, ...]
    primaries: tuple[PrimaryFacts, ...]

    def outcome(self, outcome: str) -> OutcomeFacts:
        """One outcome by its id.

        Raises:
            DisclosureError: If the study declares no such outcome.
        """
        for candidate in self.outcomes:
            if candidate.id == outcome:
                return candidate
        raise DisclosureError(
            f"The results speak of the outcome {outcome!r}, which the study file does "
            f"not declare; it declares {', '.join(o.id for o in self.outcomes)}."
        )


def study_facts(study: Study) -> StudyFacts:
    """Take from a study what its report needs; community names are not taken."""
    outcomes = []
    for outcome in study.outcomes:
        low, high = study.scale_range(outcome.scale)
        outcomes.append(
            OutcomeFacts(
                id=outcome.id,
                label=outcome.label,
                instrument=outcome.scale.partition(".")[0],
                minimum=low,
                maximum=high,
                higher_is=study.scale(outcome.scale).higher_is,
            )
        )
    used = dict.fromkeys(o.instrument for o in outcomes)
    return StudyFacts(
        id=study.id,
        title=study.title,
        synthetic=study.synthetic,
        linked=study.key.kind != "none",
        has_roster=study.has_roster,
        academic_years=study.academic_years,
        class_years=study.class_years,
        n_communities=len(study.communities),
        outcomes=tuple(outcomes),
        instruments=tuple(
            _instrument(name, study.instrument(name), study.instruments[name])
            for name in used
        ),
        primaries=tuple(PrimaryFacts(**p.model_dump()) for p in study.primary),
    )


def _instrument(
    name: str, instrument: Instrument, use: InstrumentUse
) -> InstrumentFacts:
    # A study may leave the coding out where the contract knows only one.
    only = next(iter(instrument.codings)) if len(instrument.codings) == 1 else None
    coding = instrument.codings.get(use.coding or only or "")
    return InstrumentFacts(
        id=name,
        title=instrument.title,
        version=instrument.version,
        concept=instrument.concept,
        coding=coding.meaning if coding else "declared wave by wave",
        reverse=coding.reverse if coding else (),
        citation=instrument.citation,
        scales=tuple(
            ScaleFacts(
                label=s.label,
                n_items=len(s.items),
                combine=s.combine,
                minimum_answered=use.minimum_answered.get(s.id, s.minimum_answered),
                missing_rule=s.missing_rule,
                higher_is=s.higher_is,
            )
            for s in instrument.scales
        ),
    )
