"""Frame to columns: complete rows, factors with their levels, codes of groups.

A polars or pandas frame goes in; what comes out holds no frame any more but codes,
numbers and labels. Formulas are read elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
from numpy.typing import NDArray

from data_contracts.errors import ModelError

__all__ = ["Frame", "Grouping", "Ints", "complete_rows", "grouping", "level_codes"]

Ints = NDArray[np.int64]
Frame = pl.DataFrame | pd.DataFrame


@dataclass(frozen=True)
class Rows:
    """Complete rows of the columns that a model uses.

    Attributes:
        data: The rows.
        index: Their places in the frame given.
        n_dropped: Rows left out because a used column is missing.
        levels: Levels of factors: given, declared by the column, or sorted.
    """

    data: pl.DataFrame
    index: Ints
    n_dropped: int
    levels: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, eq=False)
class Grouping:
    """The levels of one or several columns together.

    Attributes:
        columns: The columns.
        codes: Level of each row.
        parts: For each column, its value at every level.
    """

    columns: tuple[str, ...]
    codes: Ints
    parts: tuple[NDArray[np.generic], ...]

    @property
    def n_levels(self) -> int:
        """Number of levels that occur."""
        return len(self.parts[0])

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """Levels as text, joined by a colon."""
        return tuple(":".join(map(str, row)) for row in zip(*self.parts, strict=True))


def used_columns(frame: Frame, names: Sequence[str]) -> pl.DataFrame:
    """The named columns as polars; declared orders of pandas become Enum.

    Raises:
        ModelError: If the frame is none, or lacks columns.
    """
    if not isinstance(frame, pl.DataFrame | pd.DataFrame):
        raise ModelError(
            f"A {type(frame).__name__} is no frame; expected polars or pandas."
        )
    unknown = [c for c in names if c not in frame.columns]
    if unknown:
        raise ModelError(
            f"The frame has no column {', '.join(map(repr, unknown))}; it is named in "
            "the formula or the weights, so add it or mend the name."
        )
    if isinstance(frame, pl.DataFrame):
        return frame.select(names)
    return pl.DataFrame([_from_pandas(name, frame[name]) for name in names])


def _from_pandas(name: str, column: Any) -> pl.Series:
    if isinstance(column.dtype, pd.CategoricalDtype):
        categories = [str(c) for c in column.cat.categories]
        codes = column.cat.codes.to_numpy()
        values = [None if c < 0 else categories[c] for c in codes.tolist()]
        return pl.Series(name, values, dtype=pl.Enum(categories))
    try:
        converted: pl.Series = pl.from_pandas(column).alias(name)
    except (TypeError, ValueError, pl.exceptions.PolarsError) as error:
        raise ModelError(
            f"The column {name} mixes kinds of values; expected text, numbers or "
            "booleans alone."
        ) from error
    return converted


def complete_rows(
    frame: Frame,
    names: Sequence[str],
    *,
    numbers: Sequence[str],
    factors_or_numbers: Sequence[str],
    levels: Mapping[str, Sequence[object]] | None,
) -> Rows:
    """Rows in which no used column is missing, and the levels of factors there.

    Args:
        frame: Frame given.
        names: All columns used.
        numbers: Those that must be numbers.
        factors_or_numbers: Those whose kind decides how they are coded.
        levels: Levels given by column; they make a column a factor.

    Raises:
        ModelError: No row left, values that are not finite, a factor with one
            level or with values beyond the levels given, a column of another kind.
    """
    given = {c: tuple(_text(v) for v in values) for c, values in (levels or {}).items()}
    stray = [c for c in given if c not in factors_or_numbers]
    if stray:
        raise ModelError(
            f"Levels are given for {', '.join(stray)}, which the formula does not use "
            "as a factor; leave them out or mend the name."
        )
    data = used_columns(frame, names)
    missing = data.select(pl.any_horizontal(pl.all().is_null())).to_series()
    index = np.flatnonzero(~missing.to_numpy()).astype(np.int64)
    n_dropped = data.height - len(index)
    data = data.filter(~missing) if n_dropped else data
    if not len(index):
        raise ModelError(
            "No row has all columns that the model uses; look for a column that is "
            "empty."
        )
    for name in numbers:
        _refuse_no_number(data[name])
    found: dict[str, tuple[str, ...]] = {}
    for name in factors_or_numbers:
        column = data[name]
        if name in given or not column.dtype.is_numeric():
            found[name] = _levels(column, given.get(name))
        else:
            _refuse_no_number(column)
    return Rows(data, index, n_dropped, found)


def _refuse_no_number(column: pl.Series) -> None:
    if not column.dtype.is_numeric():
        raise ModelError(
            f"The column {column.name} must hold numbers; found {column.dtype}."
        )
    if column.dtype.is_float() or column.dtype.is_decimal():
        bad = int((~column.cast(pl.Float64).is_finite()).sum())
        if bad:
            raise ModelError(
                f"The column {column.name} holds {bad} values that are not finite "
                "numbers; make them missing or mend them."
            )


def _text(value: object) -> str:
    """A level as R writes it: TRUE and FALSE, whole numbers without a point."""
    if isinstance(value, bool | np.bool_):
        return "TRUE" if value else "FALSE"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _levels(column: pl.Series, given: tuple[str, ...] | None) -> tuple[str, ...]:
    dtype = column.dtype
    values = column.unique().to_list()
    present = {_text(v) for v in values}
    if given is not None:
        beyond = present - set(given)
        if beyond or len(set(given)) < len(given):
            raise ModelError(
                f"The levels given for {column.name} name some twice or leave out "
                f"{len(beyond)} that occur; expected each level once."
            )
        order: list[str] = list(given)
    elif isinstance(dtype, pl.Enum):
        order = list(dtype.categories)
    elif isinstance(dtype, pl.String | pl.Boolean | pl.Categorical):
        order = sorted(present)
    else:
        raise ModelError(
            f"The column {column.name} is neither text nor numbers but {dtype}; make "
            "it one of them."
        )
    used = tuple(level for level in order if level in present)
    if len(used) < 2:
        raise ModelError(
            f"The factor {column.name} has one level in the rows used, so it explains "
            "nothing; leave it out."
        )
    return used


def level_codes(column: pl.Series, levels: tuple[str, ...]) -> Ints:
    """Place of each value among the levels; -1 where it is none of them."""
    if isinstance(column.dtype, pl.String | pl.Enum | pl.Categorical):
        text = column.cast(pl.String)
    else:
        text = pl.Series(
            [None if v is None else _text(v) for v in column.to_list()],
            dtype=pl.String,
        )
    codes = text.cast(pl.Enum(levels), strict=False).to_physical()
    return codes.cast(pl.Int64).fill_null(-1).to_numpy().copy()


def grouping(data: pl.DataFrame, columns: Sequence[str]) -> Grouping:
    """Levels of a grouping factor, in sorted order, and each row's.

    Examples:
        >>> frame = pl.DataFrame({"g": ["b", "a", "b"], "h": [1, 1, 2]})
        >>> found = grouping(frame, ["g", "h"])
        >>> found.codes.tolist(), found.labels
        ([1, 0, 2], ('a:1', 'b:1', 'b:2'))
    """
    singles = [_single(data[c]) for c in columns]
    codes, parts = singles[0][0], [singles[0][1]]
    for own, values in singles[1:]:
        joint, kept = _compressed(codes * len(values) + own)
        codes = joint
        parts = [p[kept // len(values)] for p in parts] + [values[kept % len(values)]]
    return Grouping(tuple(columns), codes, tuple(parts))


def _single(column: pl.Series) -> tuple[Ints, NDArray[np.generic]]:
    dtype = column.dtype
    if dtype.is_integer():
        values = column.cast(pl.Int64).to_numpy()
        low = int(values.min())
        codes, kept = _compressed(values - low)
        return codes, kept + low
    if isinstance(dtype, pl.Enum):
        physical = column.to_physical().cast(pl.Int64).to_numpy()
        codes, kept = _compressed(physical)
        return codes, np.array(dtype.categories.to_list(), dtype=object)[kept]
    if isinstance(dtype, pl.String | pl.Categorical):
        text = column.cast(pl.String)
        levels = text.unique().sort()
        places = text.cast(pl.Enum(levels)).to_physical().cast(pl.Int64).to_numpy()
        return places, np.array(levels.to_list(), dtype=object)
    if dtype.is_numeric():
        _refuse_no_number(column)
    elif not isinstance(dtype, pl.Boolean | pl.Date | pl.Datetime):
        raise ModelError(
            f"The grouping column {column.name} is of kind {dtype}; expected text or "
            "whole numbers."
        )
    values_, codes_ = np.unique(column.to_numpy(), return_inverse=True)
    labels = np.array([_text(v) for v in values_.tolist()], dtype=object)
    return codes_.astype(np.int64).reshape(-1), labels


def _compressed(values: Ints) -> tuple[Ints, Ints]:
    """Codes without gaps, and the values they stand for; all are 0 or more."""
    top = int(values.max()) + 1
    if top > 10 * len(values) + 1000:
        kept, codes = np.unique(values, return_inverse=True)
        return codes.astype(np.int64).reshape(-1), kept
    present = np.zeros(top, dtype=np.bool_)
    present[values] = True
    kept = np.flatnonzero(present).astype(np.int64)
    place = np.cumsum(present) - 1
    return place[values].astype(np.int64), kept
