"""Where the spread lies: between communities, between people, within a person."""

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
    fit_words,
    scale_words,
)
from reports.theme import (
    HELD,
    INK,
    MUTED,
    PAPER,
    SERIES,
    SOFT,
    axis,
    base_figure,
    plain,
)
from reports.wording import decimals_shown, mid_sentence, number

__all__ = ["spread"]

_GROUPS = {
    "community": "Between communities",
    "community:cohort": "Between entry cohorts of the same community",
    "community:academic_year": "Between years of the same community",
    "student": "Between people in the same community",
    "residual": "Within a person, from wave to wave",
}


def spread(release: Release, outcome: str, *, source: str) -> ReportFigure | Absence:
    """Bands of one SD around the study mean: communities, people, within people."""
    release = require_release(release)
    facts = release.outcome(outcome)
    label, name = mid_sentence(facts.label), f"{outcome}-spread"
    rows = (
        release.rows("variance_component")
        .filter(pl.col("outcome") == outcome)
        .sort("model", maintain_order=True)
    )
    if rows.is_empty():
        why = (
            "this study has no communities in its models"
            if not release.study.n_communities
            else "no model with random effects was fitted or may be shown"
        )
        return Absence(
            name, f"The spread of {label} is not split between groups: {why}."
        )
    # A slope's own variance is in other units; its group's band holds it.
    first = rows.filter(
        (pl.col("model") == rows["model"][0])
        & ~pl.col("group").str.contains(" | ", literal=True)
    )
    if set(first["group"]) == {"residual"}:
        return Absence(
            name,
            f"The spread of {label} is not split between groups: its model has none "
            "(see the methods for the reason).",
        )
    order = {g: i for i, g in enumerate(_GROUPS)}
    parts = sorted(
        first.iter_rows(named=True),
        key=lambda r: (order.get(r["group"], 1), r["group"]),
    )
    figure = _bands(parts, facts)
    title = _spread_title(parts, facts)
    alt = "; ".join(f"{_group(r['group'])}: {_band_words(r, facts)}" for r in parts)
    return ReportFigure(
        id=name,
        title=title,
        subtitle=(
            f"Standard deviation of {label} around the study mean "
            f"({scale_words(facts)}), split by who differs; intervals by profile "
            "likelihood."
        ),
        caption=(
            "Each band is one standard deviation to both sides of the study mean: "
            "about two thirds of communities, of people or of answers lie within it. "
            f"{fit_words(release, parts)}{closing_words(release, parts, source=source)}"
        ),
        alt_text=f"{title}. Bands around the mean. {alt}.",
        figure=figure,
        source_rows=pl.DataFrame(parts).select(
            "group",
            "sd",
            "conf_low",
            "conf_high",
            "variance",
            "share",
            "n_levels",
            "n_people",
            "reason",
        ),
    )


def _bands(parts: Sequence[Row], facts: OutcomeFacts) -> go.Figure:
    figure = base_figure(
        height=84 * len(parts) + 84, margin={"l": 24, "r": 24, "t": 10, "b": 62}
    )
    widest = max((r["sd"] or 0.0) for r in parts) or 0.1 * facts.width
    for i, row in enumerate(parts):
        y, colour = len(parts) - 1 - i, SERIES[i % len(SERIES)][0]
        figure.add_annotation(
            text=f"<b>{_group(row['group'])}</b>: {_band_words(row, facts)}",
            xref="paper",
            x=0,
            xanchor="left",
            y=y + 0.42,
            yanchor="middle",
            showarrow=False,
            bgcolor=PAPER,
            borderpad=1,
            font={"size": 14, "color": INK},
        )
        half = widest * 1.05 if row["suppressed"] else row["sd"]
        marker = {"color": SOFT[colour], "line": {"color": colour, "width": 2}}
        if row["suppressed"]:
            marker = {
                "color": "rgba(0,0,0,0)",
                "pattern": {"shape": "/", "fgcolor": HELD, "solidity": 0.12},
                "line": {"color": HELD, "width": 1},
            }
        figure.add_trace(
            go.Bar(
                x=[2 * half],
                base=[-half],
                y=[y],
                width=[0.36],
                orientation="h",
                marker=marker,
                hovertext=[f"{_group(row['group'])}: {_band_words(row, facts)}"],
                hoverinfo="text",
            )
        )
    figure.update_layout(
        xaxis=axis(
            range=[-1.12 * widest, 1.12 * widest],
            title={
                "text": f"Distance from the study mean, {plain(facts.label)}",
                "font": {"size": 13, "color": MUTED},
                "standoff": 8,
            },
            showline=True,
            zeroline=True,
            zerolinecolor=INK,
            zerolinewidth=1.5,
        ),
        yaxis=axis(
            range=[-0.35, len(parts) - 0.3], showticklabels=False, showgrid=False
        ),
    )
    return figure


def _group(group: str) -> str:
    words = _GROUPS.get(group)
    return words or f"Between {plain(group.replace(':', ' by ').replace('_', ' '))}"


def _band_words(row: Row, facts: OutcomeFacts) -> str:
    if row["suppressed"]:
        return f"not shown ({row['reason']})"
    places = decimals_shown(facts, row["sd"])
    sd = f"SD {number(row['sd'], places)}"
    if row["conf_low"] is not None and row["conf_high"] is not None:
        ends = (number(row[c], places) for c in ("conf_low", "conf_high"))
        sd += f" (95% interval {' to '.join(ends)})"
    share = (
        f", {row['share'] * 100:.0f}% of the variance"
        if row["share"] is not None
        else ""
    )
    of = f", {row['n_levels']} communities" if row["group"] == "community" else ""
    return f"{sd}{share}{of}"


def _spread_title(parts: Sequence[Row], facts: OutcomeFacts) -> str:
    label = mid_sentence(facts.label)
    community = next((r for r in parts if r["group"] == "community"), None)
    if community is None:
        return f"How {label} differs between people and within them"
    if community["suppressed"]:
        return f"The spread of {label} between communities is not shown"
    if not community["sd"]:
        return f"No spread of {label} between communities could be told from chance"
    share = community["share"]
    if share is None:
        return f"How {label} differs between communities and between people"
    percent = "Less than 1%" if share < 0.01 else f"About {share * 100:.0f}%"
    return f"{percent} of the spread in {label} lies between communities"
