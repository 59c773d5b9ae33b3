"""How scores lie: people per bin and academic year, as step histograms in rows."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go
import polars as pl

from reports.disclosure import OutcomeFacts, Release, require_release
from reports.report_figure import (
    Absence,
    ReportFigure,
    Row,
    closing_words,
    scale_words,
)
from reports.theme import (
    HELD,
    INK,
    MUTED,
    SERIES,
    SOFT,
    axis,
    base_figure,
    plain,
)
from reports.wording import DIRECTION, count, decimals_shown, mid_sentence, number

__all__ = ["distribution"]

_REPEATED = " Whoever answered twice in a year can stand in two bins."


def distribution(
    release: Release, outcome: str, *, source: str
) -> ReportFigure | Absence:
    """Scores of one outcome in each academic year, as step histograms in rows."""
    release = require_release(release)
    facts = release.outcome(outcome)
    label, name = mid_sentence(facts.label), f"{outcome}-distribution"
    bins = release.rows("distribution").filter(pl.col("outcome") == outcome)
    by_year = {
        y: bins.filter(pl.col("academic_year") == y).rows(named=True)
        for y in release.study.academic_years
    }
    by_year = {y: rows for y, rows in by_year.items() if rows}
    if not any(not r["suppressed"] for rows in by_year.values() for r in rows):
        return Absence(
            name,
            f"The distribution of {label} is not shown: no year has enough answers.",
        )
    figure = base_figure(
        height=86 * len(by_year) + 96, margin={"l": 110, "r": 24, "t": 10, "b": 64}
    )
    tallest = max(
        _heights(rows)[i]
        for rows in by_year.values()
        if not rows[0]["suppressed"]
        for i in range(len(rows))
    )
    for i, (year, rows) in enumerate(by_year.items()):
        _ridge(
            figure, rows, facts, year=year, row=len(by_year) - 1 - i, tallest=tallest
        )
    people = {}
    for year, mean, n in _observed_means(release, outcome):
        if year in by_year:
            people[year] = n
            base = len(by_year) - 1 - list(by_year).index(year)
            _mean_mark(figure, facts, mean=mean, base=base)
    toward = (
        f" · {DIRECTION[facts.higher_is]} →" if facts.higher_is != "neither" else ""
    )
    spare = facts.width * 0.01
    figure.update_layout(
        xaxis=axis(
            range=[facts.minimum - spare, facts.maximum + spare],
            title={
                "text": f"{plain(facts.label)}, whole scale{toward}",
                "font": {"size": 13, "color": MUTED},
                "standoff": 8,
            },
        ),
        yaxis=axis(
            range=[-0.06, len(by_year)],
            tickvals=[i + 0.3 for i in range(len(by_year))],
            ticktext=[
                _year_tick(y, rows, people.get(y))
                for y, rows in reversed(by_year.items())
            ],
            showgrid=False,
        ),
    )
    flat = [r for rows in by_year.values() for r in rows]
    title = f"How scores of {label} were spread in each academic year"
    alt = "; ".join(_in_words(y, rows, facts) for y, rows in by_year.items())
    least = release.policy.minimum_cell
    return ReportFigure(
        id=name,
        title=title,
        subtitle=(
            f"Share of answers per score, one row an academic year "
            f"({scale_words(facts)}, {DIRECTION[facts.higher_is]}); dashed: mean."
        ),
        caption=(
            f"Neighbouring bins were merged until at least {least} people stand in "
            "each, so the ends do not show the lowest or highest score."
            f"{_REPEATED if _has_repeats(release) else ''}"
            f"{closing_words(release, flat, source=source)}"
        ),
        alt_text=f"{title}. Step histograms. {alt}.",
        figure=figure,
        source_rows=pl.DataFrame(flat).select(
            "academic_year", "bin_low", "bin_high", "n_people", "reason"
        ),
    )


def _has_repeats(release: Release) -> bool:
    """Whether an academic year has several waves."""
    return release.rows("wave")["academic_year"].is_duplicated().any()


def _heights(rows: Sequence[Row]) -> list[float]:
    """Share of people per unit of the scale, bin by bin."""
    total = sum(r["n_people"] for r in rows)
    return [r["n_people"] / total / (r["bin_high"] - r["bin_low"]) for r in rows]


def _ridge(
    figure: go.Figure,
    rows: Sequence[Row],
    facts: OutcomeFacts,
    *,
    year: str,
    row: int,
    tallest: float,
) -> None:
    colour = SERIES[0][0]
    figure.add_shape(
        type="line",
        x0=facts.minimum,
        x1=facts.maximum,
        y0=row,
        y1=row,
        line={"color": MUTED, "width": 1},
        layer="below",
    )
    if rows[0]["suppressed"]:
        figure.add_annotation(
            text="not shown",
            x=(facts.minimum + facts.maximum) / 2,
            y=row + 0.35,
            showarrow=False,
            font={"size": 13, "color": MUTED},
        )
        figure.add_trace(
            go.Bar(
                x=[(facts.minimum + facts.maximum) / 2],
                y=[0.7],
                base=[row],
                width=[facts.width],
                marker={
                    "color": "rgba(0,0,0,0)",
                    "pattern": {"shape": "/", "fgcolor": HELD, "solidity": 0.12},
                    "line": {"color": HELD, "width": 1},
                },
                hovertext=[f"{year}: not shown"],
                hoverinfo="text",
            )
        )
        return
    heights = [h / tallest * 0.88 for h in _heights(rows)]
    x, y = [facts.minimum], [float(row)]
    for one, height in zip(rows, heights, strict=True):
        x += [one["bin_low"], one["bin_high"]]
        y += [row + height, row + height]
    x.append(facts.maximum)
    y.append(float(row))
    figure.add_trace(
        go.Scatter(
            x=x,
            y=y,
            mode="lines",
            line={"color": colour, "width": 1.8},
            fill="toself",
            fillcolor=SOFT[colour],
            hoverinfo="skip",
        )
    )
    total = sum(r["n_people"] for r in rows)
    figure.add_trace(
        go.Scatter(
            x=[(r["bin_low"] + r["bin_high"]) / 2 for r in rows],
            y=[row + h / 2 for h in heights],
            mode="markers",
            marker={"size": 16, "color": "rgba(0,0,0,0)"},
            hovertext=[
                f"{year}, {r['bin_low']:.4g} to {r['bin_high']:.4g}: "
                f"{count(r['n_people'])} people ({round(100 * r['n_people'] / total)}%)"
                for r in rows
            ],
            hoverinfo="text",
        )
    )


def _mean_mark(
    figure: go.Figure, facts: OutcomeFacts, *, mean: float, base: int
) -> None:
    figure.add_shape(
        type="line",
        x0=mean,
        x1=mean,
        y0=base,
        y1=base + 0.88,
        line={"color": SERIES[1][0], "width": 2, "dash": "dash"},
    )
    figure.add_annotation(
        text=f"mean {number(mean, decimals_shown(facts))}",
        x=mean,
        y=base + 0.04,
        xanchor="left",
        yanchor="bottom",
        xshift=6,
        showarrow=False,
        font={"size": 12, "color": INK},
    )


def _observed_means(release: Release, outcome: str) -> list[tuple[str, float, int]]:
    """Academic year, observed mean and people, where they may be shown."""
    rows = release.rows("estimate").filter(
        (pl.col("outcome") == outcome)
        & (pl.col("quantity") == "observed_mean")
        & (pl.col("by") == "academic_year")
        & ~pl.col("suppressed")
    )
    return list(rows.select("level", "estimate", "n_people").iter_rows())


def _year_tick(year: str, rows: Sequence[Row], people: int | None) -> str:
    if rows[0]["suppressed"]:
        return f"{year}<br>not shown"
    return f"{year}<br>{count(people)} people" if people else year


def _in_words(year: str, rows: Sequence[Row], facts: OutcomeFacts) -> str:
    if rows[0]["suppressed"]:
        return f"{year}: not shown"
    middle = max(rows, key=lambda r: r["n_people"] / (r["bin_high"] - r["bin_low"]))
    places = decimals_shown(facts)
    low, high = (number(middle[c], places) for c in ("bin_low", "bin_high"))
    return f"{year}: most scores lie near {low} to {high}"
