"""One figure of a report with its words: title, subtitle, caption, alt text.

All four are made from the same released rows as the picture. ``for_export`` puts
them into the picture, for files that travel without the page.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go
import polars as pl
from scipy.special import stdtrit

from reports.disclosure import OutcomeFacts, Release, require_release
from reports.theme import INK, MUTED, WIDTH, wrapped
from reports.wording import COUNT_NOTE, DASH, count, decimals_shown, number

__all__ = ["Absence", "ReportFigure", "for_export", "limits_50"]

Row = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class ReportFigure:
    """A figure and its words.

    Attributes:
        id: Stable name, fit for a file and an anchor.
        title: The finding, by the rule of the adjusted interval.
        subtitle: What is shown: scale, range, who, when.
        caption: How: model, interval, counts, source.
        alt_text: The picture in words, with its numbers.
        figure: The picture, without words around it.
        source_rows: The released rows that it shows.
        min_width: Pixels below which it no longer reads; a page scrolls it there.
    """

    id: str
    title: str
    subtitle: str
    caption: str
    alt_text: str
    figure: go.Figure
    source_rows: pl.DataFrame
    min_width: int = 640


@dataclass(frozen=True)
class Absence:
    """A figure that could not be made, and why in one sentence."""

    id: str
    sentence: str


def limits_50(row: Row) -> tuple[float, float]:
    """Ends of the 50% interval of an estimate, from its SE and df.

    Examples:
        >>> row = {"estimate": 0.0, "std_error": 1.0, "df": float("inf")}
        >>> [round(x, 4) for x in limits_50(row)]
        [-0.6745, 0.6745]
    """
    df = row["df"]
    quantile = float(stdtrit(df, 0.75)) if df and math.isfinite(df) else 0.674489750196
    half = quantile * (row["std_error"] or 0.0)
    return row["estimate"] - half, row["estimate"] + half


def scale_words(facts: OutcomeFacts) -> str:
    """The scale of an outcome in words."""
    return f"scale {facts.minimum:g} to {facts.maximum:g}"


def value_words(facts: OutcomeFacts, row: Row) -> str:
    """One released mean in words: level, estimate, interval, people."""
    if row["suppressed"]:
        return f"not shown ({row['reason']})"
    places = decimals_shown(facts)
    interval = (
        f" ({number(row['conf_low'], places)} to {number(row['conf_high'], places)})"
        if row["conf_low"] is not None
        else ""
    )
    people = f"{count(row['n_people'])} people"
    return f"{number(row['estimate'], places)}{interval}, {people}"


def fit_words(release: Release, rows: Sequence[Row]) -> str:
    """Model, N and communities behind rows, for a caption."""
    fits = release.rows("fit").filter(~pl.col("suppressed"))
    names = {(r["outcome"], r["model"]) for r in rows}
    used = [
        f for f in fits.iter_rows(named=True) if (f["outcome"], f["model"]) in names
    ]
    if not used:
        return ""
    first = used[0]
    words = (
        f"{count(first['n_answers'])} answers of {count(first['n_people'])} people"
        if len(used) == 1
        else f"up to {count(max(f['n_answers'] for f in used))} answers of "
        f"{count(max(f['n_people'] for f in used))} people"
    )
    if first["n_communities"]:
        words += f" in {first['n_communities']} communities"
    return f"Model {first['model']} ({first['engine']}): {words}."


def df_words(rows: Sequence[Row]) -> str:
    """How the df were found, for a caption."""
    named = sorted({str(r["df_method"]) for r in rows if r["df_method"]})
    return f" Degrees of freedom: {', '.join(named)}." if named else ""


def closing_words(release: Release, rows: Sequence[Row], *, source: str) -> str:
    """The last words of a caption: what is hatched, rounding, source."""
    reasons = sorted({str(r["reason"]) for r in rows if r["suppressed"]})
    held = f" Hatched: not shown, because {'; or '.join(reasons)}." if reasons else ""
    step = release.policy.rounding_base
    return f"{held} {COUNT_NOTE} to {step}. Source: release {source}."


def for_export(
    report_figure: ReportFigure, release: Release, *, draft: bool
) -> dict[str, Any]:
    """The figure as plotly JSON with its words in it, laid out for a file.

    Args:
        report_figure: The figure.
        release: The release that it is from; says whether the data are invented.
        draft: Whether to mark it as a draft.

    Returns:
        A plotly figure as plain data, ``WIDTH`` pixels wide.
    """
    release = require_release(release)
    figure = go.Figure(report_figure.figure)
    title = wrapped(report_figure.title, 92)
    subtitle = wrapped(report_figure.subtitle, 150)
    caption = wrapped(report_figure.caption, 190)
    marks = []
    if draft:
        marks.append(f"DRAFT {DASH} not released")
    if release.study.synthetic:
        marks.append("Invented data")
    margin = figure.layout.margin.to_plotly_json()
    title_height = 28 * (title.count("<br>") + 1)
    flag = 22 if marks else 0
    head = 20 + flag + title_height + 20 * (subtitle.count("<br>") + 1) + 14
    foot = 16 * (caption.count("<br>") + 1) + 22
    height = int(figure.layout.height - margin["t"] - margin["b"])
    top, bottom = head + margin["t"], foot + margin["b"]
    figure.update_layout(
        width=WIDTH,
        height=height + top + bottom,
        margin={**margin, "t": top, "b": bottom},
    )
    left = {
        "xref": "paper",
        "x": 0,
        "xanchor": "left",
        "xshift": 20 - margin["l"],
        "showarrow": False,
        "align": "left",
    }
    at_top = {**left, "yref": "paper", "y": 1, "yanchor": "top"}
    figure.add_annotation(
        text=f"<b>{title}</b>",
        yshift=top - 12 - flag,
        font={"size": 21, "color": INK},
        **at_top,
    )
    figure.add_annotation(
        text=subtitle,
        yshift=top - 16 - flag - title_height,
        font={"size": 14, "color": MUTED},
        **at_top,
    )
    figure.add_annotation(
        text=caption,
        yref="paper",
        y=0,
        yanchor="bottom",
        yshift=8 - bottom,
        font={"size": 11, "color": MUTED},
        **left,
    )
    if marks:
        figure.add_annotation(
            text=f"<b>{' · '.join(marks)}</b>",
            yshift=top - 12,
            font={"size": 13, "color": "#b3261e"},
            **at_top,
        )
    plain_data: dict[str, Any] = figure.to_plotly_json()
    return plain_data
