"""Differences and their families: tests, intervals and multiplicity.

Holm's procedure adjusts p values; Bonferroni's intervals over the same family hold
all at once (Holm has no intervals of its own that are as simple). Cells with their
people come in; rows of the table ``contrast`` go out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.stats import t as student_t

from data_contracts.columns import COLUMNS

__all__ = ["Difference", "contrast_rows", "half_width", "holm", "two_sided"]

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Difference:
    """A level of a factor minus another level of it.

    Attributes:
        by: The factor.
        level: The level.
        reference: The level that is subtracted.
        estimate: In the outcome's own units.
        std_error: Of the estimate.
        df: Degrees of freedom; infinite for z.
        df_method: How they were found.
        n_people: People behind the level.
        n_people_reference: People behind the reference.
    """

    by: str
    level: str
    reference: str
    estimate: float
    std_error: float
    df: float
    df_method: str
    n_people: int
    n_people_reference: int


def two_sided(statistic: float, df: float) -> float:
    """Two-sided p value of a t statistic; z where df is infinite.

    Examples:
        >>> round(two_sided(1.959964, float("inf")), 6)
        0.05
    """
    return float(2.0 * student_t.sf(abs(statistic), df))


def half_width(std_error: float, df: float, *, family: int = 1) -> float:
    """Half the width of a 95% interval, Bonferroni-adjusted over a family.

    Examples:
        >>> round(half_width(1.0, float("inf")), 6)
        1.959964
        >>> round(half_width(1.0, float("inf"), family=5), 6)
        2.575829
    """
    tail = (1.0 - CONFIDENCE) / (2.0 * family)
    return float(std_error * student_t.isf(tail, df))


def holm(p_values: Sequence[float]) -> NDArray[np.float64]:
    """Holm's adjusted p values, in the given order (Holm 1979).

    Examples:
        >>> holm([0.01, 0.04, 0.03]).round(6).tolist()
        [0.03, 0.06, 0.06]
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    steps = (len(p) - np.arange(len(p))) * p[order]
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(steps))
    return adjusted


def contrast_rows(
    differences: Sequence[Difference],
    *,
    family: str,
    primary_order: Sequence[int] | None = None,
) -> pl.DataFrame:
    """One family of differences as rows of the table ``contrast``.

    Args:
        differences: The whole family.
        family: What the family is, such as ``academic_year``.
        primary_order: Place of each among the declared primaries; None where the
            family is not one of primaries.

    Returns:
        The table's columns but for analysis_year, outcome and model, in the order
        given.
    """
    n = len(differences)
    adjustment = f"Holm over {n} {family} contrast{'' if n == 1 else 's'}"
    p = [two_sided(d.estimate / d.std_error, d.df) for d in differences]
    narrow = [half_width(d.std_error, d.df) for d in differences]
    wide = [half_width(d.std_error, d.df, family=n) for d in differences]
    columns = {
        "by": [d.by for d in differences],
        "level": [d.level for d in differences],
        "reference": [d.reference for d in differences],
        "estimate": [d.estimate for d in differences],
        "std_error": [d.std_error for d in differences],
        "df": [d.df for d in differences],
        "df_method": [d.df_method for d in differences],
        "statistic": [d.estimate / d.std_error for d in differences],
        "p_value": p,
        "p_adjusted": holm(p),
        "adjustment": [adjustment] * n,
        "conf_low": [d.estimate - w for d, w in zip(differences, narrow, strict=True)],
        "conf_high": [d.estimate + w for d, w in zip(differences, narrow, strict=True)],
        "adjusted_low": [
            d.estimate - w for d, w in zip(differences, wide, strict=True)
        ],
        "adjusted_high": [
            d.estimate + w for d, w in zip(differences, wide, strict=True)
        ],
        "n_people": [d.n_people for d in differences],
        "n_people_reference": [d.n_people_reference for d in differences],
        "primary_order": list(primary_order) if primary_order else [None] * n,
    }
    return pl.DataFrame(columns, schema={c: COLUMNS[c].dtype for c in columns})
