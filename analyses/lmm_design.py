"""Formula and frame to the engine's arrays, with all that leads back to names.

Rows are made complete once, factors coded once, groups coded once; results refer to
the columns, levels and groups kept here. Nothing is fitted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analyses.coding import Array, Coding, make_coding
from analyses.formula import ModelSpec, RandomTerm
from analyses.lmm.design import RandomTerm as EngineTerm
from analyses.lmm_columns import (
    Frame,
    Grouping,
    Ints,
    complete_rows,
    grouping,
    level_codes,
    used_columns,
)
from data_contracts.errors import ModelError

__all__ = ["LmmDesign", "RandomPart", "make_lmm_design", "new_rows"]

_NAME = re.compile(r"[^\W\d]\w*")


@dataclass(frozen=True, eq=False)
class RandomPart:
    """One random term with its coding and its groups.

    Attributes:
        spec: The term as written, expanded.
        coding: Its effects.
        groups: Its groups.
    """

    spec: RandomTerm
    coding: Coding
    groups: Grouping

    @property
    def name(self) -> str:
        """The grouping factor as written, such as ``LC:class``."""
        return self.spec.group_name


@dataclass(frozen=True, eq=False)
class LmmDesign:
    """Complete rows of a model, coded.

    Attributes:
        spec: The formula.
        outcome: Outcome column.
        y: Outcome, n.
        x: Fixed columns, n x p.
        coding: What the columns of ``x`` are.
        values: By column of the fixed part: level codes or numbers, n.
        random: Random terms in lme4's order (more groups first).
        terms: The same for the engine.
        weights: Prior weights or None.
        weights_column: Their column.
        index: Places of the n rows in the frame given.
        n_dropped: Rows left out because a used column is missing.
        numbers: Means of the numeric columns of the fixed part.
    """

    spec: ModelSpec
    outcome: str
    y: Array
    x: Array
    coding: Coding
    values: Mapping[str, NDArray[np.generic]]
    random: tuple[RandomPart, ...]
    terms: tuple[EngineTerm, ...]
    weights: Array | None
    weights_column: str | None
    index: Ints
    n_dropped: int
    numbers: Mapping[str, float]

    @property
    def formula(self) -> str:
        """The model as written, random terms expanded."""
        return str(self.spec)

    @property
    def levels(self) -> Mapping[str, tuple[str, ...]]:
        """Levels used by factor, the reference first."""
        return self.coding.levels


def make_lmm_design(
    spec: ModelSpec,
    frame: Frame,
    *,
    weights: str | None = None,
    levels: Mapping[str, Sequence[object]] | None = None,
) -> LmmDesign:
    """Code a frame for a formula.

    Args:
        spec: Parsed formula with an outcome and at least one random term.
        frame: polars or pandas; only the columns used are read. Missing are nulls
            (in pandas, NaN too); other values that are not finite are refused.
        weights: Column of prior weights.
        levels: Levels by factor, the reference first.

    Raises:
        ModelError: In one sentence, what makes the model impossible.
    """
    if spec.outcome is None:
        raise ModelError(
            "The formula has no outcome; write it left of ~, as in score ~ year."
        )
    if not spec.random:
        raise ModelError(
            "The formula has no random term; write one, such as (1 | student), or use "
            "least squares."
        )
    fixed = spec.fixed_terms
    slopes = [v for t in spec.random for s in t.slopes for v in s.split(":")]
    coded = list(dict.fromkeys([*(v for t in fixed for v in t), *slopes]))
    groups = [c for t in spec.random for c in t.group]
    if spec.outcome in {*coded, *groups}:
        raise ModelError(f"The outcome {spec.outcome} stands on both sides of ~.")
    extra = [weights] if weights else []
    rows = complete_rows(
        frame,
        list(dict.fromkeys([spec.outcome, *coded, *groups, *extra])),
        numbers=[spec.outcome, *extra],
        factors_or_numbers=coded,
        levels=levels,
    )
    data, n = rows.data, len(rows.index)
    values = {c: _values(data[c], rows.levels) for c in coded}
    written = list(dict.fromkeys(_NAME.findall(spec.fixed)))
    coding = make_coding(fixed, rows.levels, order=written)
    random = _in_lme4_order([_random_part(t, data, rows.levels) for t in spec.random])
    return LmmDesign(
        spec=spec,
        outcome=spec.outcome,
        y=_numbers(data[spec.outcome]),
        x=coding.matrix(values, n_rows=n),
        coding=coding,
        values={c: values[c] for c in coding.variables},
        random=random,
        terms=tuple(_engine_term(r, values, n) for r in random),
        weights=_numbers(data[weights]) if weights else None,
        weights_column=weights,
        index=rows.index,
        n_dropped=rows.n_dropped,
        numbers={
            c: float(values[c].mean())
            for c in coding.variables
            if c not in coding.levels
        },
    )


def new_rows(
    design: LmmDesign, frame: Frame, *, groups: bool
) -> tuple[pl.DataFrame, NDArray[np.bool_], dict[str, NDArray[np.generic]]]:
    """Columns of other rows, coded as the model's.

    Args:
        design: The model's design.
        frame: Rows with the columns of the fixed part.
        groups: Whether columns of the random part are needed too.

    Returns:
        The columns, whether each row is complete, and the coded values; a factor's
        value that the model does not know is refused.
    """
    needed = list(design.coding.variables)
    levels = dict(design.coding.levels)
    if groups:
        for part in design.random:
            needed += [*part.coding.variables, *part.spec.group]
            levels |= part.coding.levels
    data = used_columns(frame, list(dict.fromkeys(needed)))
    if not data.columns:
        data = pl.DataFrame({"row": np.arange(len(frame))})
    complete = ~data.select(pl.any_horizontal(pl.all().is_null())).to_series()
    values: dict[str, NDArray[np.generic]] = {}
    for c in dict.fromkeys([*design.coding.variables, *_slope_columns(design, groups)]):
        if c in levels:
            codes = level_codes(data[c], levels[c])
            unknown = int(((codes < 0) & ~data[c].is_null().to_numpy()).sum())
            if unknown:
                raise ModelError(
                    f"{unknown} rows have a level of {c} that the model was not fitted "
                    "with; leave them out."
                )
            values[c] = codes
        else:
            values[c] = data[c].cast(pl.Float64).fill_null(np.nan).to_numpy()
    return data, complete.to_numpy(), values


def _slope_columns(design: LmmDesign, groups: bool) -> list[str]:  # noqa: FBT001
    return [v for r in design.random for v in r.coding.variables] if groups else []


def _values(
    column: pl.Series, levels: Mapping[str, tuple[str, ...]]
) -> NDArray[np.generic]:
    if column.name in levels:
        return level_codes(column, levels[column.name])
    return _numbers(column)


def _numbers(column: pl.Series) -> Array:
    return np.ascontiguousarray(column.cast(pl.Float64).to_numpy())


def _random_part(
    term: RandomTerm, data: pl.DataFrame, levels: Mapping[str, tuple[str, ...]]
) -> RandomPart:
    effects: list[tuple[str, ...]] = [()] if term.intercept else []
    effects += [tuple(s.split(":")) for s in term.slopes]
    coding = make_coding(effects, levels)
    return RandomPart(term, coding, grouping(data, term.group))


def _in_lme4_order(parts: list[RandomPart]) -> tuple[RandomPart, ...]:
    """As lme4's mkReTrms: reversed ascending order, unless it descends already."""
    sizes = [p.groups.n_levels for p in parts]
    if all(a >= b for a, b in pairwise(sizes)):
        return tuple(parts)
    ascending = sorted(range(len(parts)), key=sizes.__getitem__)
    return tuple(parts[i] for i in reversed(ascending))


def _engine_term(
    part: RandomPart, values: Mapping[str, NDArray[np.generic]], n: int
) -> EngineTerm:
    return EngineTerm(
        name=part.name,
        codes=part.groups.codes,
        n_groups=part.groups.n_levels,
        z=part.coding.matrix(values, n_rows=n),
        correlated=True,
        column_names=part.coding.names,
    )
