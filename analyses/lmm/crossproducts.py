"""Data enter once: every cross-product that the objective needs, and no more.

After this module nothing in a fit grows with the number of rows, only with the
number of groups. The last of the m columns is the outcome, the others are the
orthonormal fixed columns.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from analyses.lmm.design import Array, Design, Factor, Ints

__all__ = ["CrossProducts", "Pairs", "cross_products", "outcome_products"]


@dataclass(frozen=True, eq=False)
class Pairs:
    """Groups of two factors that meet in a row, and their cross-products.

    Attributes:
        first: Group in the first factor, one entry per meeting.
        second: Group in the second factor.
        blocks: q1 x q2 x meetings.
    """

    first: Ints
    second: Ints
    blocks: Array


@dataclass(frozen=True, eq=False)
class CrossProducts:
    """The cross-products of a design.

    Attributes:
        n_rows: Number of rows behind them.
        within: For each factor, q x q x groups.
        fixed: For each factor, with the fixed columns and outcome, q x m x groups.
        pairs: For factors i < j, their meetings.
        total: Fixed columns and outcome with themselves, m x m.
    """

    n_rows: int
    within: tuple[Array, ...]
    fixed: tuple[Array, ...]
    pairs: dict[tuple[int, int], Pairs]
    total: Array

    def with_outcome(self, products: tuple[Array, ...]) -> CrossProducts:
        """The same design with another outcome of unit mean square.

        Args:
            products: For each factor, its columns with the outcome, q x groups.
        """
        fixed = []
        for old, new in zip(self.fixed, products, strict=True):
            both = old.copy()
            both[:, -1] = new
            fixed.append(both)
        return replace(self, fixed=tuple(fixed))


def cross_products(design: Design, outcome: Array) -> CrossProducts:
    """Take all cross-products of a design and one centred outcome.

    Args:
        design: The design.
        outcome: From `Design.response`, n.
    """
    columns = [*design.q.T.copy(), outcome]
    p, n = design.n_fixed, design.n_rows
    total = np.zeros((p + 1, p + 1))
    total[:p, :p] = np.eye(p)
    total[p, p] = n
    within, fixed = [], []
    for factor in design.factors:
        within.append(_within(factor))
        fixed.append(_sums(factor, columns))
    pairs = {
        (i, j): _pairs(first, design.factors[j])
        for i, first in enumerate(design.factors)
        for j in range(i + 1, len(design.factors))
    }
    return CrossProducts(n, tuple(within), tuple(fixed), pairs, total)


def outcome_products(design: Design, outcomes: Array) -> tuple[Array, ...]:
    """Products of the random columns with many outcomes, q x k x groups per factor."""
    columns = outcomes.T.copy()
    return tuple(_sums(factor, list(columns)) for factor in design.factors)


def _sums(factor: Factor, columns: list[Array]) -> Array:
    """Sums by group of each effect's column times each given one."""
    out = np.empty((factor.n_columns, len(columns), factor.n_groups))
    for a, z in enumerate(factor.z):
        for k, column in enumerate(columns):
            out[a, k] = np.bincount(factor.codes, z * column, factor.n_groups)
    return out


def _within(factor: Factor) -> Array:
    q = factor.n_columns
    out = np.empty((q, q, factor.n_groups))
    for a in range(q):
        for b in range(a + 1):
            out[a, b] = np.bincount(
                factor.codes, factor.z[a] * factor.z[b], factor.n_groups
            )
            out[b, a] = out[a, b]
    return out


def _pairs(first: Factor, second: Factor) -> Pairs:
    """Meetings of two factors; quick where one is nested in the other."""
    index, g, h = _meetings(first, second)
    blocks = np.empty((first.n_columns, second.n_columns, len(g)))
    for a, za in enumerate(first.z):
        for b, zb in enumerate(second.z):
            blocks[a, b] = np.bincount(index, za * zb, len(g))
    return Pairs(g, h, blocks)


def _meetings(first: Factor, second: Factor) -> tuple[Ints, Ints, Ints]:
    """Meeting of each row, and the groups of each meeting."""
    for inner, outer, swapped in ((first, second, False), (second, first, True)):
        if inner.n_groups < outer.n_groups:
            continue
        parent = np.full(inner.n_groups, -1, dtype=np.int64)
        parent[inner.codes] = outer.codes
        if np.array_equal(parent[inner.codes], outer.codes):
            used = np.flatnonzero(parent >= 0)
            index = inner.codes
            if len(used) < inner.n_groups:
                place = np.cumsum(parent >= 0) - 1
                index = place[index]
            groups = (used, parent[used])
            return (index, *(groups[::-1] if swapped else groups))
    key = first.codes * second.n_groups + second.codes
    size = first.n_groups * second.n_groups
    if size <= 4 * len(key):  # counting is quicker than sorting
        seen = np.zeros(size, dtype=bool)
        seen[key] = True
        unique = np.flatnonzero(seen)
        index = (np.cumsum(seen) - 1)[key]
    else:
        unique, index = np.unique(key, return_inverse=True)
    return index, unique // second.n_groups, unique % second.n_groups
