"""How every figure looks: colours with a second cue, type, axes, margins.

Okabe-Ito colours, fonts that are there everywhere, one layout for page and file.
The page swaps the light colours for dark ones by name; see ``DARK``.
"""

from __future__ import annotations

import html
import textwrap
from typing import Any

import plotly.graph_objects as go

__all__ = [
    "ACCENT",
    "DARK",
    "FONT",
    "GRID",
    "INK",
    "MUTED",
    "PAPER",
    "SERIES",
    "SOFT",
    "base_figure",
    "context_strip",
    "plain",
    "wrapped",
]

FONT = "Arial, Helvetica, Liberation Sans, sans-serif"

INK, MUTED, GRID, PAPER = "#1b1f24", "#57606a", "#d8dde3", "#ffffff"
"""Text, secondary text (6.4:1 on white), grid and ground."""

ACCENT = "#0072b2"
HELD = "#8c959f"

SERIES: tuple[tuple[str, str], ...] = (
    ("#0072b2", "circle"),
    ("#d55e00", "square"),
    ("#007a5a", "diamond"),
    ("#a8487f", "triangle-up"),
    ("#8a6d00", "triangle-down"),
    ("#3b82a8", "cross"),
    ("#57606a", "x"),
)
"""Colours with a marker each, so that black and white tells them apart.

Okabe-Ito hues, the lighter ones darkened to 3:1 on white.
"""

SOFT: dict[str, str] = {
    "#0072b2": "rgba(0,114,178,0.2)",
    "#d55e00": "rgba(213,94,0,0.2)",
    "#007a5a": "rgba(0,122,90,0.2)",
    "#a8487f": "rgba(168,72,127,0.2)",
    "#8a6d00": "rgba(138,109,0,0.2)",
    "#3b82a8": "rgba(59,130,168,0.2)",
    "#57606a": "rgba(87,96,106,0.2)",
}
"""A light wash of each colour, for areas that a line in full colour edges."""

DARK: dict[str, str] = {
    INK: "#e6e9ed",
    MUTED: "#a8b1bb",
    GRID: "#363d46",
    PAPER: "#14181d",
    HELD: "#7d8792",
    "#0072b2": "#56b4e9",
    "#d55e00": "#ff9a4d",
    "#007a5a": "#2fc69b",
    "#a8487f": "#e79cc6",
    "#8a6d00": "#e6c84f",
    "#3b82a8": "#8ec9e8",
    "#b3261e": "#ff8a80",
}
"""The dark counterpart of each light colour that figures use."""

WIDTH = 1100
"""Width in pixels for which figures are laid out."""


def plain(text: str) -> str:
    """Text of a person as plotly shows it literally: markup is escaped.

    Examples:
        >>> plain("<b>House</b>")
        '&lt;b&gt;House&lt;/b&gt;'
    """
    return html.escape(text, quote=False)


def wrapped(text: str, width: int) -> str:
    """Escaped text with line breaks after about ``width`` characters."""
    return "<br>".join(plain(line) for line in textwrap.wrap(text, width))


def base_figure(*, height: int, margin: dict[str, int] | None = None) -> go.Figure:
    """An empty figure in the house style; its words stand beside it, not in it."""
    figure = go.Figure()
    figure.update_layout(
        template=None,
        height=height,
        autosize=True,
        paper_bgcolor=PAPER,
        plot_bgcolor=PAPER,
        font={"family": FONT, "size": 14, "color": INK},
        margin=margin or {"l": 84, "r": 24, "t": 16, "b": 64},
        showlegend=False,
        hovermode="closest",
        hoverlabel={
            "bgcolor": PAPER,
            "bordercolor": MUTED,
            "font": {"family": FONT, "size": 13, "color": INK},
            "align": "left",
        },
        dragmode=False,
        separators=".\N{NARROW NO-BREAK SPACE}",
    )
    return figure


def axis(**settings: Any) -> dict[str, Any]:
    """Settings of one axis: thin grid, no box, no zooming by accident."""
    return {
        "gridcolor": GRID,
        "linecolor": MUTED,
        "zeroline": False,
        "showline": False,
        "ticks": "",
        "fixedrange": True,
        "tickfont": {"size": 13, "color": INK},
        "title": {"font": {"size": 13, "color": MUTED}, "standoff": 8},
        **settings,
    }


def context_strip(
    figure: go.Figure, *, scale: tuple[float, float], window: tuple[float, float]
) -> None:
    """Show which part of the whole scale the panel has zoomed into.

    A thin strip at the right edge runs over the whole range of the instrument; the
    part that the panel shows is filled in.
    """
    low, high = scale

    def place(value: float) -> float:
        return min(1.0, max(0.0, (value - low) / (high - low)))

    x0, x1 = 0.975, 0.985
    strip = {"type": "rect", "xref": "paper", "yref": "paper", "x0": x0, "x1": x1}
    figure.add_shape(
        **strip, y0=0, y1=1, fillcolor=GRID, line={"width": 0}, layer="below"
    )
    figure.add_shape(
        **strip,
        y0=place(window[0]),
        y1=place(window[1]),
        fillcolor=MUTED,
        line={"width": 0},
    )
    for value, y, anchor in ((low, 0.0, "bottom"), (high, 1.0, "top")):
        figure.add_annotation(
            text=f"{value:g}",
            xref="paper",
            yref="paper",
            x=x1 + 0.004,
            y=y,
            xanchor="left",
            yanchor=anchor,
            showarrow=False,
            font={"size": 11, "color": MUTED},
        )
    figure.add_annotation(
        text="whole scale, part shown marked",
        textangle=-90,
        xref="paper",
        yref="paper",
        x=x1 + 0.006,
        y=0.5,
        xanchor="left",
        yanchor="middle",
        showarrow=False,
        font={"size": 11, "color": MUTED},
    )
