"""One panel of means: points with both intervals, hatching, axes with people.

What is drawn and what is said stands in ``figures_means``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from reports.disclosure import OutcomeFacts
from reports.report_figure import Row, limits_50, value_words
from reports.theme import GRID, HELD, INK, MUTED, PAPER, axis, context_strip, plain
from reports.wording import DIRECTION, count, decimals_shown, number

__all__ = ["Panel", "draw_axes", "draw_points", "draw_strip"]


@dataclass(frozen=True)
class Panel:
    """Where one row of points goes, and how it looks."""

    facts: OutcomeFacts
    window: tuple[float, float]
    colour: str
    marker: str
    number: int = 1
    labelled: bool = True

    @property
    def axes(self) -> dict[str, str]:
        """Plotly names of the panel's axes."""
        suffix = "" if self.number == 1 else str(self.number)
        return {"xaxis": f"x{suffix}", "yaxis": "y"}


def draw_strip(
    figure: go.Figure, facts: OutcomeFacts, window: tuple[float, float]
) -> None:
    """Show the whole scale at the edge where the panel shows only a part."""
    if window != (facts.minimum, facts.maximum):
        context_strip(figure, scale=(facts.minimum, facts.maximum), window=window)


def draw_points(figure: go.Figure, rows: Sequence[Row], panel: Panel) -> None:
    """Draw points with both intervals, and hatching where a cell is hidden."""
    facts, places = panel.facts, decimals_shown(panel.facts)
    shown = [(i, r) for i, r in enumerate(rows) if not r["suppressed"]]
    x = [i for i, _ in shown]
    y = [r["estimate"] for _, r in shown]
    hover = [f"{plain(r['level'])}: {value_words(facts, r)}" for _, r in shown]
    line = {"color": panel.colour, "width": 1.5, "dash": "dot"}
    figure.add_trace(
        go.Scatter(
            x=x,
            y=y,
            mode="lines",
            line=line,
            opacity=0.55,
            hoverinfo="skip",
            **panel.axes,
        )
    )
    for limits, thickness in ((_limits_95, 1.6), (limits_50, 6.0)):
        ends = [limits(r) for _, r in shown]
        figure.add_trace(
            go.Scatter(
                x=x,
                y=y,
                mode="markers",
                marker={"color": panel.colour, "symbol": panel.marker, "size": 10},
                error_y={
                    "type": "data",
                    "symmetric": False,
                    "array": [high - v for v, (_, high) in zip(y, ends, strict=True)],
                    "arrayminus": [
                        v - low for v, (low, _) in zip(y, ends, strict=True)
                    ],
                    "thickness": thickness,
                    "width": 0,
                    "color": panel.colour,
                },
                hovertext=hover,
                hoverinfo="text",
                cliponaxis=False,
                **panel.axes,
            )
        )
    for i, row in shown if panel.labelled else ():
        # On a ground of its own, because the joining line runs behind it.
        figure.add_annotation(
            text=number(row["estimate"], places),
            x=i,
            y=row["estimate"],
            xanchor="left",
            xshift=12,
            showarrow=False,
            bgcolor=PAPER,
            borderpad=1,
            font={"size": 14, "color": INK},
        )
    _hatch(figure, [i for i, r in enumerate(rows) if r["suppressed"]], panel)


def _hatch(figure: go.Figure, places: Sequence[int], panel: Panel) -> None:
    if not places:
        return
    low, high = panel.window
    figure.add_trace(
        go.Bar(
            x=list(places),
            y=[high - low] * len(places),
            base=[low] * len(places),
            width=0.44,
            marker={
                "color": "rgba(0,0,0,0)",
                "pattern": {"shape": "/", "fgcolor": HELD, "size": 9, "solidity": 0.15},
                "line": {"color": HELD, "width": 1},
            },
            hovertext=["not shown"] * len(places),
            hoverinfo="text",
            **panel.axes,
        )
    )


def _limits_95(row: Row) -> tuple[float, float]:
    middle = row["estimate"]
    low, high = row["conf_low"], row["conf_high"]
    return (middle if low is None else low, middle if high is None else high)


def draw_axes(
    figure: go.Figure,
    rows: Sequence[Row],
    facts: OutcomeFacts,
    *,
    window: tuple[float, float],
    domain: tuple[float, float],
    number: int = 1,
) -> None:
    """Set the axes of one panel: levels with their people, scale with its sense."""
    suffix = "" if number == 1 else str(number)
    narrow = domain[1] - domain[0] < 0.5
    ticks = [_tick(r, narrow=narrow) for r in rows]
    layout: dict[str, Any] = {
        f"xaxis{suffix}": axis(
            domain=list(domain),
            anchor="y",
            range=[-0.5, len(rows) - 0.5 + (0.0 if narrow else 0.1)],
            tickvals=list(range(len(rows))),
            ticktext=ticks,
            showgrid=False,
            showline=True,
            tickangle=0,
            tickfont={"size": 11 if narrow else 13, "color": INK},
        )
    }
    if number == 1:
        title = f"{plain(facts.label)}<br>{DIRECTION[facts.higher_is]} →"
        if facts.higher_is == "neither":
            title = plain(facts.label)
        layout["yaxis"] = axis(
            range=list(window),
            title={
                "text": title,
                "font": {"size": 13, "color": MUTED},
                "standoff": 8,
            },
            gridcolor=GRID,
            **_ticks(window),
        )
    figure.update_layout(layout)


def _ticks(window: tuple[float, float]) -> dict[str, object]:
    """About six ticks at round values, all with the same decimals."""
    width = window[1] - window[0]
    power = 10.0 ** math.floor(math.log10(width / 7))
    step = next(s * power for s in (1, 2, 5, 10) if width / (s * power) <= 7)
    places = max(0, -math.floor(math.log10(step) + 1e-9))
    return {"dtick": step, "tick0": 0, "tickformat": f".{places}f"}


def _tick(row: Row, *, narrow: bool) -> str:
    level = plain(str(row["level"]))
    if narrow and len(level) == 7 and level[4] == "-":
        level = level[2:]
    if row["suppressed"]:
        return f"{level}<br>not<br>shown" if narrow else f"{level}<br>not shown"
    people = count(row["n_people"])
    return f"{level}<br>{people}" if narrow else f"{level}<br>{people} people"
