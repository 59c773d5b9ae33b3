"""The report as one HTML page that opens offline: plotly.js is inside, once.

Nothing is asked of any server, no clock is read: the same release and provenance
give the same bytes. Every text is escaped by the template.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from reports.disclosure import Release, canonical, require_release, to_json
from reports.figures import Absence, FigureSet, ReportFigure, build_figures
from reports.figures_study import totals_by_wave
from reports.provenance import Provenance
from reports.sentences import limits, methods, primary_findings, refusals
from reports.text_tables import (
    TextTable,
    coefficient_table,
    contrast_table,
    figure_table,
    fit_table,
    held_back_table,
    instrument_table,
    package_table,
    response_tables,
    set_aside_table,
    wave_table,
)
from reports.theme import DARK, PAPER, SOFT
from reports.wording import count

__all__ = ["State", "identity", "render_page"]

State = Literal["draft", "released"]


@dataclass(frozen=True)
class BigNumber:
    """One number of the first screen and what it counts."""

    value: str
    words: str


@dataclass(frozen=True)
class PageFigure:
    """A figure as the template needs it."""

    figure: ReportFigure
    spec: Markup
    table: TextTable
    height: int


@dataclass(frozen=True)
class OutcomeSection:
    """One outcome's part of the page."""

    id: str
    label: str
    figures: tuple[PageFigure, ...]
    absent: tuple[str, ...]
    contrasts: TextTable
    coefficients: TextTable


def identity(release: Release, provenance: Provenance) -> str:
    """Digest that names a draft: of its released numbers and their provenance.

    Raises:
        DisclosureError: If the value was not made by the gate.
    """
    text = to_json(release) + canonical(provenance.model_dump(mode="json"))
    return hashlib.sha256(text.encode()).hexdigest()


def render_page(
    release: Release,
    provenance: Provenance,
    *,
    state: State,
    figures: FigureSet | None = None,
) -> str:
    """Write the whole page.

    Args:
        release: A release of the gate.
        provenance: Where its numbers come from.
        state: ``draft`` marks the page all over; ``released`` does not.
        figures: Its figures, where they were drawn already.

    Returns:
        One self-contained HTML document.

    Raises:
        DisclosureError: If the value was not made by the gate.
    """
    release = require_release(release)
    figures = figures or build_figures(release)
    study_figures = [f for f in figures.study if isinstance(f, ReportFigure)]
    sections = tuple(
        OutcomeSection(
            id=outcome.id,
            label=outcome.label,
            figures=_page_figures(figures.outcomes[outcome.id], but=figures.hero),
            absent=_absences(figures.outcomes[outcome.id]),
            contrasts=contrast_table(release, outcome.id),
            coefficients=coefficient_table(release, outcome.id),
        )
        for outcome in release.study.outcomes
    )
    template = _environment().get_template("report.html.j2")
    return template.render(
        study=release.study,
        release=release,
        state=state,
        findings=primary_findings(release),
        big_numbers=_big_numbers(release),
        hero=_page_figure(figures.hero) if figures.hero else None,
        study_figures=_page_figures(study_figures, but=figures.hero),
        study_absent=_absences(figures.study),
        sections=sections,
        fits=fit_table(release),
        refusals=refusals(release),
        responses=response_tables(release),
        waves=wave_table(release),
        set_aside=set_aside_table(release),
        held_back=held_back_table(release),
        instruments=[(i, instrument_table(i)) for i in release.study.instruments],
        packages=package_table(provenance),
        methods=methods(release),
        limits=limits(release),
        provenance=provenance,
        digest=identity(release, provenance),
        numbers_digest=hashlib.sha256(to_json(release).encode()).hexdigest(),
        plotly=_plotly(),
        dark_colours=_script_json({**DARK, **_dark_washes()}),
        paper=PAPER,
        dark_paper=DARK[PAPER],
    )


@lru_cache(maxsize=1)
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("reports", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@lru_cache(maxsize=1)
def _plotly() -> Markup:
    # Ours to trust: the library that is installed, made safe to stand in a script.
    return Markup(get_plotlyjs().replace("</script", "<\\/script"))  # noqa: S704


def _script_json(value: object) -> Markup:
    """JSON that cannot end the script element that it stands in."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(text)  # noqa: S704 no markup can be left in it


def _dark_washes() -> dict[str, str]:
    washes = {}
    for colour, wash in SOFT.items():
        red, green, blue = (
            int(DARK.get(colour, colour)[i : i + 2], 16) for i in (1, 3, 5)
        )
        washes[wash] = f"rgba({red},{green},{blue},0.28)"
    return washes


def _page_figure(figure: ReportFigure) -> PageFigure:
    spec = figure.figure.to_plotly_json()
    return PageFigure(
        figure=figure,
        spec=_script_json({"data": spec["data"], "layout": spec["layout"]}),
        table=figure_table(figure),
        height=int(figure.figure.layout.height),
    )


def _page_figures(
    figures: tuple[ReportFigure | Absence, ...] | list[ReportFigure],
    *,
    but: ReportFigure | None,
) -> tuple[PageFigure, ...]:
    return tuple(
        _page_figure(f)
        for f in figures
        if isinstance(f, ReportFigure) and (but is None or f.id != but.id)
    )


def _absences(figures: tuple[ReportFigure | Absence, ...]) -> tuple[str, ...]:
    return tuple(f.sentence for f in figures if isinstance(f, Absence))


def _big_numbers(release: Release) -> tuple[BigNumber, ...]:
    """Who answered, in a few large rounded numbers."""
    numbers = []
    waves = totals_by_wave(release)
    if waves:
        wave, stages = list(waves.items())[-1]
        answered, eligible = stages.get("answered"), stages.get("eligible")
        if answered and not answered["suppressed"]:
            name = wave.replace("_", " ")
            people, percent = count(answered["n_people"]), answered["percent"]
            if eligible and not eligible["suppressed"] and percent is not None:
                of = f"{people} of {count(eligible['n_people'])} eligible people"
                numbers.append(
                    BigNumber(f"{percent:.0f}%", f"answered in {name}: {of}")
                )
            else:
                numbers.append(BigNumber(people, f"people answered in {name}"))
    modelled = release.rows("fit")["n_people"].drop_nulls()
    if len(modelled):
        largest = max(int(n) for n in modelled)
        numbers.append(BigNumber(count(largest), "people in the models"))
    waves_used = release.rows("wave").height
    words = "survey wave" if waves_used == 1 else "survey waves"
    numbers.append(BigNumber(str(waves_used), words))
    if release.study.n_communities:
        numbers.append(BigNumber(str(release.study.n_communities), "communities"))
    return tuple(numbers)
