"""Rules for what is counted: response flow, distributions, waves, quarantine."""

from __future__ import annotations

import re
from collections.abc import Mapping

import polars as pl

from data_contracts.errors import DisclosureError
from reports.disclosure.cells import (
    factors_of,
    levels_of,
    merge_bins,
    round_count,
    rounded,
    suppressed_cells,
)
from reports.disclosure.estimates import HiddenCells
from reports.disclosure.judging import COMMUNITY_FACTORS, Judging
from reports.disclosure.schema import finish

__all__ = [
    "release_distribution",
    "release_flow",
    "release_set_aside",
    "release_waves",
]

STAGES = ("eligible", "answered", "linked", "analysed")
"""Stages of the response flow, in order."""

_RULE_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,79}$")


def release_flow(frame: pl.DataFrame, judging: Judging) -> pl.DataFrame:
    """Judge the response flow: no single community, no small cell.

    Percentages are made from the rounded counts, of the first stage.
    """
    factors = {by: judging.known_factors(by) for by in frame["by"].unique().to_list()}
    single = pl.Series(
        [bool(COMMUNITY_FACTORS & set(factors[by])) for by in frame["by"]],
        dtype=pl.Boolean,
    )
    judging.hold(
        "response_flow", frame.filter(single), judging.reasons.single_community
    )
    frame = frame.filter(~single)
    unknown = pl.Series(
        [
            not judging.level_is_declared(by, level)
            for by, level in frame.select("by", "level").iter_rows()
        ],
        dtype=pl.Boolean,
    )
    judging.hold("response_flow", frame.filter(unknown), judging.reasons.unknown_level)
    frame = frame.filter(~unknown)
    parts = [
        _flow_cells(rows, judging)
        for _, rows in frame.group_by("wave", "by", "stage", maintain_order=True)
    ]
    if not parts:
        return finish(
            "response_flow", frame.with_columns(suppressed=False, reason=None)
        )
    shown = finish("response_flow", pl.concat(parts))
    return shown.with_columns(_percentages(shown))


def _flow_cells(rows: pl.DataFrame, judging: Judging) -> pl.DataFrame:
    least, reasons = judging.policy.minimum_cell, judging.reasons
    has_factors = bool(factors_of(rows["by"][0]))
    cells = [levels_of(level) if has_factors else () for level in rows["level"]]
    people = dict(zip(cells, rows["n_people"], strict=True))
    hidden = suppressed_cells(people, least)
    found = [
        None
        if cell not in hidden
        else reasons.small
        if people[cell] < least
        else reasons.beside
        for cell in cells
    ]
    return rows.with_columns(
        rounded("n_people", judging.step),
        pl.Series("reason", found, dtype=pl.String),
        pl.Series("suppressed", [r is not None for r in found], dtype=pl.Boolean),
    )


def _percentages(shown: pl.DataFrame) -> list[pl.Series]:
    """Whole percentages of the first stage, from the rounded counts."""
    first = next((s for s in STAGES if s in set(shown["stage"])), None)
    base = {
        (wave, by, level): n
        for wave, by, level, n in shown.filter(pl.col("stage") == first)
        .select("wave", "by", "level", "n_people")
        .iter_rows()
    }
    percent: list[float | None] = []
    for row in shown.iter_rows(named=True):
        whole = base.get((row["wave"], row["by"], row["level"]))
        count = row["n_people"]
        percent.append(
            None if not whole or count is None else float(round(100 * count / whole))
        )
    of = [None if p is None else first for p in percent]
    return [
        pl.Series("percent", percent, dtype=pl.Float64),
        pl.Series("percent_of", of, dtype=pl.String),
    ]


def release_distribution(
    frame: pl.DataFrame, judging: Judging, *, hidden: HiddenCells
) -> pl.DataFrame:
    """Merge bins until each holds enough people; hide years that are hidden."""
    reasons = judging.reasons
    rows: list[Mapping[str, object]] = []
    for key, group in frame.group_by("outcome", "academic_year", maintain_order=True):
        outcome, year = str(key[0]), str(key[1])
        facts = judging.facts.outcome(outcome)
        if not judging.level_is_declared("academic_year", year):
            judging.hold(
                "distribution", group, reasons.unknown_level, by="academic_year"
            )
            continue
        start = {
            "analysis_year": group["analysis_year"][0],
            "outcome": outcome,
            "academic_year": year,
        }
        bins = merge_bins(
            list(group.select("bin_low", "bin_high", "n_people").iter_rows()),
            minimum=judging.policy.minimum_cell,
            scale=(facts.minimum, facts.maximum),
            repeats=max(1, sum(w.academic_year == year for w in judging.study.waves)),
        )
        reason = hidden.get((outcome, "academic_year"), {}).get((year,))
        reason = reason or (None if bins else reasons.small)
        if reason:
            rows.append({**start, "suppressed": True, "reason": reason})
            continue
        rows += [
            {
                **start,
                "bin_low": float(low),
                "bin_high": float(high),
                "n_people": round_count(n, judging.step),
                "suppressed": False,
            }
            for low, high, n in bins
        ]
    schema = {
        **frame.schema,
        "suppressed": pl.Boolean(),
        "reason": pl.String(),
    }
    return finish("distribution", pl.DataFrame(rows, schema=schema))


def release_waves(frame: pl.DataFrame, judging: Judging) -> pl.DataFrame:
    """Judge the waves as received: counts of rows, small ones hidden."""
    least = judging.policy.minimum_cell
    repeats = pl.col("exact_repeats")
    small = pl.col("rows_read") < least
    return finish(
        "wave",
        frame.with_columns(
            rounded("rows_read", judging.step),
            pl.when((repeats > 0) & (repeats < least))
            .then(None)
            .otherwise(rounded("exact_repeats", judging.step))
            .alias("exact_repeats"),
            small.alias("suppressed"),
            pl.when(small).then(pl.lit(judging.reasons.small_rows)).alias("reason"),
        ),
    )


def release_set_aside(frame: pl.DataFrame, judging: Judging) -> pl.DataFrame:
    """Judge the quarantine: rounded, small counts as "fewer than".

    Raises:
        DisclosureError: If a source or rule is not a plain name, so that it could
            hold an answer.
    """
    odd = sum(
        1
        for name in [*frame["source"], *frame["rule"], *frame["extent"]]
        if not _RULE_NAME.match(str(name))
    )
    if odd:
        raise DisclosureError(
            f"In the counts of what was set aside, {odd} sources or rules are not "
            "plain names. Nothing is released; a rule's name holds letters, digits "
            "and underscores alone."
        )
    small = pl.col("n_rows") < judging.policy.minimum_cell
    return finish(
        "set_aside",
        frame.with_columns(
            rounded("n_rows", judging.step),
            small.alias("suppressed"),
            pl.when(small).then(pl.lit(judging.reasons.small_rows)).alias("reason"),
        ),
    )
