"""Counting and hiding: rounding, small cells, the cells that would give them away.

Pure functions on counts; which table needs which stands in ``estimates`` and
``counts``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import polars as pl

from data_contracts.policy import FLOOR, ReleasePolicy

__all__ = [
    "Cell",
    "cell_of",
    "factor_key",
    "factors_of",
    "levels_of",
    "merge_bins",
    "round_count",
    "rounded",
    "rounding_step",
    "suppressed_cells",
]

Cell = tuple[str, ...]
"""The levels of one cell, one per factor."""


def rounding_step(policy: ReleasePolicy) -> int:
    """Step to which counts are rounded, never finer than the floor.

    A finer step would show a difference of a few people between two counts.

    Examples:
        >>> rounding_step(ReleasePolicy(rounding_base=1))
        5
    """
    return max(policy.rounding_base, FLOOR)


def round_count(count: int, step: int) -> int:
    """Round a count to the nearest multiple of a step, halves upwards.

    Examples:
        >>> [round_count(n, 5) for n in (10, 12, 13, 37)]
        [10, 10, 15, 35]
    """
    return (count + step // 2) // step * step


def rounded(column: str, step: int) -> pl.Expr:
    """``round_count`` for a whole column; a shown count is never rounded to 0."""
    count = pl.col(column)
    nearest = (count + step // 2) // step * step
    return (
        pl.when(count > 0).then(pl.max_horizontal(nearest, pl.lit(step))).otherwise(0)
    ).alias(column)


def factors_of(by: str) -> Cell:
    """Names of the factors that define cells; none for a total.

    Examples:
        >>> factors_of("academic_year:class_year")
        ('academic_year', 'class_year')
        >>> factors_of("all")
        ()
    """
    return () if by in TOTALS else tuple(part.strip() for part in by.split(":"))


def levels_of(level: str) -> Cell:
    """Levels of one cell, in the order of its factors.

    Examples:
        >>> levels_of("2025-26 : M1")
        ('2025-26', 'M1')
    """
    return tuple(part.strip() for part in level.split(" : "))


def factor_key(by: str) -> str:
    """One name for a set of factors, in whichever order they were given.

    Examples:
        >>> factor_key("class_year:academic_year")
        'academic_year:class_year'
    """
    return ":".join(sorted(factors_of(by))) or "all"


def cell_of(by: str, level: str) -> Cell:
    """A cell's levels in the order of ``factor_key``; empty for a total.

    Examples:
        >>> cell_of("class_year:academic_year", "M1 : 2025-26")
        ('2025-26', 'M1')
    """
    factors = factors_of(by)
    if not factors:
        return ()
    pairs = zip(factors, levels_of(level), strict=False)
    return tuple(value for _, value in sorted(pairs))


TOTALS = frozenset({"all", "total", "overall"})
"""Values of ``by`` that mean everybody."""


def suppressed_cells(people: Mapping[Cell, int], minimum: int) -> frozenset[Cell]:
    """Cells that may not be shown: too small, or needed to hide one that is.

    Along every factor, the hidden cells of a line together can be computed as the
    line's total minus the others. So where only one is hidden, or those hidden are
    fewer people than the minimum, the next smallest of the line is hidden as well.

    Args:
        people: People per cell; all cells have the same factors.
        minimum: Fewest people behind a shown cell.

    Returns:
        The cells to hide.

    Examples:
        >>> sorted(suppressed_cells({("M1",): 40, ("M2",): 9, ("M3",): 30}, 10))
        [('M2',), ('M3',)]
    """
    hidden = {cell for cell, n in people.items() if n < minimum}
    lines = _lines(people)
    changed = True
    while changed:
        changed = False
        for line in lines:
            inside = [cell for cell in line if cell in hidden]
            rest = [cell for cell in line if cell not in hidden]
            safe = len(inside) > 1 and sum(people[c] for c in inside) >= minimum
            if not inside or not rest or safe:
                continue
            hidden.add(min(rest, key=lambda cell: (people[cell], cell)))
            changed = True
    return frozenset(hidden)


def _lines(cells: Collection[Cell]) -> list[list[Cell]]:
    """Groups of cells that differ in one factor only."""
    found: dict[tuple[int, Cell], list[Cell]] = {}
    for cell in sorted(cells):
        for axis in range(len(cell)):
            rest = cell[:axis] + cell[axis + 1 :]
            found.setdefault((axis, rest), []).append(cell)
    return list(found.values())


def merge_bins(
    bins: Sequence[tuple[float, float, int]],
    *,
    minimum: int,
    scale: tuple[float, float],
    repeats: int = 1,
) -> list[tuple[float, float, int]]:
    """Merge bins with neighbours until enough people stand in each.

    Somebody with several scores can stand in several bins, so a merged bin surely
    holds only as many people as its fullest part, or its sum over ``repeats``. The
    outer bins are drawn out to the ends of the scale and gaps are closed, so that
    neither the lowest nor the highest score of anybody shows.

    Args:
        bins: Low edge, high edge and people, in any order, not overlapping.
        minimum: Fewest people in a shown bin.
        scale: Lowest and highest possible score.
        repeats: Most scores that one person can have.

    Returns:
        Bins from low to high; none where fewer than ``minimum`` people are in all.

    Examples:
        >>> merge_bins([(1, 2, 4), (2, 3, 30), (3, 4, 12)], minimum=10, scale=(1, 4))
        [(1, 3, 34), (3, 4, 12)]
    """
    merged = [_Bin(low, high, n, n) for low, high, n in sorted(bins)]
    # A gap is an empty bin that was left out: it joins the bin above it.
    for left, right in pairwise(merged):
        right.low = left.high
    if merged:
        merged[0].low, merged[-1].high = scale
    while len(merged) > 1:
        surely = [b.surely(repeats) for b in merged]
        smallest = min(range(len(merged)), key=lambda i: (surely[i], i))
        if surely[smallest] >= minimum:
            break
        beside = [i for i in (smallest - 1, smallest + 1) if 0 <= i < len(merged)]
        other = min(beside, key=lambda i: (merged[i].people, i))
        a, b = (merged[i] for i in sorted((smallest, other)))
        a.high, a.people = b.high, a.people + b.people
        a.fullest = max(a.fullest, b.fullest)
        merged.remove(b)
    return [(b.low, b.high, b.people) for b in merged if b.surely(repeats) >= minimum]


@dataclass(eq=False)
class _Bin:
    low: float
    high: float
    people: int
    fullest: int

    def surely(self, repeats: int) -> int:
        """People who stand in the bin at the least."""
        return max(self.fullest, -(-self.people // repeats))
