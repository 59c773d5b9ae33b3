"""Rules for what models and means say: estimates, contrasts, variances, fits.

A mean, a contrast and a coefficient inherit the people behind their cell, so a
cell that is hidden once is hidden in all of them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

import polars as pl

from reports.disclosure.cells import (
    Cell,
    cell_of,
    factor_key,
    factors_of,
    round_count,
    rounded,
    suppressed_cells,
)
from reports.disclosure.judging import COMMUNITY_FACTORS, COMMUNITY_LEVEL, Judging
from reports.disclosure.schema import RELEASED, finish

__all__ = [
    "HiddenCells",
    "hidden_cells",
    "release_contrasts",
    "release_estimates",
    "release_fits",
    "release_refusals",
    "release_variances",
    "weak_models",
]

HiddenCells = Mapping[tuple[str, str], Mapping[Cell, str]]
"""Reason by cell, by outcome and factors; cells in the factors' order."""

_COEFFICIENT = "coefficient"
_IN_UNITS = (
    "estimate",
    "std_error",
    "conf_low",
    "conf_high",
    "adjusted_low",
    "adjusted_high",
    "sd",
)
_COUNT_IN_WORDS = re.compile(
    r"(?<![\w.-])(\d[\d,]*) "
    r"((?:students?|people|persons?|members?|answers?|responses?|rows?)\b)"
)
_PLACES = {
    "df": 1,
    "statistic": 2,
    "p_value": 4,
    "p_adjusted": 4,
    "share": 3,
    "log_likelihood": 1,
}


def hidden_cells(estimate: pl.DataFrame, judging: Judging) -> HiddenCells:
    """Find the cells of means that no result may show.

    The people of a cell are the fewest that any mean names for it; one cell that is
    hidden for a mean is hidden for every mean, contrast and distribution.
    """
    reasons, policy = judging.reasons, judging.policy
    found: dict[tuple[str, str], dict[Cell, str]] = {}
    means = estimate.filter(pl.col("quantity") != _COEFFICIENT)
    keys = pl.Series("key", [factor_key(by) for by in means["by"]], dtype=pl.String)
    for (outcome, key), rows in means.with_columns(keys).group_by(
        "outcome", "key", maintain_order=True
    ):
        factors = judging.known_factors(str(key))
        people: dict[Cell, int] = {}
        few: set[Cell] = set()
        for row in rows.iter_rows(named=True):
            cell = cell_of(row["by"], row["level"])
            people[cell] = min(row["n_people"], people.get(cell, row["n_people"]))
            if _too_few_communities(row["n_communities"], factors, judging):
                few.add(cell)
        small = {c for c, n in people.items() if n < policy.minimum_cell}
        # A cell of too few communities counts as empty, so that neighbours hide it.
        counted = {c: 0 if c in few else n for c, n in people.items()}
        hidden = suppressed_cells(counted, policy.minimum_cell)
        found[(str(outcome), str(key))] = {
            cell: reasons.small
            if cell in small
            else reasons.few_communities
            if cell in few
            else reasons.beside
            for cell in sorted(hidden)
        }
    return found


def _too_few_communities(
    count: int | None, factors: tuple[str, ...], judging: Judging
) -> bool:
    least = judging.policy.minimum_communities
    if len(judging.study.communities) < least and not COMMUNITY_LEVEL & set(factors):
        return False  # a study without communities has no community to hide
    return count is not None and 0 < count < least


def weak_models(
    fit: pl.DataFrame, estimate: pl.DataFrame, judging: Judging
) -> frozenset[tuple[str, str]]:
    """Models, as outcome and model id, that are too small to be shown."""
    terms = {
        (outcome, model): n
        for outcome, model, n in estimate.filter(pl.col("quantity") == _COEFFICIENT)
        .group_by("outcome", "model")
        .len()
        .iter_rows()
    }
    weak = set()
    for row in fit.iter_rows(named=True):
        name = (row["outcome"], row["model"])
        df = row["df"]
        if df is None or not math.isfinite(df):
            # A large-sample z names no df: count answers less coefficients.
            df = row["n_answers"] - terms.get(name, row["n_answers"])
        if (
            row["n_people"] < judging.policy.minimum_cell
            or df < judging.policy.minimum_residual_df
        ):
            weak.add(name)
    return frozenset(weak)


def release_estimates(
    frame: pl.DataFrame,
    judging: Judging,
    *,
    hidden: HiddenCells,
    weak: frozenset[tuple[str, str]],
) -> pl.DataFrame:
    """Judge means and coefficients."""
    frame = _without_communities("estimate", frame, judging)
    frame = _without_weak_models("estimate", frame, judging, weak=weak)
    frame = _without_unknown_levels("estimate", frame, judging, columns=("level",))
    terms = frame.filter(pl.col("quantity") == _COEFFICIENT)
    known_terms: dict[str, list[str]] = {}
    for outcome, level in terms.select("outcome", "level").iter_rows():
        known_terms.setdefault(outcome, []).append(level)
    reasons = []
    for row in frame.iter_rows(named=True):
        if row["quantity"] == _COEFFICIENT:
            reason = _term_reason(row, known_terms[row["outcome"]], hidden)
        else:
            name = (row["outcome"], factor_key(row["by"]))
            reason = hidden.get(name, {}).get(cell_of(row["by"], row["level"]))
        if row["n_people"] < judging.policy.minimum_cell:
            reason = judging.reasons.small
        reasons.append(reason)
    return _finish("estimate", _marked(frame, reasons), judging)


def _term_reason(
    row: Mapping[str, object], terms: list[str], hidden: HiddenCells
) -> str | None:
    """A coefficient of a hidden cell is that cell's mean less the reference's."""
    term = str(row["level"])
    for (outcome, by), cells in hidden.items():
        if outcome != row["outcome"]:
            continue
        factors = factors_of(by)
        for cell, reason in cells.items():
            of_cell = [
                t
                for t in terms
                if all(f in t for f in factors) and all(v in t for v in cell)
            ]
            of_factors = [t for t in terms if all(f in t for f in factors)]
            # No term of its own: it is the reference, and in every other term.
            affected = of_cell or ([*of_factors, "Intercept", "(Intercept)"])
            if of_factors and term in affected:
                return reason
    return None


def release_contrasts(
    frame: pl.DataFrame,
    judging: Judging,
    *,
    hidden: HiddenCells,
    weak: frozenset[tuple[str, str]],
) -> pl.DataFrame:
    """Judge differences: either side hidden hides the difference."""
    frame = _without_communities("contrast", frame, judging)
    frame = _without_weak_models("contrast", frame, judging, weak=weak)
    frame = _without_unknown_levels(
        "contrast", frame, judging, columns=("level", "reference")
    )
    least = judging.policy.minimum_cell
    reasons = []
    for row in frame.iter_rows(named=True):
        cells = hidden.get((row["outcome"], factor_key(row["by"])), {})
        sides = [cell_of(row["by"], row[c]) for c in ("level", "reference")]
        reason = next((cells[s] for s in sides if s in cells), None)
        if min(row["n_people"], row["n_people_reference"]) < least:
            reason = judging.reasons.small
        reasons.append(reason)
    return _finish("contrast", _marked(frame, reasons), judging)


def release_variances(
    frame: pl.DataFrame, judging: Judging, *, weak: frozenset[tuple[str, str]]
) -> pl.DataFrame:
    """Judge variances: between communities only with enough of them."""
    frame = _without_weak_models("variance_component", frame, judging, weak=weak)
    policy = judging.policy
    reasons: list[str | None] = []
    n_communities = len(judging.study.communities)
    for row in frame.iter_rows(named=True):
        groups = factors_of(row["group"])
        of_communities = COMMUNITY_FACTORS & set(groups)
        levels = row["n_levels"] if groups == ("community",) else n_communities
        if row["n_people"] < policy.minimum_cell:
            reasons.append(judging.reasons.small)
        elif of_communities and levels < policy.minimum_communities:
            reasons.append(judging.reasons.few_communities)
        else:
            reasons.append(None)
    frame = _marked(frame, reasons)
    # Shares add up to one: with one of them hidden, the others would give it away.
    incomplete = pl.col("suppressed").any().over("outcome", "model")
    levels_of_people = rounded("n_levels", judging.step)
    frame = frame.with_columns(
        pl.when(incomplete).then(None).otherwise(pl.col("share")).alias("share"),
        pl.when(pl.col("group") == "community")
        .then(pl.col("n_levels"))
        .otherwise(levels_of_people)
        .alias("n_levels"),
    )
    return _finish("variance_component", frame, judging)


def release_fits(
    frame: pl.DataFrame, judging: Judging, *, weak: frozenset[tuple[str, str]]
) -> pl.DataFrame:
    """Judge fit records; what a weak model says of itself stays behind too."""
    reasons = [
        judging.reasons.model if (row["outcome"], row["model"]) in weak else None
        for row in frame.iter_rows(named=True)
    ]
    notes = [
        None if reason or note is None else _rounded_words(note, judging)
        for note, reason in zip(frame["note"], reasons, strict=True)
    ]
    frame = _marked(frame, reasons)
    dropped = pl.col("n_dropped")
    least_communities = judging.policy.minimum_communities
    frame = frame.with_columns(
        pl.when((dropped > 0) & (dropped < judging.policy.minimum_cell))
        .then(None)
        .otherwise(dropped)
        .alias("n_dropped"),
        pl.when(pl.col("n_communities") >= least_communities)
        .then(pl.col("n_communities"))
        .alias("n_communities"),
        pl.Series("note", notes, dtype=pl.String),
    )
    return _finish("fit", frame, judging)


def release_refusals(frame: pl.DataFrame, judging: Judging) -> pl.DataFrame:
    """Say which models could not be fitted; counts in the reason are rounded."""
    notes = [_rounded_words(note, judging) for note in frame["note"]]
    marked = _marked(frame, [None] * frame.height)
    return _finish(
        "refusal",
        marked.with_columns(pl.Series("note", notes, dtype=pl.String)),
        judging,
    )


def _rounded_words(note: str, judging: Judging) -> str:
    """Round the counts of people that a note names in words."""

    def rounded_count(found: re.Match[str]) -> str:
        number = int(re.sub(r"\D", "", found[1]))
        if number < judging.policy.minimum_cell:
            words = f"{judging.reasons.small_rows} {found[2]}"
        else:
            words = f"about {round_count(number, judging.step)} {found[2]}"
        starts = not note[: found.start()] or note[: found.start()].endswith(". ")
        return words[0].upper() + words[1:] if starts else words

    return _COUNT_IN_WORDS.sub(rounded_count, note)


def _without_communities(
    table: str, frame: pl.DataFrame, judging: Judging
) -> pl.DataFrame:
    """Leave behind whatever speaks of single communities, by factor or by term."""
    single = []
    for row in frame.iter_rows(named=True):
        is_term = row.get("quantity") == _COEFFICIENT
        factors = () if is_term else judging.known_factors(row["by"])
        words = set(factors)
        if is_term:
            words = set(
                "".join(
                    c if c.isalnum() or c == "_" else " "
                    for c in f"{row['by']} {row['level']}"
                ).split()
            )
        single.append(
            bool(COMMUNITY_FACTORS & words)
            or (
                is_term
                and any(
                    w.startswith("community") for w in words if w not in COMMUNITY_LEVEL
                )
            )
        )
    mask = pl.Series(single, dtype=pl.Boolean)
    judging.hold(table, frame.filter(mask), judging.reasons.single_community)
    return frame.filter(~mask)


def _without_weak_models(
    table: str,
    frame: pl.DataFrame,
    judging: Judging,
    *,
    weak: frozenset[tuple[str, str]],
) -> pl.DataFrame:
    mask = pl.Series(
        [
            (row["outcome"], row["model"]) in weak
            and row.get("quantity") != "observed_mean"
            for row in frame.iter_rows(named=True)
        ],
        dtype=pl.Boolean,
    )
    by = "by" if "by" in frame.columns else "group"
    judging.hold(table, frame.filter(mask), judging.reasons.model, by=by)
    return frame.filter(~mask)


def _without_unknown_levels(
    table: str, frame: pl.DataFrame, judging: Judging, *, columns: tuple[str, ...]
) -> pl.DataFrame:
    mask = pl.Series(
        [
            row.get("quantity") != _COEFFICIENT
            and not all(judging.level_is_declared(row["by"], row[c]) for c in columns)
            for row in frame.iter_rows(named=True)
        ],
        dtype=pl.Boolean,
    )
    judging.hold(table, frame.filter(mask), judging.reasons.unknown_level)
    return frame.filter(~mask)


def _marked(frame: pl.DataFrame, reasons: list[str | None]) -> pl.DataFrame:
    return frame.with_columns(
        pl.Series("reason", reasons, dtype=pl.String),
        pl.Series("suppressed", [r is not None for r in reasons], dtype=pl.Boolean),
    )


def _finish(name: str, frame: pl.DataFrame, judging: Judging) -> pl.DataFrame:
    """Round everything: counts to the step, numbers to what they can bear."""
    for outcome in frame["outcome"].unique().to_list():
        judging.facts.outcome(outcome)
    decimals = {o.id: o.decimals for o in judging.facts.outcomes}
    present = set(frame.columns)
    places = pl.col("outcome").replace_strict(decimals, return_dtype=pl.Int64)
    scale = (10.0**places).cast(pl.Float64)
    columns = [
        ((pl.col(c) * scale).round() / scale).alias(c)
        for c in _IN_UNITS
        if c in present
    ]
    columns += [pl.col(c).round(n).alias(c) for c, n in _PLACES.items() if c in present]
    if "variance" in present:
        columns.append(
            ((pl.col("variance") * scale * 10).round() / (scale * 10)).alias("variance")
        )
    columns += [rounded(c, judging.step) for c in RELEASED[name].counts]
    return finish(name, frame.with_columns(columns))
