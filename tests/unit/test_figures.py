"""Figures: what they say, what they show as hidden, and how they look."""

from __future__ import annotations

import json
from typing import Any

import polars as pl
import pytest

from data_contracts.errors import DisclosureError
from reports.disclosure import Release, release
from reports.figures import Absence, FigureSet, ReportFigure, build_figures
from reports.figures_means import by_academic_year, by_class_year
from reports.report_figure import for_export
from reports.theme import DARK, INK, MUTED, PAPER, SERIES, plain
from tests.unit import year_results as example

BASE = example.year_results()


@pytest.fixture(scope="module")
def shown() -> Release:
    return release(example.with_small_cell(3), example.study())


@pytest.fixture(scope="module")
def figures(shown: Release) -> FigureSet:
    return build_figures(shown)


def test_every_figure_of_the_issue_is_there(figures: FigureSet) -> None:
    ids = {f.id for f in figures.all}
    kinds = (
        "by-academic-year",
        "by-class-year",
        "by-year-and-class",
        "distribution",
        "spread",
    )
    expected = {f"{o}-{k}" for o in figures.outcomes for k in kinds}
    assert ids == expected | {"response-flow", "primary-contrasts"}
    assert figures.hero is not None
    assert figures.hero.id == "exhaustion-by-academic-year"


def test_the_same_release_gives_the_same_figures(
    shown: Release, figures: FigureSet
) -> None:
    again = build_figures(shown)
    assert [f.figure.to_json() for f in again.all] == [
        f.figure.to_json() for f in figures.all
    ]
    assert [(f.id, f.title, f.caption, f.alt_text) for f in again.all] == [
        (f.id, f.title, f.caption, f.alt_text) for f in figures.all
    ]


def test_words_of_a_figure_come_from_its_rows(figures: FigureSet) -> None:
    hero = figures.hero
    assert hero is not None
    assert hero.title == "Exhaustion fell by 0.17 points from 2022-23 to 2025-26"
    assert "scale 1 to 4, higher is worse" in hero.subtitle
    assert "z (large sample)" in hero.caption
    assert "11 communities" in hero.caption
    # 2.45 and its people are the released row of 2022-23 in the example.
    assert "2022-23: 2.45" in hero.alt_text
    assert "495 people" in hero.alt_text


def test_points_have_a_thick_50_and_a_thin_95_interval(figures: FigureSet) -> None:
    hero = figures.hero
    assert hero is not None
    thin, thick = (
        t.error_y for t in hero.figure.data if t.error_y.thickness is not None
    )
    assert thin.thickness < thick.thickness
    # 0.6745 of a standard error against 1.96 of it; released to three decimals.
    ratio = thick.array[0] / thin.array[0]
    assert ratio == pytest.approx(0.6745 / 1.96, abs=0.02)


def test_a_hidden_cell_is_hatched_and_says_why(figures: FigureSet) -> None:
    crossed = next(f for f in figures.all if f.id == "exhaustion-by-year-and-class")
    hatched = [t for t in crossed.figure.data if t.type == "bar"]
    assert sum(len(t.x) for t in hatched) == 4
    assert all(t.marker.pattern.shape == "/" for t in hatched)
    assert "Hatched: not shown, because fewer than 10 people" in crossed.caption
    assert "3.777" not in crossed.figure.to_json()


def test_a_zoomed_panel_shows_the_whole_scale_as_a_strip(figures: FigureSet) -> None:
    assert figures.hero is not None
    layout = figures.hero.figure.layout
    low, high = layout.yaxis.range
    assert 1 < low < high < 4
    notes = [a.text for a in layout.annotations]
    assert {"1", "4"} <= set(notes)
    assert "higher is worse" in layout.yaxis.title.text


def test_panels_of_one_outcome_share_their_scale(figures: FigureSet) -> None:
    ranges = {
        tuple(f.figure.layout.yaxis.range)
        for f in figures.all
        if f.id.startswith("exhaustion-by-")
    }
    assert len(ranges) == 1


def test_primaries_are_drawn_in_their_declared_order(figures: FigureSet) -> None:
    forest = next(f for f in figures.all if f.id == "primary-contrasts")
    assert forest.source_rows["outcome"].to_list() == [
        "exhaustion",
        "disengagement",
        "environment",
        "distress",
    ]
    assert forest.title == "2 of 4 declared primary contrasts are clear of zero"


def one_year() -> Release:
    """One wave, no communities, no model, people who cannot be followed."""
    year = (pl.col("by") != "academic_year") | (pl.col("level") == example.YEAR)
    estimate = BASE.estimate.filter(
        (pl.col("quantity") == "observed_mean")
        & year
        & (pl.col("by").is_in(["academic_year", "class_year"]))
    ).with_columns(n_communities=pl.lit(0, dtype=pl.Int64))
    last = f"{example.YEAR}_fall"
    results = example.replaced(
        BASE,
        estimate=estimate,
        contrast=BASE.contrast.clear(),
        variance_component=BASE.variance_component.clear(),
        fit=BASE.fit.clear(),
        distribution=BASE.distribution.filter(pl.col("academic_year") == example.YEAR),
        response_flow=BASE.response_flow.filter(
            (pl.col("wave") == last)
            & (pl.col("by") != "community")
            & (pl.col("stage") != "eligible")
        ),
        wave=BASE.wave.filter(pl.col("wave") == last),
    )
    study = example.study(
        communities=[], primary=[], models=[], rosters={}, key={"kind": "none"}
    )
    return release(results, study)


def test_what_cannot_be_drawn_is_absent_with_its_reason() -> None:
    figures = build_figures(one_year())
    absent = {
        f.id: f.sentence
        for f in (*figures.study, *figures.outcomes["exhaustion"])
        if isinstance(f, Absence)
    }
    assert "one academic year only (2025-26)" in absent["exhaustion-by-academic-year"]
    assert "no communities" in absent["exhaustion-spread"]
    assert "declares no primary" in absent["primary-contrasts"]
    ids = {f.id for f in figures.all}
    assert {
        "exhaustion-by-class-year",
        "exhaustion-distribution",
        "response-flow",
    } <= ids


def test_without_a_model_observed_means_are_drawn_and_named() -> None:
    figure = by_class_year(one_year(), "exhaustion", source="x")
    assert isinstance(figure, ReportFigure)
    assert figure.subtitle.startswith("Observed means")
    assert figure.title == "Exhaustion by class year"


def test_only_released_values_are_drawn() -> None:
    with pytest.raises(DisclosureError):
        build_figures(BASE)  # type: ignore[arg-type]
    with pytest.raises(DisclosureError):
        by_academic_year(BASE.estimate, "exhaustion", source="x")  # type: ignore[arg-type]


def test_markup_in_a_label_is_shown_as_text() -> None:
    outcomes = [
        {"id": o.id, "scale": o.scale, "label": "<script>x</script>"}
        for o in example.study().outcomes
    ]
    figures = build_figures(release(BASE, example.study(outcomes=outcomes)))
    for figure in figures.all:
        assert "<script>" not in json.dumps(figure.figure.to_plotly_json())
    assert plain("<b>") == "&lt;b&gt;"


def test_files_carry_their_words_and_marks(shown: Release, figures: FigureSet) -> None:
    assert figures.hero is not None
    draft = _texts(for_export(figures.hero, shown, draft=True))
    final = _texts(for_export(figures.hero, shown, draft=False))
    for words in (figures.hero.title, "Thick line: 50% interval", "Invented data"):
        assert any(words in t for t in draft)
        assert any(words in t for t in final)
    assert any("DRAFT" in t for t in draft)
    assert not any("DRAFT" in t for t in final)


def _texts(figure: dict[str, Any]) -> list[str]:
    return [
        str(a["text"]).replace("<br>", " ") for a in figure["layout"]["annotations"]
    ]


def _luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [
        p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts
    ]
    return sum(w * p for w, p in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def _contrast(one: str, other: str) -> float:
    high, low = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_text_and_marks_stand_out_in_light_and_in_dark() -> None:
    # WCAG 2.2: 4.5 to 1 for text, 3 to 1 for marks.
    for colours in (lambda c: c, DARK.__getitem__):
        for text in (INK, MUTED):
            assert _contrast(colours(text), colours(PAPER)) >= 4.5
        for colour, _ in SERIES:
            assert _contrast(colours(colour), colours(PAPER)) >= 3
    assert len({marker for _, marker in SERIES}) == len(SERIES)
