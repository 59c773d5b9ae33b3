"""Formula and frame to arrays: which rows are complete, how factors are coded.

The coding is explicit: treatment contrasts in the declared order of the levels,
the first level present being the reference. Every design that cannot be estimated
is refused here, in one sentence; nothing is fitted here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
from formulaic import Formula
from numpy.typing import NDArray

from analyses.formula import ModelSpec
from analyses.frames import ModelFrame
from data_contracts.errors import ModelError

__all__ = ["IDENTIFICATION", "Array", "Cell", "Design", "build_design"]

Array = NDArray[np.float64]

IDENTIFICATION = (
    "Cohort is academic year minus class year, so linear trends of academic year, "
    "class year (or time since entry) and cohort cannot be told apart; keep two of "
    "the three in the fixed part."
)
"""The identification sentence; reports carry it in the same words."""

_RANK_TOLERANCE = 1e-8
_FEWEST_COMMUNITIES_PER_LEVEL = 3


@dataclass(frozen=True)
class Cell:
    """A cell of a reference grid, averaged over everything that it does not name.

    Attributes:
        levels: One level per column of the margin.
        weights: Linear combination of the coefficients that is its mean, length p.
    """

    levels: tuple[str, ...]
    weights: Array


@dataclass(frozen=True)
class Design:
    """Complete rows of one outcome, coded.

    Attributes:
        spec: The formula.
        outcome: Outcome column.
        rows: The n complete rows, in the frame's order.
        y: Outcome values, length n.
        x: Fixed-effects matrix, n by p.
        terms: Names of the p columns, such as ``class_year[M3]``.
        factors: Levels present by factor of the fixed part; the first is the
            reference.
        numbers: Means of the numeric columns of the fixed part.
        behind: n by p; whether a row stands behind a coefficient (for the
            intercept and for numbers, every row).
        n_dropped: Responses left out because the outcome or a column that the
            model needs is missing.
        coding: How formulaic made ``x``, to code a reference grid alike.
    """

    spec: ModelSpec
    outcome: str
    rows: pl.DataFrame
    y: Array
    x: Array
    terms: tuple[str, ...]
    factors: Mapping[str, tuple[str, ...]]
    numbers: Mapping[str, float]
    behind: NDArray[np.bool_]
    n_dropped: int
    coding: Any

    def margins(self) -> Iterator[tuple[str, ...]]:
        """Factors, and pairs of factors whose interaction the formula holds."""
        for name in self.factors:
            yield (name,)
        for term in self.spec.fixed_terms:
            if len(term) == 2 and all(c in self.factors for c in term):
                yield _academic_year_first(term)

    def cells(self, margin: Sequence[str]) -> tuple[Cell, ...]:
        """Cells of a margin over the reference grid.

        Other factors count with equal weights over their levels present (a fixed
        mix, so that a shift in who answers does not move the means); numbers stand
        at their mean.

        Args:
            margin: Factors that define the cells.
        """
        others = [f for f in self.factors if f not in margin]
        combinations = list(product(*(self.factors[f] for f in others)))
        cells = list(product(*(self.factors[f] for f in margin)))
        grid = pd.DataFrame(
            [(*cell, *other) for cell in cells for other in combinations],
            columns=[*margin, *others],
        )
        frame = _coded(grid, factors=self.factors).assign(**self.numbers)
        x = _matrix(self.coding, frame)
        means = x.reshape(len(cells), len(combinations), -1).mean(axis=1)
        return tuple(Cell(c, w) for c, w in zip(cells, means, strict=True))


def build_design(spec: ModelSpec, frame: ModelFrame, *, outcome: str) -> Design:
    """Code one outcome's complete rows.

    Rows in which the outcome or any column of the formula is missing are left out
    once and counted.

    Args:
        spec: Parsed formula; its outcome is ignored.
        frame: The model frame.
        outcome: Outcome column.

    Returns:
        The design, its fixed part of full rank.

    Raises:
        ModelError: In one sentence each: unknown columns, community or student as a
            fixed effect, academic year with class year and cohort together, no
            complete row, an infinite value, a constant outcome, a factor with one
            level, a community-level factor with a level in fewer than three
            communities, a rank-deficient fixed part, fewer rows than coefficients.
    """
    groups = [c for term in spec.random for c in (*term.group, *_slope_columns(term))]
    columns = list(dict.fromkeys([*spec.fixed_columns, *groups]))
    _refuse_columns(spec, frame, outcome=outcome, columns=columns)
    rows = frame.rows.drop_nulls([outcome, *columns])
    if rows.is_empty():
        raise _refusal(outcome, "no response has the outcome and all columns needed")
    n_dropped = frame.rows.height - rows.height
    numeric = [c for c in spec.fixed_columns if c not in frame.levels]
    _refuse_not_finite(rows, outcome=outcome, columns=[outcome, *numeric])
    y = rows[outcome].cast(pl.Float64).to_numpy()
    if np.ptp(y) <= 1e-12 * float(np.abs(y).max()):
        raise _refusal(outcome, "the outcome is constant, so nothing can be compared")
    factors = {
        c: _levels_present(rows, column=c, declared=frame.levels[c], outcome=outcome)
        for c in spec.fixed_columns
        if c in frame.levels
    }
    _refuse_thin_community_factors(spec, rows, factors=factors, outcome=outcome)
    numbers = {c: float(rows[c].cast(pl.Float64).to_numpy().mean()) for c in numeric}
    data = _coded(
        pd.DataFrame({c: rows[c].to_numpy() for c in spec.fixed_columns}),
        factors=factors,
        n_rows=rows.height,
    )
    data = data.astype(dict.fromkeys(numeric, float))
    built = Formula(_fixed_formula(spec)).get_model_matrix(data)
    x = np.asarray(built, dtype=np.float64)
    terms = tuple(_term_name(c) for c in built.model_spec.column_names)
    _refuse_rank(x, terms=terms, outcome=outcome)
    present = data.assign(**dict.fromkeys(numeric, 1.0))
    return Design(
        spec=spec,
        outcome=outcome,
        rows=rows,
        y=y,
        x=x,
        terms=terms,
        factors=factors,
        numbers=numbers,
        behind=_matrix(built.model_spec, present) != 0.0,
        n_dropped=n_dropped,
        coding=built.model_spec,
    )


def _refusal(outcome: str, reason: str) -> ModelError:
    return ModelError(f"The model of {outcome} cannot be fitted: {reason}.")


def _slope_columns(term: Any) -> list[str]:
    return [c for slope in term.slopes for c in slope.split(":")]


def _academic_year_first(term: tuple[str, ...]) -> tuple[str, ...]:
    rank = {"academic_year": 0, "class_year": 1}
    return tuple(sorted(term, key=lambda c: rank.get(c, 2)))


def _fixed_formula(spec: ModelSpec) -> str:
    has_intercept = () in spec.fixed_terms
    terms = [":".join(t) for t in spec.fixed_terms if t]
    return " + ".join(["1" if has_intercept else "0", *terms])


def _term_name(column: str) -> str:
    return "(Intercept)" if column == "Intercept" else column.replace("[T.", "[")


def _coded(
    data: pd.DataFrame,
    *,
    factors: Mapping[str, tuple[str, ...]],
    n_rows: int | None = None,
) -> pd.DataFrame:
    coded = data if len(data.columns) else pd.DataFrame(index=range(n_rows or 1))
    return coded.assign(
        **{
            c: pd.Categorical(coded[c], categories=list(levels))
            for c, levels in factors.items()
        }
    )


def _matrix(coding: Any, data: pd.DataFrame) -> Array:
    return np.asarray(coding.get_model_matrix(data), dtype=np.float64)


def _refuse_columns(
    spec: ModelSpec, frame: ModelFrame, *, outcome: str, columns: Sequence[str]
) -> None:
    if outcome not in frame.outcomes:
        raise _refusal(outcome, "the model frame has no such outcome")
    unknown = [c for c in columns if c not in frame.rows.columns]
    if unknown:
        raise _refusal(
            outcome, f"the model frame has no column {', '.join(map(repr, unknown))}"
        )
    fixed = set(spec.fixed_columns)
    for name in ("student", "community"):
        if name in fixed:
            raise _refusal(
                outcome,
                f"{name} stands in the fixed part; write it as (1 | {name})",
            )
    if {"academic_year", "cohort"} <= fixed and fixed & {"class_year", "time"}:
        raise ModelError(IDENTIFICATION)


def _refuse_not_finite(
    rows: pl.DataFrame, *, outcome: str, columns: Sequence[str]
) -> None:
    for c in columns:
        if not rows[c].dtype.is_numeric():
            raise _refusal(
                outcome, f"the column {c} is neither categorical nor numeric"
            )
        bad = int((~rows[c].cast(pl.Float64).is_finite()).sum())
        if bad:
            raise _refusal(outcome, f"{bad} values of {c} are not finite numbers")


def _levels_present(
    rows: pl.DataFrame, *, column: str, declared: tuple[str, ...], outcome: str
) -> tuple[str, ...]:
    found = set(rows[column].unique().to_list())
    undeclared = found - set(declared)
    if undeclared:
        n = rows.filter(pl.col(column).is_in(sorted(undeclared))).height
        raise _refusal(
            outcome, f"{n} responses have a {column} that the study does not declare"
        )
    present = tuple(level for level in declared if level in found)
    if len(present) < 2:
        raise _refusal(
            outcome, f"{column} has one level, so it cannot be estimated; leave it out"
        )
    return present


def _refuse_thin_community_factors(
    spec: ModelSpec,
    rows: pl.DataFrame,
    *,
    factors: Mapping[str, tuple[str, ...]],
    outcome: str,
) -> None:
    """A level that two communities share is those two communities, not a kind."""
    if not any(t.group == ("community",) for t in spec.random):
        return
    for c in factors:
        pairs = rows.select("community", c).unique()
        if pairs["community"].is_duplicated().any():
            continue  # varies within communities
        fewest = int(pairs.group_by(c).len()["len"].min())  # type: ignore[arg-type]
        if fewest < _FEWEST_COMMUNITIES_PER_LEVEL:
            raise _refusal(
                outcome,
                f"{c} differs between communities only, and a level of it has "
                f"{fewest} of them; a level of a community-level factor needs at "
                f"least {_FEWEST_COMMUNITIES_PER_LEVEL} communities",
            )


def _refuse_rank(x: Array, *, terms: tuple[str, ...], outcome: str) -> None:
    n, p = x.shape
    if n <= p:
        raise _refusal(outcome, f"{n} complete responses for {p} coefficients")
    basis = np.empty((n, 0))
    extra: list[str] = []
    for name, column in zip(terms, x.T, strict=True):
        left = column / (np.linalg.norm(column) or 1.0)
        for _ in range(2):  # once more against rounding
            left = left - basis @ (basis.T @ left)
        length = np.linalg.norm(left)
        if length > _RANK_TOLERANCE:
            basis = np.column_stack([basis, left / length])
        else:
            extra.append(name)
    if extra:
        raise _refusal(
            outcome,
            f"the fixed part is rank-deficient; {', '.join(extra)} cannot be told "
            "apart from the columns before (or no response is behind it)",
        )
