"""All figures of a release, in the order of the report, and why some are absent."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from reports.disclosure import Release, require_release, to_json
from reports.figures_distribution import distribution
from reports.figures_means import by_academic_year, by_class_year, by_year_and_class
from reports.figures_spread import spread
from reports.figures_study import primary_forest, response_flow
from reports.report_figure import Absence, ReportFigure

__all__ = ["Absence", "FigureSet", "ReportFigure", "build_figures", "source_digest"]

_OF_OUTCOME = (
    by_academic_year,
    by_class_year,
    by_year_and_class,
    distribution,
    spread,
)


@dataclass(frozen=True)
class FigureSet:
    """The figures of a release.

    Attributes:
        hero: The figure of the first screen; None where there is no figure at all.
        study: Figures of the study as a whole, or why one is absent.
        outcomes: Figures by outcome id, or why one is absent.
    """

    hero: ReportFigure | None
    study: tuple[ReportFigure | Absence, ...]
    outcomes: dict[str, tuple[ReportFigure | Absence, ...]]

    @property
    def all(self) -> tuple[ReportFigure, ...]:
        """Every figure once, the hero first."""
        parts = [*self.study, *(f for fs in self.outcomes.values() for f in fs)]
        figures = [f for f in parts if isinstance(f, ReportFigure)]
        return tuple(sorted(figures, key=lambda f: f is not self.hero))


def source_digest(release: Release) -> str:
    """Short digest of a release, as captions name it."""
    return hashlib.sha256(to_json(release).encode()).hexdigest()[:12]


def build_figures(release: Release) -> FigureSet:
    """Draw everything that a release has the numbers for.

    Args:
        release: A release of the gate.

    Returns:
        The figures; the same release gives the same figures.

    Raises:
        DisclosureError: If the value was not made by the gate.
    """
    release = require_release(release)
    source = source_digest(release)
    study = (
        response_flow(release, source=source),
        primary_forest(release, source=source),
    )
    outcomes = {
        o.id: tuple(make(release, o.id, source=source) for make in _OF_OUTCOME)
        for o in release.study.outcomes
    }
    return FigureSet(
        hero=_hero(release, study, outcomes), study=study, outcomes=outcomes
    )


def _hero(
    release: Release,
    study: tuple[ReportFigure | Absence, ...],
    outcomes: dict[str, tuple[ReportFigure | Absence, ...]],
) -> ReportFigure | None:
    """The first outcome's trend; the first declared primary says which is first."""
    primaries = [p.outcome for p in release.study.primaries]
    order = [*primaries, *(o for o in outcomes if o not in primaries)]
    candidates = [*(f for o in order for f in outcomes[o]), *study]
    return next((f for f in candidates if isinstance(f, ReportFigure)), None)
