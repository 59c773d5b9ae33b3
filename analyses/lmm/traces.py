"""Traces and products that Kenward-Roger needs, in each covariance parameter.

A parameter is an entry (a, b) of the relative covariance of one factor; its matrix
in V is the sum over groups of z_a z_b' (and its transpose off the diagonal). E are
the diagonal blocks of the largest factor in Z'V1^-1 Z, V1 being V with this factor
alone, F its cross-products with the r columns of all others, H the covariance of
those columns given the rest; M = Z'V^-1 Z follows from the three.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy.sparse import csr_array

from analyses.lmm.covariance import Covariance
from analyses.lmm.design import Array
from analyses.lmm.objective import Objective
from analyses.lmm.passes import Forward

__all__ = ["TraceParts", "trace_parts"]

Entry = tuple[int, int, int]  # factor, a, b with a <= b


@dataclass(frozen=True, eq=False)
class TraceParts:
    """Kenward-Roger's pieces, all in V over the residual variance.

    Attributes:
        values: The parameters, k.
        single: tr(V^-1 G_s), k.
        traces: tr(V^-1 G_s V^-1 G_t), k x k.
        moved: -X'V^-1 G_s V^-1 X, k x p x p.
        mixed: X'V^-1 G_s V^-1 G_t V^-1 X, k x k x p x p.
        n_rows: Rows.
    """

    values: Array
    single: Array
    traces: Array
    moved: Array
    mixed: Array
    n_rows: int


def trace_parts(
    objective: Objective, at: Forward, covariance: Covariance
) -> TraceParts:
    """Compute all pieces for a one-stage layout.

    Args:
        objective: With one block-diagonal stage and the rest in the core.
        at: Its evaluation.
        covariance: Tells which entries are parameters.
    """
    chosen = sorted({(f, min(a, b), max(a, b)) for f, a, b in covariance.places})
    machine = _Machine(objective, at)
    k, p = len(chosen), len(at.x_inverse)
    single, traces = np.zeros(k), np.zeros((k, k))
    moved, mixed = np.zeros((k, p, p)), np.zeros((k, k, p, p))
    for s, one in enumerate(chosen):
        f, a, b = one
        twice = 1.0 if a == b else 2.0
        single[s] = twice * machine.single(f, a, b)
        for c, d in _ways(one):
            moved[s] -= machine.x_columns(f, c).T @ machine.x_columns(f, d)
        for t, other in enumerate(chosen[: s + 1]):
            value, block = 0.0, np.zeros((p, p))
            for (c, d), (e, g) in product(_ways(one), _ways(other)):
                value += machine.inner(f, other[0], (d, e), (c, g))
                block += machine.mixed(f, other[0], (c, d), (e, g))
            traces[s, t] = traces[t, s] = value
            mixed[s, t], mixed[t, s] = block, block.T
    values = np.array([at.psi[f][a, b] for f, a, b in chosen])
    return TraceParts(values, single, traces, moved, mixed, objective.products.n_rows)


def _ways(entry: Entry) -> list[tuple[int, int]]:
    _, a, b = entry
    return [(a, b)] if a == b else [(a, b), (b, a)]


class _Machine:
    """Entries of M = Z'V^-1 Z in the form that their sums need."""

    def __init__(self, objective: Objective, at: Forward) -> None:
        stage, done = objective.layout.stages[0], at.stages[0]
        self.first = stage.factor
        q, n, r = stage.n_columns, stage.n_groups, objective.layout.core_size
        self.e = np.einsum("acg,cbg->abg", done.within, done.j)
        self.d = np.zeros_like(self.e)
        self.columns = {
            f: (cut.start, count) for f, cut, count in objective.core_slices()
        }
        x1 = done.j_fixed[:, :-1].copy()
        self.memory: dict[tuple[int, ...], Array] = {}
        if at.core is None:
            self.x1 = x1.swapaxes(1, 2)
            return
        core = at.core
        self.h = core.n
        self.m22 = core.s - core.s @ core.n @ core.s
        self.k = np.eye(r) - core.n @ core.s
        self.x2 = core.rest[:, :-1]
        self.f = [
            csr_array((done.j_values[a], (stage.column, stage.group)), shape=(r, n))
            for a in range(q)
        ]
        for a in range(q):
            x1[a] -= (self.f[a].T @ core.solved[:, :-1]).T
        self.x1 = x1.swapaxes(1, 2)
        through = self.h[stage.column[stage.left], stage.column[stage.right]]
        group = stage.group[stage.left]
        other = stage.left != stage.right
        for a, b in product(range(q), range(q)):
            v, w = done.j_values[a], done.j_values[b]
            share = v[stage.left] * w[stage.right]
            share[other] += v[stage.right[other]] * w[stage.left[other]]
            self.d[a, b] = np.bincount(group, share * through, n)
        self.u = {
            (a, b): np.asarray((self.f[a] @ self.f[b].T).todense())
            for a, b in product(range(q), range(q))
        }
        self.hu = {key: self.h @ value for key, value in self.u.items()}
        self.fx = {
            (a, b): self.f[a] @ np.ascontiguousarray(self.x1[b])
            for a, b in product(range(q), range(q))
        }

    def _cut(self, f: int, a: int) -> slice:
        start, n = self.columns[f]
        return slice(start + a * n, start + (a + 1) * n)

    def single(self, f: int, a: int, b: int) -> float:
        """Sum over groups of M[(g, a), (g, b)]."""
        if f == self.first:
            return float(self.e[a, b].sum() - self.d[a, b].sum())
        return float(np.trace(self.m22[self._cut(f, a), self._cut(f, b)]))

    def x_columns(self, f: int, a: int) -> Array:
        """Rows of Z'V^-1 X for effect a of all groups, groups x p."""
        if f == self.first:
            own: Array = self.x1[a]
            return own
        return self.x2[self._cut(f, a)]

    def inner(self, f: int, h: int, bc: tuple[int, int], ad: tuple[int, int]) -> float:
        """Sum over groups of M[(g, b), (h, c)] M[(g, a), (h, d)]."""
        (b, c), (a, d) = bc, ad
        first = self.first
        if f == first and h == first:
            out = np.vdot(self.e[b, c], self.e[a, d])
            if self.columns:
                out -= np.vdot(self.e[b, c], self.d[a, d])
                out -= np.vdot(self.e[a, d], self.d[b, c])
                out += np.einsum("ij,ji->", self.hu[b, a], self.hu[d, c])
            return float(out)
        if f == first:
            moved = self._uk(b, a, h, d)
            return float(np.vdot(self.k[:, self._cut(h, c)], moved))
        if h == first:
            return self.inner(h, f, (c, b), (d, a))
        one = self.m22[self._cut(f, b), self._cut(h, c)]
        return float(np.vdot(one, self.m22[self._cut(f, a), self._cut(h, d)]))

    def _uk(self, b: int, a: int, h: int, d: int) -> Array:
        key = (b, a, h, d)
        if key not in self.memory:
            self.memory[key] = self.u[b, a] @ self.k[:, self._cut(h, d)]
        return self.memory[key]

    def mixed(self, f: int, h: int, ab: tuple[int, int], cd: tuple[int, int]) -> Array:
        """Sum over groups of x(g, a) M[(g, b), (h, c)] x(h, d)', p x p."""
        (a, b), (c, d) = ab, cd
        first = self.first
        if f == first and h == first:
            out: Array = (self.x1[a] * self.e[b, c][:, None]).T @ self.x1[d]
            if self.columns:
                out = out - self.fx[b, a].T @ (self.h @ self.fx[c, d])
            return out
        if f == first:
            right = self.k[:, self._cut(h, c)] @ self.x_columns(h, d)
            mixed: Array = self.fx[b, a].T @ right
            return mixed
        if h == first:
            return self.mixed(h, f, (d, c), (b, a)).T
        block = self.m22[self._cut(f, b), self._cut(h, c)]
        whole: Array = self.x_columns(f, a).T @ (block @ self.x_columns(h, d))
        return whole
