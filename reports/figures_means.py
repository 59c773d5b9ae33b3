"""Figures of means: by academic year, by class year, and both at once.

Points with a thick 50% and a thin 95% interval and the people under each point;
a hidden cell is hatched.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from reports.disclosure import Release, require_release
from reports.means_panel import Panel, draw_axes, draw_points, draw_strip
from reports.report_figure import (
    Absence,
    ReportFigure,
    Row,
    closing_words,
    df_words,
    fit_words,
    scale_words,
    value_words,
)
from reports.sentences import title_finding
from reports.theme import (
    SERIES,
    base_figure,
    plain,
)
from reports.wording import DIRECTION, mid_sentence

__all__ = ["by_academic_year", "by_class_year", "by_year_and_class"]

CROSSED = ("academic_year:class_year", "academic_year : class_year")
_SHOWN = (
    "level",
    "estimate",
    "conf_low",
    "conf_high",
    "std_error",
    "n_people",
    "n_answers",
    "reason",
)


def by_academic_year(
    release: Release, outcome: str, *, source: str
) -> ReportFigure | Absence:
    """Means of one outcome by academic year; model means where there are any."""
    return _by_one(release, outcome, by="academic_year", source=source)


def by_class_year(
    release: Release, outcome: str, *, source: str
) -> ReportFigure | Absence:
    """Means of one outcome by class year."""
    return _by_one(release, outcome, by="class_year", source=source)


def _by_one(
    release: Release, outcome: str, *, by: str, source: str
) -> ReportFigure | Absence:
    release = require_release(release)
    facts = release.outcome(outcome)
    words = by.replace("_", " ")
    name = f"{outcome}-by-{by.replace('_', '-')}"
    order = getattr(release.study, f"{by}s")
    rows, quantity = _means(release, outcome, by=by, order=order)
    label = mid_sentence(facts.label)
    if not rows:
        return Absence(name, f"No mean of {label} by {words} was estimated.")
    if len(rows) == 1 and by == "academic_year":
        return Absence(
            name,
            f"There is one academic year only ({rows[0]['level']}), so no change of "
            f"{label} over years can be shown.",
        )
    if all(r["suppressed"] for r in rows):
        return Absence(
            name,
            f"Every mean of {label} by {words} is held back: {rows[0]['reason']}.",
        )
    window = _window(release, outcome)
    figure = base_figure(height=430, margin={"l": 84, "r": 24, "t": 16, "b": 62})
    colour, marker = SERIES[0]
    draw_points(figure, rows, Panel(facts, window, colour, marker))
    draw_axes(figure, rows, facts, window=window, domain=(0.0, 0.945))
    draw_strip(figure, facts, window)
    kind = "Model means" if quantity == "marginal_mean" else "Observed means"
    standard = (
        f", each {words} over the same mix of the other factors"
        if quantity == "marginal_mean"
        else ""
    )
    finding = title_finding(release, outcome, by=by)
    title = finding.title if finding else f"{facts.label} by {words}"
    shown = "; ".join(f"{r['level']}: {value_words(facts, r)}" for r in rows)
    return ReportFigure(
        id=name,
        title=title,
        subtitle=(
            f"{kind} of {label} by {words} ({scale_words(facts)}, "
            f"{DIRECTION[facts.higher_is]}){standard}."
        ),
        caption=(
            f"Thick line: 50% interval; thin line: 95% interval. "
            f"{fit_words(release, rows) if quantity == 'marginal_mean' else ''}"
            f"{df_words(rows)}{closing_words(release, rows, source=source)}"
        ),
        alt_text=f"{title}. Points with intervals by {words}. {shown}.",
        figure=figure,
        source_rows=_source(rows),
        min_width=max(420, 130 + 88 * len(rows)),
    )


def by_year_and_class(
    release: Release, outcome: str, *, source: str
) -> ReportFigure | Absence:
    """Observed means by academic year, one panel per class year, one scale."""
    release = require_release(release)
    facts = release.outcome(outcome)
    label = mid_sentence(facts.label)
    name = f"{outcome}-by-year-and-class"
    years, classes = release.study.academic_years, release.study.class_years
    cells = release.rows("estimate").filter(
        (pl.col("outcome") == outcome)
        & (pl.col("quantity") == "observed_mean")
        & pl.col("by").is_in(CROSSED)
    )
    found = {tuple(r["level"].split(" : ")): r for r in cells.iter_rows(named=True)}
    years = tuple(y for y in years if any(y == cell[0] for cell in found))
    classes = tuple(c for c in classes if any(c == cell[1] for cell in found))
    if len(years) < 2 or len(classes) < 2:
        return Absence(
            name,
            f"{facts.label} is not shown by academic year and class year at once: that "
            "needs at least two of each.",
        )
    rows = [found[(y, c)] for c in classes for y in years if (y, c) in found]
    window = _window(release, outcome)
    figure = base_figure(height=400, margin={"l": 84, "r": 24, "t": 36, "b": 58})
    gap, right = 0.015, 0.945
    width = (right - gap * (len(classes) - 1)) / len(classes)
    for i, class_year in enumerate(classes):
        colour, marker = SERIES[i % len(SERIES)]
        start = i * (width + gap)
        panel_rows = [
            {**found[(y, class_year)], "level": y}
            for y in years
            if (y, class_year) in found
        ]
        panel = Panel(facts, window, colour, marker, number=i + 1, labelled=False)
        draw_points(figure, panel_rows, panel)
        draw_axes(
            figure,
            panel_rows,
            facts,
            window=window,
            domain=(start, start + width),
            number=i + 1,
        )
        figure.add_annotation(
            text=f"<b>{plain(class_year)}</b>",
            xref="paper",
            yref="paper",
            x=start + width / 2,
            y=1,
            yshift=24,
            xanchor="center",
            yanchor="middle",
            showarrow=False,
            font={"size": 14, "color": colour},
        )
    draw_strip(figure, facts, window)
    title = f"{facts.label} in each class year, {years[0]} to {years[-1]}"
    shown = "; ".join(
        f"{r['level'].replace(' : ', ' ')}: {value_words(facts, r)}" for r in rows
    )
    return ReportFigure(
        id=name,
        title=title,
        subtitle=(
            f"Observed means of {label} ({scale_words(facts)}, "
            f"{DIRECTION[facts.higher_is]}); one panel a class year, the same scale in "
            "all; people under each point."
        ),
        caption=(
            "Plain means of those who answered, not adjusted. Thick line: 50% "
            "interval; thin line: 95% interval. No difference here was tested."
            f"{closing_words(release, rows, source=source)}"
        ),
        alt_text=f"{title}. Points with intervals in {len(classes)} panels. {shown}.",
        figure=figure,
        source_rows=_source(rows),
        min_width=130 + 44 * max(len(rows), 12),
    )


def _means(
    release: Release, outcome: str, *, by: str, order: Sequence[str]
) -> tuple[list[Row], str]:
    """Rows in declared order: model means, or observed ones without a model."""
    estimates = release.rows("estimate").filter(
        (pl.col("outcome") == outcome) & (pl.col("by") == by)
    )
    for quantity in ("marginal_mean", "observed_mean"):
        rows = estimates.filter(pl.col("quantity") == quantity)
        if rows.is_empty():
            continue
        # Of several models the first by name is drawn; the table shows all.
        model = rows["model"].sort()[0]
        rows = rows.filter(pl.col("model") == model)
        by_level = {r["level"]: r for r in rows.iter_rows(named=True)}
        levels = [*order, *sorted(set(by_level) - set(order))]
        return [by_level[level] for level in levels if level in by_level], quantity
    return [], ""


def _source(rows: Sequence[Row]) -> pl.DataFrame:
    return pl.DataFrame([{c: r[c] for c in _SHOWN} for r in rows])


def _window(release: Release, outcome: str) -> tuple[float, float]:
    """The part of the scale that all figures of means of one outcome show."""
    facts = release.outcome(outcome)
    rows = release.rows("estimate").filter(
        (pl.col("outcome") == outcome)
        & (pl.col("quantity") != "coefficient")
        & ~pl.col("suppressed")
    )
    limits = rows.select(
        low=pl.min_horizontal("estimate", "conf_low").min(),
        high=pl.max_horizontal("estimate", "conf_high").max(),
    ).row(0)
    if limits[0] is None or limits[1] is None:
        return (facts.minimum, facts.maximum)
    low, high = float(limits[0]), float(limits[1])
    if high - low > 0.6 * facts.width:
        return (facts.minimum, facts.maximum)
    # Zooming in further than a tenth of the scale would make noise look large.
    spare = max(0.12 * (high - low), (0.1 * facts.width - (high - low)) / 2)
    return (max(facts.minimum, low - spare), min(facts.maximum, high + spare))
