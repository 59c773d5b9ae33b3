"""Figures of the study as a whole: who answered, and the declared primaries."""

from __future__ import annotations

import plotly.graph_objects as go
import polars as pl

from reports.disclosure import Release, require_release
from reports.report_figure import (
    Absence,
    ReportFigure,
    Row,
    closing_words,
    df_words,
    fit_words,
    limits_50,
)
from reports.sentences import primary_findings
from reports.theme import (
    GRID,
    HELD,
    INK,
    MUTED,
    PAPER,
    SERIES,
    axis,
    base_figure,
    plain,
)
from reports.wording import (
    MINUS,
    count,
    decimals_shown,
    interval,
    level_words,
    number,
    signed,
)

__all__ = ["primary_forest", "response_flow", "totals_by_wave"]

_STAGES = {"eligible": "circle-open", "answered": "square", "analysed": "diamond"}
# Where nobody is lost, the smaller mark stands inside the larger one.
_SIZES = {"eligible": 12, "answered": 15, "analysed": 8}


def totals_by_wave(release: Release) -> dict[str, dict[str, Row]]:
    """Released rows of everybody, by wave and stage, waves in the order opened."""
    release = require_release(release)
    flow = release.rows("response_flow").filter(
        pl.col("by").is_in(["all", "total", "overall"])
    )
    waves = release.rows("wave")["wave"].to_list()
    waves += [w for w in flow["wave"].unique().sort() if w not in waves]
    found: dict[str, dict[str, Row]] = {w: {} for w in waves}
    for row in flow.iter_rows(named=True):
        found[row["wave"]][row["stage"]] = row
    return {w: stages for w, stages in found.items() if stages}


def response_flow(release: Release, *, source: str) -> ReportFigure | Absence:
    """Eligible, answered and analysed people in each wave."""
    release = require_release(release)
    name = "response-flow"
    waves = totals_by_wave(release)
    if not any(
        not r["suppressed"] for stages in waves.values() for r in stages.values()
    ):
        return Absence(name, "Who answered is not shown: no wave has enough people.")
    figure = base_figure(
        height=44 * len(waves) + 96, margin={"l": 130, "r": 24, "t": 30, "b": 52}
    )
    most = max(r["n_people"] or 0 for stages in waves.values() for r in stages.values())
    for i, (wave, stages) in enumerate(waves.items()):
        _flow_row(figure, wave, stages, y=len(waves) - 1 - i, is_first=i == 0)
    figure.update_layout(
        xaxis=axis(
            range=[0, most * 1.34],
            tickvals=_ticks(most),
            title={
                "text": "people",
                "font": {"size": 13, "color": MUTED},
                "standoff": 8,
            },
        ),
        yaxis=axis(
            range=[-0.6, len(waves) - 0.2],
            tickvals=list(range(len(waves))),
            ticktext=[plain(w.replace("_", " ")) for w in reversed(waves)],
            showgrid=False,
        ),
    )
    rows = [r for stages in waves.values() for r in stages.values()]
    title = _flow_title(waves)
    alt = "; ".join(f"{w}: {_flow_words(stages)}" for w, stages in waves.items())
    return ReportFigure(
        id=name,
        title=title,
        subtitle=(
            "People in each wave: eligible by the roster, answered, analysed."
            if release.study.has_roster
            else "People in each wave: answered, analysed (there is no roster)."
        ),
        caption=(
            "Percentages are of the first stage shown, from rounded counts. Analysed: "
            f"in at least one model.{closing_words(release, rows, source=source)}"
        ),
        alt_text=f"{title}. {alt}.",
        figure=figure,
        source_rows=pl.DataFrame(rows).select(
            "wave", "stage", "n_people", "percent", "percent_of", "reason"
        ),
    )


def _ticks(most: int) -> list[int]:
    step = next(
        s
        for s in (5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10**6)
        if most / s <= 8
    )
    return list(range(0, most + 1, step))


def _flow_row(
    figure: go.Figure, wave: str, stages: dict[str, Row], *, y: int, is_first: bool
) -> None:
    shown = [s for s in _STAGES if s in stages and not stages[s]["suppressed"]]
    if not shown:
        figure.add_annotation(
            text="not shown",
            x=0,
            y=y,
            xanchor="left",
            showarrow=False,
            font={"size": 13, "color": MUTED},
        )
        return
    largest = max(stages[s]["n_people"] for s in shown)
    figure.add_trace(
        go.Scatter(
            x=[0, largest],
            y=[y, y],
            mode="lines",
            hoverinfo="skip",
            line={"color": GRID, "width": 6},
        )
    )
    for i, stage in enumerate(_STAGES):
        if stage not in shown:
            continue
        row = stages[stage]
        people = row["n_people"]
        colour = MUTED if stage == "eligible" else SERIES[i - 1][0]
        figure.add_trace(
            go.Scatter(
                x=[people],
                y=[y],
                mode="markers",
                marker={
                    "color": colour,
                    "symbol": _STAGES[stage],
                    "size": _SIZES[stage],
                    "line": {"width": 2, "color": colour},
                },
                hovertext=[f"{plain(wave)}, {stage}: {_count_words(row)}"],
                hoverinfo="text",
                cliponaxis=False,
            )
        )
        if is_first:
            figure.add_annotation(
                text=stage,
                x=people,
                y=y,
                yshift=18,
                xanchor={"eligible": "center", "answered": "left", "analysed": "right"}[
                    stage
                ],
                showarrow=False,
                font={"size": 12, "color": colour},
            )
    figure.add_annotation(
        text=_flow_label(stages),
        x=largest,
        y=y,
        xanchor="left",
        xshift=16,
        showarrow=False,
        font={"size": 13, "color": INK},
    )


def _flow_label(stages: dict[str, Row]) -> str:
    answered = stages.get("answered")
    if answered is None or answered["suppressed"]:
        return "not shown"
    text = f"{count(answered['n_people'])} answered"
    eligible = stages.get("eligible")
    if eligible and not eligible["suppressed"] and answered["percent"] is not None:
        text = (
            f"{count(answered['n_people'])} of {count(eligible['n_people'])} "
            f"({answered['percent']:.0f}%)"
        )
    return text


def _count_words(row: Row) -> str:
    if row["suppressed"]:
        return f"not shown ({row['reason']})"
    share = f" ({row['percent']:.0f}%)" if row["percent"] is not None else ""
    return f"{count(row['n_people'])} people{share}"


def _flow_words(stages: dict[str, Row]) -> str:
    return ", ".join(f"{s} {_count_words(stages[s])}" for s in _STAGES if s in stages)


def _flow_title(waves: dict[str, dict[str, Row]]) -> str:
    percents = [
        stages["answered"]["percent"]
        for stages in waves.values()
        if "answered" in stages
        and "eligible" in stages
        and stages["answered"]["percent"] is not None
    ]
    if not percents:
        return "Who answered in each wave"
    low, high = min(percents), max(percents)
    span = f"{low:.0f}%" if low == high else f"{low:.0f}% to {high:.0f}%"
    where = "in the wave" if len(percents) == 1 else "in each wave"
    return f"{span} of those eligible answered {where}"


def primary_forest(release: Release, *, source: str) -> ReportFigure | Absence:
    """The declared primary contrasts in declared order, as % of their scales."""
    release = require_release(release)
    name = "primary-contrasts"
    rows = (
        release.rows("contrast")
        .filter(pl.col("primary_order").is_not_null())
        .sort("primary_order")
        .rows(named=True)
    )
    if not release.study.primaries:
        return Absence(name, "The study file declares no primary contrast.")
    if not rows:
        return Absence(name, "None of the declared primary contrasts was estimated.")
    figure = base_figure(
        height=74 * len(rows) + 84, margin={"l": 24, "r": 24, "t": 12, "b": 64}
    )
    widest = 1.0
    for i, row in enumerate(rows):
        widest = max(widest, _forest_row(figure, release, row, y=len(rows) - 1 - i))
    figure.update_layout(
        xaxis=axis(
            range=[-1.1 * widest, 1.1 * widest],
            ticksuffix="%",
            zeroline=True,
            zerolinecolor=INK,
            zerolinewidth=1.5,
            showline=True,
            title={
                "text": "← lower · difference in % of each scale's range · higher →",
                "font": {"size": 13, "color": MUTED},
                "standoff": 8,
            },
        ),
        yaxis=axis(range=[-0.4, len(rows) - 0.2], showticklabels=False, showgrid=False),
    )
    findings = primary_findings(release)
    clear = sum(f.clear for f in findings)
    title = (
        f"{clear} of {len(findings)} declared primary contrasts "
        f"{'is' if clear == 1 else 'are'} clear of zero"
    )
    return ReportFigure(
        id=name,
        title=title,
        subtitle=(
            "Differences between model means in declared order, null or not; each in % "
            "of its own scale's range so that they share an axis."
        ),
        caption=(
            "Thick line: 50% interval, unadjusted; thin line: adjusted 95% interval "
            f"({plain(str(rows[0]['adjustment']))}). {fit_words(release, rows)}"
            f"{df_words(rows)}{closing_words(release, rows, source=source)}"
        ),
        alt_text=f"{title}. {' '.join(f.sentence for f in findings)}",
        figure=figure,
        source_rows=pl.DataFrame(rows).select(
            "outcome",
            "by",
            "level",
            "reference",
            "estimate",
            "adjusted_low",
            "adjusted_high",
            "p_value",
            "p_adjusted",
            "n_people",
            "n_people_reference",
            "reason",
        ),
    )


def _forest_row(figure: go.Figure, release: Release, row: Row, *, y: int) -> float:
    """Draw one contrast; the largest distance from zero that it needs, in %."""
    facts = release.outcome(row["outcome"])
    better = {"better": "higher is better", "worse": "higher is worse"}
    meaning = better.get(facts.higher_is, "")
    low, high = row["adjusted_low"], row["adjusted_high"]
    if low is None:
        low, high = row["conf_low"], row["conf_high"]
    level, reference = (
        plain(level_words(row["by"], row[c])) for c in ("level", "reference")
    )
    cells = f"{level} {MINUS} {reference}"
    head = f"<b>{plain(facts.label)}</b>, {cells}"
    if row["suppressed"]:
        text = f"{head}: not shown ({row['reason']})"
        places = 0
    else:
        places = decimals_shown(facts, low, high)
        text = (
            f"{head}: {signed(row['estimate'], places)} points "
            f"({interval(low, high, places)})"
        )
    if meaning:
        text += f" · {meaning}"
    figure.add_annotation(
        text=text,
        xref="paper",
        x=0,
        xanchor="left",
        y=y + 0.42,
        yanchor="middle",
        bgcolor=PAPER,
        borderpad=1,
        showarrow=False,
        font={"size": 13, "color": INK},
    )
    if row["suppressed"]:
        figure.add_trace(
            go.Bar(
                x=[2],
                base=[-1],
                y=[y],
                width=[0.3],
                orientation="h",
                marker={
                    "color": "rgba(0,0,0,0)",
                    "pattern": {"shape": "/", "fgcolor": HELD, "solidity": 0.15},
                    "line": {"color": HELD, "width": 1},
                },
                hovertext=["not shown"],
                hoverinfo="text",
            )
        )
        return 1.0
    percent = 100 / facts.width
    thick = limits_50(row)
    people = f"{count(row['n_people'])} and {count(row['n_people_reference'])} people"
    colour, symbol = SERIES[0]
    for ends, width in (((low, high), 1.8), (thick, 6.0)):
        figure.add_trace(
            go.Scatter(
                x=[end * percent for end in ends],
                y=[y, y],
                mode="lines",
                line={"color": colour, "width": width},
                hoverinfo="skip",
            )
        )
    figure.add_trace(
        go.Scatter(
            x=[row["estimate"] * percent],
            y=[y],
            mode="markers",
            marker={"color": colour, "symbol": symbol, "size": 12},
            hovertext=[f"{head}: {number(row['estimate'], places)} points, {people}"],
            hoverinfo="text",
        )
    )
    return float(max(abs(low), abs(high)) * percent)
