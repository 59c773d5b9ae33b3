"""The way back through an evaluation: derivatives in each factor's Lambda.

Reverse differentiation of the elimination in `objective`: each step turns the
derivative in what it wrote into the derivative in what it read.
"""

from __future__ import annotations

import numpy as np

from analyses.lmm.design import Array
from analyses.lmm.layout import Stage
from analyses.lmm.passes import CorePass, Forward, StagePass

__all__ = ["core_gradient", "stage_gradient", "total_bar"]


def total_bar(at: Forward, x_weight: float, rss_weight: float) -> Array:
    """Derivative in the matrix of fixed columns and outcome left over."""
    v = np.append(-at.beta, 1.0)
    out = rss_weight * np.outer(v, v)
    if x_weight and len(at.beta):
        out[:-1, :-1] += x_weight * at.x_inverse
    return out


def core_gradient(
    slices: list[tuple[int, slice, int]],
    at: Forward,
    core: CorePass,
    total: Array,
    det_weight: float,
    out: list[Array],
) -> None:
    """Derivative in Lambda of each core factor."""
    moved = core.rest @ total
    for f, columns, n in slices:
        lam = at.lambdas[f]
        q = len(lam)
        logs = np.empty((q, q))
        scaled = core.scaled[columns].reshape(q, n, -1)
        inverse = core.inverse[columns].reshape(q, n, -1)
        for a in range(q):
            for b in range(q):
                logs[a, b] = np.vdot(scaled[a], inverse[b])
        rest = core.rest[columns].reshape(q, n, -1)
        bar = np.einsum("agm,bgm->ab", moved[columns].reshape(q, n, -1), rest)
        out[f] = 2.0 * (det_weight * logs - bar @ lam)


def stage_gradient(
    stage: Stage,
    done: StagePass,
    at: Forward,
    total: Array,
    state: Array,
    fixed: Array,
    det_weight: float,
) -> Array:
    """Derivative in a stage's Lambda; later stages also pass theirs on."""
    q = stage.n_columns
    pulled = np.matmul(total, done.j_fixed)
    psi_bar = np.zeros((q, q))
    for c in range(q):
        psi_bar += done.within[:, c] @ done.j[c].T
    psi_bar *= det_weight
    product_bar = None
    if len(stage.group):
        product_bar = -state.take(stage.target) * stage.double
        pulled += _by_group(stage.touching_t(done.j_values) @ fixed.T, q)
        j_right = done.j_values.take(stage.right, axis=1)
        j_left = done.j_values.take(stage.left, axis=1)
        psi_bar += (j_left * product_bar) @ j_right.T
    psi_bar -= pulled.reshape(q, -1) @ done.j_fixed.reshape(q, -1).T
    if stage.at_within >= 0:
        _pass_on(stage, done, total, state, fixed, det_weight, product_bar, at)
    lam: Array = (psi_bar + psi_bar.T) @ at.lambdas[stage.factor]
    return lam


def _by_group(columns: Array, q: int) -> Array:
    """From (q groups) x m to q x m x groups."""
    parts = columns.reshape(q, -1, columns.shape[1]).swapaxes(1, 2)
    return np.ascontiguousarray(parts)


def _pass_on(
    stage: Stage,
    done: StagePass,
    total: Array,
    state: Array,
    fixed: Array,
    det_weight: float,
    product_bar: Array | None,
    at: Forward,
) -> None:
    """Derivatives in a later stage's own blocks, touches and fixed columns."""
    q, n, m = stage.n_columns, stage.n_groups, len(total)
    n_blocks = np.einsum("abg,bc->acg", done.j, at.psi[stage.factor])
    moved = np.matmul(total, done.n_fixed)
    fixed_bar = -2.0 * moved
    within_bar = det_weight * n_blocks
    within_bar += np.einsum("akg,bkg->abg", done.n_fixed, moved)
    values_bar = np.zeros((q, len(stage.group)))
    if product_bar is not None:
        pulled = _by_group(stage.touching_t(done.n_values) @ fixed.T, q)
        fixed_bar -= pulled
        cross = np.einsum("akg,bkg->abg", pulled, done.n_fixed)
        within_bar += 0.5 * (cross + cross.swapaxes(0, 1))
        n_left = done.n_values.take(stage.left, axis=1)
        n_right = done.n_values.take(stage.right, axis=1)
        where = stage.group[stage.left]
        later = fixed[:, stage.column]
        for a in range(q):
            values_bar[a] = np.bincount(
                stage.left, product_bar * n_right[a], len(stage.group)
            )
            values_bar[a] += np.bincount(
                stage.right, product_bar * n_left[a], len(stage.group)
            )
            own = done.n_fixed[a].take(stage.group, axis=1)
            values_bar[a] -= np.einsum("kt,kt->t", own, later)
            for b in range(q):
                share = n_left[a] * n_right[b] + n_left[b] * n_right[a]
                share *= 0.5 * product_bar
                within_bar[a, b] -= np.bincount(where, share, n)
    state[stage.at_within : stage.at_within + q * q * n] = within_bar.ravel()
    end = stage.at_values + values_bar.size
    state[stage.at_values : end] = values_bar.ravel()
    columns = slice(stage.first_column, stage.first_column + q * n)
    fixed[:, columns] = fixed_bar.swapaxes(0, 1).reshape(m, -1)
