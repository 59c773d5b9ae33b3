"""Tables of the page as text: captions, heads and cells, ready to be escaped."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from reports.disclosure import InstrumentFacts, Release, require_release
from reports.figures_study import totals_by_wave
from reports.provenance import Provenance
from reports.report_figure import ReportFigure
from reports.wording import (
    DASH,
    count,
    decimals_shown,
    interval,
    level_label,
    number,
    p_value,
)

__all__ = [
    "TextTable",
    "coefficient_table",
    "contrast_table",
    "figure_table",
    "fit_table",
    "held_back_table",
    "instrument_table",
    "response_tables",
    "set_aside_table",
    "wave_table",
]

Row = Mapping[str, Any]


@dataclass(frozen=True)
class TextTable:
    """A table of text.

    Attributes:
        caption: What it shows.
        head: Column heads.
        rows: Cells, row by row; the first names the row.
        numeric: For each column, whether it holds numbers.
    """

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: tuple[bool, ...]

    def __bool__(self) -> bool:
        return bool(self.rows)


def _table(
    caption: str,
    rows: Sequence[Row],
    columns: Mapping[str, Callable[[Row], str]],
    *,
    text: int = 1,
) -> TextTable:
    """Make a table; the first ``text`` columns hold words, the others numbers."""
    return TextTable(
        caption=caption,
        head=tuple(columns),
        rows=tuple(tuple(make(r) for make in columns.values()) for r in rows),
        numeric=tuple(i >= text for i in range(len(columns))),
    )


def _or_reason(make: Callable[[Row], str]) -> Callable[[Row], str]:
    return lambda r: "not shown" if r["suppressed"] else make(r)


def coefficient_table(release: Release, outcome: str) -> TextTable:
    """The fixed effects of one outcome's models."""
    facts = require_release(release).outcome(outcome)
    rows = release.rows("estimate").filter(
        (pl.col("outcome") == outcome) & (pl.col("quantity") == "coefficient")
    )
    places = facts.decimals
    return _table(
        f"Fixed effects on {facts.label}, in points of its scale",
        rows.rows(named=True),
        {
            "Term": lambda r: r["level"],
            "Estimate": _or_reason(lambda r: number(r["estimate"], places)),
            "SE": _or_reason(lambda r: number(r["std_error"], places)),
            "95% interval": _or_reason(
                lambda r: interval(r["conf_low"], r["conf_high"], places)
            ),
            "df": _or_reason(lambda r: number(r["df"], 1)),
            "Statistic": _or_reason(lambda r: number(r["statistic"], 2)),
            "p": _or_reason(lambda r: p_value(r["p_value"])),
            "People": _or_reason(lambda r: count(r["n_people"])),
        },
    )


def contrast_table(release: Release, outcome: str) -> TextTable:
    """All contrasts of one outcome, the declared primary first."""
    facts = require_release(release).outcome(outcome)
    rows = release.rows("contrast").filter(pl.col("outcome") == outcome)

    def limits(row: Row) -> str:
        low, high = row["adjusted_low"], row["adjusted_high"]
        return interval(low, high, decimals_shown(facts, low, high))

    return _table(
        f"Differences between model means of {facts.label}",
        rows.rows(named=True),
        {
            "Difference": lambda r: (
                f"{level_label(r['level'])} against {level_label(r['reference'])}"
                + (" (declared primary)" if r["primary_order"] is not None else "")
            ),
            "Family": lambda r: r["adjustment"],
            "Estimate": _or_reason(lambda r: number(r["estimate"], facts.decimals)),
            "Adjusted 95% interval": _or_reason(limits),
            "p": _or_reason(lambda r: p_value(r["p_value"])),
            "Adjusted p": _or_reason(lambda r: p_value(r["p_adjusted"])),
            "People": _or_reason(
                lambda r: f"{count(r['n_people'])}, {count(r['n_people_reference'])}"
            ),
        },
        text=2,
    )


def fit_table(release: Release) -> TextTable:
    """One row per fitted model and outcome."""
    release = require_release(release)

    def state(row: Row) -> str:
        if row["suppressed"]:
            return "not shown"
        # Least squares has nothing that could converge.
        states = {True: "converged", False: "did not converge", None: "closed form"}
        words = [states[row["converged"]]]
        if row["is_singular"]:
            words.append("singular")
        return ", ".join(words)

    return _table(
        "Fitted models",
        sorted(
            release.rows("fit").iter_rows(named=True),
            key=lambda r: [o.id for o in release.study.outcomes].index(r["outcome"]),
        ),
        {
            "Outcome": lambda r: release.outcome(r["outcome"]).label,
            "Model": lambda r: r["model"],
            "Formula": lambda r: r["formula"],
            "Engine": lambda r: r["engine"],
            "Fit": state,
            "People": _or_reason(lambda r: count(r["n_people"])),
            "Answers": _or_reason(lambda r: count(r["n_answers"])),
            "Communities": _or_reason(lambda r: count(r["n_communities"])),
            "Left out": _or_reason(
                lambda r: (
                    count(r["n_dropped"])
                    if r["n_dropped"] is not None
                    else f"fewer than {release.policy.minimum_cell}"
                )
            ),
            "Log-likelihood": _or_reason(lambda r: number(r["log_likelihood"], 1)),
        },
        text=5,
    )


def response_tables(release: Release) -> tuple[TextTable, ...]:
    """Response flow: everybody by wave, then by every other split."""
    release = require_release(release)
    flow = release.rows("response_flow")
    stages = [
        s
        for s in ("eligible", "answered", "linked", "analysed")
        if s in set(flow["stage"])
    ]

    def cell(found: Mapping[str, Row], stage: str) -> str:
        row = found.get(stage)
        if row is None:
            return DASH
        if row["suppressed"]:
            return "not shown"
        share = (
            f" ({row['percent']:.0f}%)"
            if row["percent"] is not None and stage != row["percent_of"]
            else ""
        )
        return f"{count(row['n_people'])}{share}"

    tables = []
    everybody = totals_by_wave(release)
    if everybody:
        tables.append(
            TextTable(
                caption="People by wave",
                head=("Wave", *(s.capitalize() for s in stages)),
                rows=tuple(
                    (wave, *(cell(found, s) for s in stages))
                    for wave, found in everybody.items()
                ),
                numeric=(False, *(True for _ in stages)),
            )
        )
    totals = ["all", "total", "overall"]
    waves = release.rows("wave")["wave"].to_list()
    for by in flow.filter(~pl.col("by").is_in(totals))["by"].unique().sort():
        cells: dict[tuple[str, str], dict[str, Row]] = {}
        for row in flow.filter(pl.col("by") == by).iter_rows(named=True):
            cells.setdefault((row["wave"], row["level"]), {})[row["stage"]] = row
        place = {w: i for i, w in enumerate(waves)}
        order = sorted(cells, key=lambda c: (place.get(c[0], len(place)), c))
        tables.append(
            TextTable(
                caption=f"People by wave and {by.replace('_', ' ')}",
                head=(
                    "Wave",
                    by.replace("_", " ").capitalize(),
                    *(s.capitalize() for s in stages),
                ),
                rows=tuple(
                    (w, level_label(v), *(cell(cells[(w, v)], s) for s in stages))
                    for w, v in order
                ),
                numeric=(False, False, *(True for _ in stages)),
            )
        )
    return tuple(tables)


def set_aside_table(release: Release) -> TextTable:
    """What was set aside as it broke a rule."""
    release = require_release(release)
    return _table(
        "Rows and answers set aside",
        release.rows("set_aside").rows(named=True),
        {
            "From": lambda r: r["source"],
            "Rule": lambda r: str(r["rule"]).replace("_", " "),
            "What": lambda r: "whole row" if r["extent"] == "row" else "one answer",
            "How many": lambda r: (
                r["reason"] if r["suppressed"] else count(r["n_rows"])
            ),
        },
        text=3,
    )


def held_back_table(release: Release) -> TextTable:
    """What the gate held back, and why; outcomes with the same reason together."""
    release = require_release(release)
    labels = {o.id: o.label for o in release.study.outcomes}
    groups: dict[tuple[str, str | None, str], tuple[set[str], list[int]]] = {}
    for row in release.rows("held_back").iter_rows(named=True):
        key = (row["result_table"], row["by"], row["reason_held"])
        outcomes, counts = groups.setdefault(key, (set(), []))
        counts.append(row["n_result_rows"])
        if row["outcome"]:
            outcomes.add(row["outcome"])
    return TextTable(
        caption="Results held back",
        head=("Result", "Outcomes", "By", "Reason", "Result rows"),
        rows=tuple(
            (
                table.replace("_", " "),
                ", ".join(labels[o] for o in labels if o in outcomes) or DASH,
                by.replace("_", " ").replace(":", " and ") if by else DASH,
                reason,
                count(sum(counts)),
            )
            for (table, by, reason), (outcomes, counts) in groups.items()
        ),
        numeric=(False, False, False, False, True),
    )


def wave_table(release: Release) -> TextTable:
    """The waves as received."""
    release = require_release(release)
    few = f"fewer than {release.policy.minimum_cell}"

    def counted(column: str) -> Callable[[Row], str]:
        return lambda r: few if r[column] is None else count(r[column])

    return _table(
        "Waves as received",
        release.rows("wave").rows(named=True),
        {
            "Wave": lambda r: r["wave"],
            "Academic year": lambda r: r["academic_year"],
            "Opened": lambda r: str(r["opened"]),
            "File": lambda r: r["file"],
            "Digest": lambda r: str(r["file_digest"])[:12],
            "Rows read": counted("rows_read"),
            "Exact repeats": counted("exact_repeats"),
        },
        text=5,
    )


def instrument_table(instrument: InstrumentFacts) -> TextTable:
    """The scales of one instrument and how they are scored."""
    return _table(
        f"{instrument.title} ({instrument.version})",
        [s.model_dump() for s in instrument.scales],
        {
            "Scale": lambda r: r["label"],
            "Score": lambda r: f"{r['combine']} of {r['n_items']} items",
            "Higher is": lambda r: r["higher_is"],
            "Answers needed": lambda r: (
                str(r["minimum_answered"]) if r["minimum_answered"] else "as declared"
            ),
            "Missing answers": lambda r: r["missing_rule"],
        },
        text=5,
    )


def figure_table(figure: ReportFigure) -> TextTable:
    """The released rows behind a figure."""
    rows = figure.source_rows

    def write(value: object) -> str:
        if value is None:
            return DASH
        if isinstance(value, float):
            return f"{value:.6g}".replace("-", "\N{MINUS SIGN}")
        return count(value) if isinstance(value, int) else level_label(str(value))

    return TextTable(
        caption=f"Numbers behind: {figure.title}",
        head=tuple(c.replace("_", " ") for c in rows.columns),
        rows=tuple(tuple(write(v) for v in row) for row in rows.iter_rows()),
        numeric=tuple(dtype.is_numeric() for dtype in rows.dtypes),
    )


def package_table(provenance: Provenance) -> TextTable:
    """Versions of the packages that touch a number."""
    return TextTable(
        caption="Software",
        head=("Package", "Version"),
        rows=tuple(sorted(provenance.packages.items())),
        numeric=(False, False),
    )
