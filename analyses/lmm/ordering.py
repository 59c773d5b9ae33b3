"""Which factor is eliminated when: the largest first, then those nested around it."""

from __future__ import annotations

import numpy as np

from analyses.lmm.crossproducts import CrossProducts, Pairs
from analyses.lmm.design import Ints

__all__ = ["Links", "order_factors", "pairs_of"]

Links = tuple[Ints, Ints]


def pairs_of(products: CrossProducts, f: int, h: int) -> Pairs:
    """Meetings of two factors, the first one's groups first."""
    if f < h:
        return products.pairs[f, h]
    pairs = products.pairs[h, f]
    return Pairs(pairs.second, pairs.first, pairs.blocks.swapaxes(0, 1))


def order_factors(
    products: CrossProducts,
    shape: list[tuple[int, int]],
    sizes: list[int],
    *,
    small_core: int,
    max_stages: int | None,
) -> tuple[list[int], list[dict[int, Links]]]:
    """Order of the factors and, for each stage, which later groups it touches."""
    first = max(range(len(shape)), key=lambda f: (shape[f][1], sizes[f]))
    order, rest = [first], [f for f in range(len(shape)) if f != first]
    rest.sort(key=lambda f: (-shape[f][1], f))
    touches: list[dict[int, Links]] = [{h: _links(products, first, h) for h in rest}]
    while rest and sum(sizes[f] for f in rest) > small_core:
        if max_stages is not None and len(order) >= max_stages:
            break
        able = [
            k
            for k in rest
            if all(len(t[k][0]) == len(np.unique(t[k][0])) for t in touches)
        ]
        if not able:
            break
        k = max(able, key=lambda f: sizes[f])
        rest.remove(k)
        order.append(k)
        touches.append({h: _with_fill(products, shape, touches, k, h) for h in rest})
    return order + rest, touches


def _links(products: CrossProducts, f: int, h: int) -> Links:
    pairs = pairs_of(products, f, h)
    return pairs.first, pairs.second


def _with_fill(
    products: CrossProducts,
    shape: list[tuple[int, int]],
    touches: list[dict[int, Links]],
    k: int,
    h: int,
) -> Links:
    """Groups of h that groups of k touch once the earlier stages are gone."""
    n_h = shape[h][1]
    g, e = _links(products, k, h)
    keys = [g * n_h + e]
    for touched in touches:
        own, parents = touched[k]
        parent = np.full(int(own.max(initial=0)) + 1, -1, dtype=np.int64)
        parent[own] = parents
        inner, outer = touched[h]
        known = inner < len(parent)
        up = parent[inner[known]]
        keys.append((up * n_h + outer[known])[up >= 0])
    unique = np.unique(np.concatenate(keys))
    return unique // n_h, unique % n_h
