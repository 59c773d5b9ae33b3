"""Which factor is eliminated when, and where each number then goes.

Everything here is symbolic and done once for a design. The largest factor goes
first: its groups do not meet, so it is block-diagonal. A further factor follows as
a stage of its own while the groups already eliminated meet at most one of its
groups each (nesting), for then it is block-diagonal still. What is left, crossed
factors mostly, is the dense core. After Bates, Alday and Kokandakar (2025),
arXiv 2505.11674.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csc_array, csr_array

from analyses.lmm.crossproducts import CrossProducts
from analyses.lmm.design import Array, Ints
from analyses.lmm.errors import LmmError
from analyses.lmm.ordering import Links, order_factors, pairs_of

__all__ = ["Layout", "Stage", "make_layout"]

# A core this small costs less to factor whole than to take apart.
SMALL_CORE = 40
LARGE_CORE = 12_000  # 1.2 GB for each dense matrix


@dataclass(frozen=True, eq=False)
class Stage:
    """One block-diagonal factor and what its groups touch later.

    A touch is a group with one later column; a product is two touches of one
    group, and goes to one place of the state.

    Attributes:
        factor: Which grouping factor.
        n_groups: Its groups.
        n_columns: Its effects per group, q.
        group: Group of each touch.
        column: Later column of each touch.
        left: First touch of each product.
        right: Second touch of each product.
        target: Place of each product in the state.
        double: 2 where a product stands for two symmetric entries, else 1.
        share: 1/2 where both halves of a symmetric pair are listed, else 1.
        order: Places of q x touches values in the sparse matrix below.
        sparse: Later columns x (q * groups), the pattern of the touches.
        sparse_t: Its transpose.
        values: Cross-products of the touches before elimination, q x touches.
        at_within: Start of this stage's own blocks in the state; -1 for the first.
        at_values: Start of its touches' values in the state.
    """

    factor: int
    n_groups: int
    n_columns: int
    group: Ints
    column: Ints
    left: Ints
    right: Ints
    target: Ints
    double: Array
    share: Array
    order: Ints
    sparse: csr_array
    sparse_t: csc_array
    values: Array
    first_column: int
    at_within: int
    at_values: int

    def touching(self, values: Array) -> csr_array:
        """Later columns x (q * groups) with q x touches values, until the next call."""
        self.sparse.data = values.ravel().take(self.order)
        return self.sparse

    def touching_t(self, values: Array) -> csc_array:
        """(q * groups) x later columns with q x touches values, until the next call."""
        self.sparse_t.data = values.ravel().take(self.order)
        return self.sparse_t


@dataclass(frozen=True, eq=False)
class Layout:
    """The order of elimination of one design.

    Attributes:
        stages: Block-diagonal factors, in order.
        core: Factors of the dense core.
        core_starts: First column of each core factor within the core.
        core_size: Columns of the core.
        first_core: First later column that belongs to the core.
        n_later: Later columns in all: everything but the first stage.
        at_core: Start of the core in the state.
        state: Start value of the state: later stages' blocks, then the core.
    """

    stages: tuple[Stage, ...]
    core: tuple[int, ...]
    core_starts: tuple[int, ...]
    core_size: int
    first_core: int
    n_later: int
    at_core: int
    state: Array


def make_layout(products: CrossProducts, *, max_stages: int | None = None) -> Layout:
    """Plan the elimination.

    Args:
        products: Cross-products of the design.
        max_stages: At most so many block-diagonal stages; None leaves it to the
            sizes.

    Raises:
        LmmError: The dense core would not fit in memory.
    """
    shape = [w.shape[1:] for w in products.within]
    sizes = [q * g for q, g in shape]
    order, touches = order_factors(
        products, shape, sizes, small_core=SMALL_CORE, max_stages=max_stages
    )
    n_stages = len(touches)
    starts, at = {}, 0
    for f in order[1:]:
        starts[f] = at
        at += sizes[f]
    n_later = at
    first_core = starts[order[n_stages]] if n_stages < len(order) else n_later
    core_size = n_later - first_core
    if core_size > LARGE_CORE:
        raise LmmError(
            f"The crossed factors leave {core_size} effects that all meet; the dense"
            f" core holds {LARGE_CORE} at most. Leave a crossed factor or slope out."
        )
    lists = [
        _touch_list(products, shape, starts, order[s], touches[s])
        for s in range(n_stages)
    ]
    at_within, at_values, at = [-1], [-1], 0
    for s in range(1, n_stages):
        q, g = shape[order[s]]
        at_within.append(at)
        at += q * q * g
        at_values.append(at)
        at += q * len(lists[s][0])
    at_core = at
    place = _Places(
        shape, starts, order[:n_stages], lists, at_within, at_values,
        first_core, core_size, at_core, n_later,
    )  # fmt: skip
    stages = tuple(
        _stage(place, s, at_within[s], at_values[s]) for s in range(n_stages)
    )
    state = np.zeros(at_core + core_size * core_size)
    for stage in stages[1:]:
        within = products.within[stage.factor]
        state[stage.at_within : stage.at_within + within.size] = within.ravel()
        end = stage.at_values + stage.values.size
        state[stage.at_values : end] = stage.values.ravel()
    core = tuple(order[n_stages:])
    _fill_core(products, shape, starts, core, first_core, state[at_core:])
    return Layout(
        stages, core, tuple(starts[f] - first_core for f in core), core_size,
        first_core, n_later, at_core, state,
    )  # fmt: skip


def _touch_list(
    products: CrossProducts,
    shape: list[tuple[int, int]],
    starts: dict[int, int],
    f: int,
    touches: dict[int, Links],
) -> tuple[Ints, Ints, Array]:
    """Group, later column and cross-product of every touch, sorted."""
    q = shape[f][0]
    n_later = max((starts[h] + shape[h][0] * shape[h][1] for h in starts), default=0)
    groups, columns, values = [], [], []
    for h, (g, e) in touches.items():
        pairs = pairs_of(products, f, h)
        qh, nh = shape[h]
        block = np.zeros((q, qh, len(g)))
        key = g * nh + e
        sort = np.argsort(key, kind="stable")
        own = pairs.first * nh + pairs.second
        block[:, :, sort[np.searchsorted(key, own, sorter=sort)]] = pairs.blocks
        for b in range(qh):
            groups.append(g)
            columns.append(starts[h] + b * nh + e)
            values.append(block[:, b])
    if not groups:
        none = np.zeros(0, dtype=np.int64)
        return none, none, np.zeros((q, 0))
    group, column = np.concatenate(groups), np.concatenate(columns)
    sort = np.argsort(group * n_later + column, kind="stable")
    return group[sort], column[sort], np.concatenate(values, axis=1)[:, sort]


@dataclass(frozen=True, eq=False)
class _Places:
    """Where a product of two later columns goes."""

    shape: list[tuple[int, int]]
    starts: dict[int, int]
    order: list[int]
    lists: list[tuple[Ints, Ints, Array]]
    at_within: list[int]
    at_values: list[int]
    first_core: int
    core_size: int
    at_core: int
    n_later: int

    def of(self, c1: Ints, c2: Ints) -> Ints:
        """Places of products with c1 <= c2."""
        a, b = c1 - self.first_core, c2 - self.first_core
        out = self.at_core + a * self.core_size + b
        for s in range(1, len(self.order)):
            f = self.order[s]
            q, n = self.shape[f]
            low = self.starts[f]
            mine = (c1 >= low) & (c1 < low + q * n)
            if not mine.any():
                continue
            r, g = (c1[mine] - low) // n, (c1[mine] - low) % n
            other = c2[mine]
            inside = other < low + q * n
            within = self.at_within[s] + (r * q + (other - low) // n) * n + g
            group, column, _ = self.lists[s]
            touch = np.searchsorted(
                group * self.n_later + column, g * self.n_later + other
            )
            value = self.at_values[s] + r * len(group) + touch
            out[mine] = np.where(inside, within, value)
        return out


def _stage(place: _Places, s: int, at_within: int, at_values: int) -> Stage:
    group, column, values = place.lists[s]
    f = place.order[s]
    q, n = place.shape[f]
    left, right = _products(group)
    c1, c2 = column[left], column[right]
    # The blocks of later stages are kept whole, so both halves are written; of the
    # core only the upper triangle is.
    in_core = c1 >= place.first_core
    mirror = np.zeros(len(c1), dtype=bool)
    for later in place.order[s + 1 :]:
        low = place.starts[later]
        high = low + place.shape[later][0] * place.shape[later][1]
        mirror |= (c1 >= low) & (c2 < high) & (c1 != c2)
    target = place.of(c1, c2)
    double = np.where(in_core & (c1 != c2), 2.0, 1.0)
    if mirror.any():
        low_c = c1[mirror]
        target = np.concatenate([target, _mirrored(place, s, low_c, c2[mirror])])
        left, right = (
            np.concatenate([left, right[mirror]]),
            np.concatenate([right, left[mirror]]),
        )
        double = np.concatenate([double, np.ones(int(mirror.sum()))])
    share = np.ones(len(left))
    share[: len(mirror)][mirror] = share[len(mirror) :] = 0.5
    at = (np.arange(q)[:, None] * n + group).ravel()
    rows = np.tile(column, q)
    order = np.lexsort((at, rows))
    counts = np.bincount(rows, minlength=place.n_later)
    pointer = np.concatenate([[0], np.cumsum(counts)])
    shape = (place.n_later, q * n)
    sparse = csr_array((values.ravel()[order], at[order], pointer), shape=shape)
    sparse_t = csc_array(
        (sparse.data, sparse.indices, sparse.indptr), shape=shape[::-1], copy=False
    )
    return Stage(
        f, n, q, group, column, left, right, target, double, share, order, sparse,
        sparse_t, values,
        place.starts.get(f, -1), at_within, at_values,
    )  # fmt: skip


def _mirrored(place: _Places, s: int, c1: Ints, c2: Ints) -> Ints:
    """Places of the transposed entries within a later stage's own blocks."""
    out = np.zeros(len(c1), dtype=np.int64)
    for t in range(s + 1, len(place.order)):
        f = place.order[t]
        q, n = place.shape[f]
        low = place.starts[f]
        mine = (c1 >= low) & (c1 < low + q * n)
        a, b = (c1[mine] - low) // n, (c2[mine] - low) // n
        out[mine] = place.at_within[t] + (b * q + a) * n + (c1[mine] - low) % n
    return out


def _products(group: Ints) -> tuple[Ints, Ints]:
    """All pairs of touches of one group, each once (and each with itself)."""
    n = len(group)
    if n == 0:
        return group, group
    last = np.searchsorted(group, group, side="right")
    counts = last - np.arange(n)
    left = np.repeat(np.arange(n), counts)
    begin = np.cumsum(counts) - counts
    return left, left + np.arange(len(left)) - begin[left]


def _fill_core(
    products: CrossProducts,
    shape: list[tuple[int, int]],
    starts: dict[int, int],
    core: tuple[int, ...],
    first_core: int,
    flat: Array,
) -> None:
    """Write the core's own cross-products in its upper triangle."""
    size = round(len(flat) ** 0.5)
    matrix = flat.reshape(size, size)
    for i, f in enumerate(core):
        q, n = shape[f]
        low = starts[f] - first_core
        here = np.arange(n)
        for a in range(q):
            for b in range(a, q):
                matrix[low + a * n + here, low + b * n + here] = products.within[f][
                    a, b
                ]
        for h in core[i + 1 :]:
            pairs = pairs_of(products, f, h)
            high = starts[h] - first_core
            for a in range(q):
                for b in range(shape[h][0]):
                    matrix[
                        low + a * n + pairs.first,
                        high + b * shape[h][1] + pairs.second,
                    ] = pairs.blocks[a, b]
