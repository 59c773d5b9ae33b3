"""Multiplicity: p values and intervals over a family of contrasts.

Estimates and their correlations come in; what a family is decides the caller.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.stats import chi2, norm, qmc, studentized_range
from scipy.stats import f as f_distribution
from scipy.stats import t as student_t

from analyses import contrasts
from data_contracts.errors import ModelError

__all__ = ["ADJUSTMENTS", "Adjusted", "Family", "adjust"]

Array = NDArray[np.float64]

ADJUSTMENTS = ("none", "tukey", "holm", "bonferroni", "fdr", "single-step")
"""Names of the adjustments."""

DIRECTIONS = 2**15
SEED = 20_150_701


@dataclass(frozen=True, eq=False)
class Family:
    """Contrasts that are judged together, k each.

    Attributes:
        statistic: t or z.
        df: Degrees of freedom, each its own.
        p_value: Two-sided, raw.
        correlation: Of the estimates, k x k.
        n_means: How many means the contrasts compare pairwise; None where they are
            not all pairwise differences.
    """

    statistic: Array
    df: Array
    p_value: Array
    correlation: Array
    n_means: int | None


@dataclass(frozen=True, eq=False)
class Adjusted:
    """A family, adjusted.

    Attributes:
        p_value: Adjusted.
        critical: What a standard error is multiplied by for half an interval.
        interval: What the intervals hold: ``"unadjusted"``, or the name of the
            adjustment under which all of the family hold at once.
    """

    p_value: Array
    critical: Array
    interval: str


def adjust(family: Family, method: str, *, level: float = 0.95) -> Adjusted:
    """Adjust a family.

    ``tukey`` is the studentized range, for all pairwise differences; ``single-step``
    the largest of multivariate t variables with the estimates' own correlations,
    for any contrasts (Hothorn, Bretz and Westfall 2008). ``holm`` and ``fdr``
    (Benjamini and Hochberg 1995) have no intervals of their own: theirs are
    Bonferroni's, which hold all at once.

    Args:
        family: The contrasts.
        method: One of ``ADJUSTMENTS``.
        level: Of the intervals.

    Raises:
        ModelError: An unknown method, or tukey for other contrasts than pairwise.

    Source:
        Checked against emmeans (tukey, holm, bonferroni, fdr, mvt).
    """
    if method not in ADJUSTMENTS:
        raise ModelError(
            f"Found the adjustment {method!r}; expected one of "
            f"{', '.join(ADJUSTMENTS)}."
        )
    k = len(family.p_value)
    if method == "tukey":
        return _tukey(family, level)
    if method == "single-step":
        return _single_step(family, level)
    if method == "none":
        p, count, interval = family.p_value, 1, "unadjusted"
    else:
        p, count = _ADJUSTED_P[method](family.p_value), k
        interval = "bonferroni"
    critical = student_t.isf((1.0 - level) / (2.0 * count), family.df)
    return Adjusted(np.asarray(p), np.asarray(critical), interval)


def _holm(p: Array) -> Array:
    return contrasts.holm(p.tolist())


def _bonferroni(p: Array) -> Array:
    return np.minimum(1.0, len(p) * p)


def _fdr(p: Array) -> Array:
    order = np.argsort(-p, kind="stable")
    steps = p[order] * len(p) / np.arange(len(p), 0, -1)
    out = np.empty_like(p)
    out[order] = np.minimum(1.0, np.minimum.accumulate(steps))
    return out


_ADJUSTED_P: dict[str, Callable[[Array], Array]] = {
    "holm": _holm,
    "bonferroni": _bonferroni,
    "fdr": _fdr,
}


def _tukey(family: Family, level: float) -> Adjusted:
    if family.n_means is None:
        raise ModelError(
            "Tukey's adjustment is for all pairwise differences; take single-step for "
            "other contrasts."
        )
    if family.n_means == 2:
        critical = student_t.isf(0.5 - level / 2.0, family.df)
        return Adjusted(family.p_value, np.asarray(critical), "tukey")
    k, root = family.n_means, np.sqrt(2.0)
    p = np.array(
        [
            float(studentized_range.sf(root * abs(t), k, df))
            for t, df in zip(family.statistic, family.df, strict=True)
        ]
    )
    points = {
        df: float(studentized_range.ppf(level, k, df)) / root
        for df in np.unique(family.df).tolist()
    }
    critical = np.array([points[df] for df in family.df.tolist()])
    return Adjusted(np.clip(p, 0.0, 1.0), critical, "tukey")


def _single_step(family: Family, level: float) -> Adjusted:
    rank, largest = _largest_on_sphere(family.correlation)
    p = np.array(
        [
            _beyond(abs(t), df, rank, largest)
            for t, df in zip(family.statistic, family.df, strict=True)
        ]
    )
    points: dict[float, float] = {}
    for df in np.unique(family.df).tolist():
        low = float(student_t.isf(0.5 - level / 2.0, df)) * 0.999
        high = float(student_t.isf((1.0 - level) / (2.0 * len(p)), df)) * 1.001
        points[df] = float(
            brentq(
                lambda t, df=df: _beyond(t, df, rank, largest) - (1.0 - level),
                low,
                high,
                xtol=1e-9,
            )
        )
    critical = np.array([points[df] for df in family.df.tolist()])
    return Adjusted(np.maximum(p, family.p_value), critical, "single-step")


def _largest_on_sphere(correlation: Array) -> tuple[int, Array]:
    """Largest absolute contrast in evenly spread directions, and their dimension.

    With T = F z / s and z = |z| u, only the direction u is left to integrate over:
    |z|^2 over s^2 has an F distribution, which is exact.
    """
    values, vectors = np.linalg.eigh(correlation)
    kept = values > 1e-10 * float(values[-1])
    factor = vectors[:, kept] * np.sqrt(values[kept])
    rank = int(kept.sum())
    if rank == 1:
        return 1, np.abs(factor).max(axis=0)
    if rank == 2:
        angle = np.pi * (np.arange(DIRECTIONS) + 0.5) / DIRECTIONS
        directions = np.column_stack([np.cos(angle), np.sin(angle)])
    else:
        sobol = qmc.Sobol(rank, scramble=True, rng=SEED).random(DIRECTIONS)
        normal = norm.ppf(np.clip(sobol, 1e-12, 1.0 - 1e-12))
        directions = normal / np.linalg.norm(normal, axis=1, keepdims=True)
    return rank, np.abs(directions @ factor.T).max(axis=1)


def _beyond(t: float, df: float, rank: int, largest: Array) -> float:
    """Probability that the largest absolute t of the family is beyond t."""
    square = (t / largest) ** 2
    if np.isinf(df):
        return float(np.mean(chi2.sf(square, rank)))
    return float(np.mean(f_distribution.sf(square / rank, rank, df)))
