"""Coefficients of contrasts between means, by the names that emmeans gives them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from analyses.coding import Array
from data_contracts.errors import ModelError

__all__ = ["NamedContrasts", "named_contrasts"]

_DEGREES = ("linear", "quadratic", "cubic", "quartic")


@dataclass(frozen=True, eq=False)
class NamedContrasts:
    """Contrasts of k means.

    Attributes:
        names: Of the contrasts.
        matrix: One row per contrast, one column per mean.
        n_means: How many means are compared where these are all pairwise
            differences, otherwise None.
    """

    names: tuple[str, ...]
    matrix: Array
    n_means: int | None = None


def named_contrasts(
    method: str | Array | Mapping[str, Sequence[float]],
    means: Sequence[str],
    *,
    reference: int = 0,
) -> NamedContrasts:
    """Coefficients of contrasts.

    Args:
        method: A name, a matrix, or rows by name.
        means: Names of the means.
        reference: Place of the control for ``"trt.vs.ctrl"``.

    Raises:
        ModelError: If the contrasts make no sense for these means.

    Examples:
        >>> named_contrasts("consec", ["Y1", "Y2", "Y3"]).names
        ('Y2 - Y1', 'Y3 - Y2')
    """
    if not isinstance(method, str):
        return _explicit(method, means)
    if method not in _METHODS:
        raise ModelError(
            f"Found the contrasts {method!r}; expected one of {', '.join(_METHODS)}, "
            "or their coefficients."
        )
    if len(means) < 2:
        raise ModelError(
            "There is one mean only, so nothing can be compared; ask for a factor with "
            "two levels or more."
        )
    if not 0 <= reference < len(means):
        raise ModelError(
            f"The control is number {reference}, but there are {len(means)} means "
            "counted from 0."
        )
    return _METHODS[method](list(means), reference)


def _explicit(
    given: Array | Mapping[str, Sequence[float]], means: Sequence[str]
) -> NamedContrasts:
    rows = list(given.values()) if isinstance(given, Mapping) else given
    try:
        matrix = np.atleast_2d(np.asarray(rows, dtype=np.float64))
    except ValueError as error:
        raise ModelError(
            "The contrasts' coefficients are no matrix of numbers; give one row per "
            "contrast."
        ) from error
    wrong = matrix.ndim != 2 or matrix.shape[1] != len(means)
    if wrong or not np.isfinite(matrix).all() or not matrix.any(axis=1).all():
        raise ModelError(
            f"The contrasts' coefficients have shape {matrix.shape}; expected rows of "
            f"{len(means)} finite numbers, one for each mean, not all 0."
        )
    names = (
        tuple(given)
        if isinstance(given, Mapping)
        else tuple(f"contrast {i + 1}" for i in range(len(matrix)))
    )
    return NamedContrasts(names, matrix)


def _differences(pairs: Sequence[tuple[int, int]], means: list[str]) -> NamedContrasts:
    identity = np.eye(len(means))
    matrix = np.array([identity[i] - identity[j] for i, j in pairs])
    return NamedContrasts(tuple(f"{means[i]} - {means[j]}" for i, j in pairs), matrix)


def _all_pairs(pairs: Sequence[tuple[int, int]], means: list[str]) -> NamedContrasts:
    found = _differences(pairs, means)
    return NamedContrasts(found.names, found.matrix, len(means))


def _pairwise(means: list[str], _: int) -> NamedContrasts:
    return _all_pairs(list(combinations(range(len(means)), 2)), means)


def _revpairwise(means: list[str], _: int) -> NamedContrasts:
    pairs = [(i, j) for i in range(len(means)) for j in range(i)]
    return _all_pairs(pairs, means)


def _against_control(means: list[str], reference: int) -> NamedContrasts:
    others = [i for i in range(len(means)) if i != reference]
    return _differences([(i, reference) for i in others], means)


def _consecutive(means: list[str], _: int) -> NamedContrasts:
    return _differences([(i + 1, i) for i in range(len(means) - 1)], means)


def _against_mean(means: list[str], _: int) -> NamedContrasts:
    k = len(means)
    matrix = np.eye(k) - 1.0 / k
    return NamedContrasts(tuple(f"{m} effect" for m in means), matrix)


def _polynomial(means: list[str], _: int) -> NamedContrasts:
    """Orthogonal polynomials in small whole numbers, as emmeans' poly."""
    k = len(means)
    powers = np.vander(np.arange(k) - (k - 1) / 2.0, min(7, k), increasing=True)
    q, r = np.linalg.qr(powers)
    rows = []
    for column in (q * np.sign(np.diag(r))).T[1:]:
        row = column / column[column > 0.01].min()
        for _ in range(100):
            off = float(np.abs(row - np.round(row)).max())
            if off <= 0.05:
                break
            row = row / off
        rows.append(np.round(row))
    names = [
        _DEGREES[i] if i < len(_DEGREES) else f"degree {i + 1}"
        for i in range(len(rows))
    ]
    return NamedContrasts(tuple(names), np.array(rows))


_METHODS: dict[str, Callable[[list[str], int], NamedContrasts]] = {
    "pairwise": _pairwise,
    "revpairwise": _revpairwise,
    "trt.vs.ctrl": _against_control,
    "eff": _against_mean,
    "consec": _consecutive,
    "poly": _polynomial,
}
