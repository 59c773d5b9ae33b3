"""Expected information of theta, from the blocks of one evaluation.

Each factor is taken by itself (the others enter through its blocks only), and the
residual variance is profiled out. Good enough for the first steps of a search; the
exact second derivatives of inference are elsewhere.
"""

from __future__ import annotations

import numpy as np

from analyses.lmm.covariance import Covariance
from analyses.lmm.design import Array
from analyses.lmm.objective import Objective
from analyses.lmm.passes import Forward

__all__ = ["expected_curvature"]


def expected_curvature(
    objective: Objective, covariance: Covariance, at: Forward, m: int
) -> Array:
    """Approximate Hessian of the profiled deviance in transformed theta.

    Args:
        objective: The objective.
        covariance: The map of theta.
        at: An evaluation.
        m: Degrees of freedom of the residual variance.

    Returns:
        A positive definite matrix.
    """
    k = len(covariance)
    out, mixed = np.zeros((k, k)), np.zeros(k)
    blocks = _blocks(objective, at)
    places = covariance.places
    changes = []
    for f, a, b in places:
        change = np.zeros_like(at.lambdas[f])
        change[a] += at.lambdas[f][:, b]
        change[:, a] += at.lambdas[f][:, b]
        changes.append(change)
    for f, own in enumerate(blocks):
        flat = own.reshape(-1, own.shape[2])
        squares = (flat @ flat.T).reshape(*own.shape[:2], *own.shape[:2])
        sums = own.sum(axis=2)
        mine = [i for i in range(k) if places[i][0] == f]
        for i in mine:
            mixed[i] = np.vdot(sums, changes[i])
            half = np.einsum("abcd,bc->ad", squares, changes[i])
            for j in mine:
                out[i, j] = np.vdot(half.T, changes[j])
    profiled = out - np.outer(mixed, mixed) / m
    values, vectors = np.linalg.eigh(profiled)
    floor = 1e-3 * np.diag(out).min() + 1e-8
    kept: Array = (vectors * np.maximum(values, floor)) @ vectors.T
    return kept


def _blocks(objective: Objective, at: Forward) -> list[Array]:
    """Diagonal blocks of Z'V^-1 Z (V over the residual variance), by factor."""
    out = [np.zeros(0)] * len(at.lambdas)
    for stage, done in zip(objective.layout.stages, at.stages, strict=True):
        own = np.einsum("acg,cbg->abg", done.within, done.j)
        out[stage.factor] = 0.5 * (own + own.swapaxes(0, 1))
    if at.core is not None:
        for f, columns, n in objective.core_slices():
            q = len(at.lambdas[f])
            scaled = at.core.scaled[columns].reshape(q, n, -1)
            inverse = at.core.inverse[columns].reshape(q, n, -1)
            half = np.einsum("agr,bgr->abg", scaled, inverse)
            lam = at.lambdas[f]
            if np.abs(np.diag(lam)).min() > 1e-8:
                own = np.einsum("abg,bc->acg", half, np.linalg.inv(lam))
            else:
                whole = at.core.s[columns]
                pulled = (whole @ at.core.n).reshape(q, n, -1)
                rows = whole.reshape(q, n, -1)
                own = -np.einsum("agr,bgr->abg", pulled, rows)
                own += _diagonal(whole[:, columns], q, n)
            out[f] = 0.5 * (own + own.swapaxes(0, 1))
    return out


def _diagonal(matrix: Array, q: int, n: int) -> Array:
    """Blocks of a (q n) x (q n) matrix that belong to one group, q x q x n."""
    out: Array = np.einsum("agbg->abg", matrix.reshape(q, n, q, n))
    return out
