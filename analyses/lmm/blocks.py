"""Small blocks, one per group, all at once: groups run along the last axis.

With C the cross-products of a group and Psi the relative covariance of its effects,
everything follows from J = (I + Psi C)^-1: it exists for a singular Psi as well, so
a variance of 0 needs no special case.
"""

from __future__ import annotations

import numpy as np

from analyses.lmm.design import Array

__all__ = ["inverse_blocks", "transposed_left"]


def inverse_blocks(within: Array, psi: Array) -> tuple[Array, float]:
    """J of every group and the sum of log |I + Psi C|.

    Args:
        within: C, q x q x groups, symmetric, non-negative.
        psi: Relative covariance, q x q.

    Returns:
        J (q x q x groups) and the log-determinant.
    """
    q = len(psi)
    if q == 1:
        det = 1.0 + psi[0, 0] * within[0]
        return 1.0 / det[None], float(np.log(det).sum())
    if q == 2:
        c00, c01, c11 = within[0, 0], within[0, 1], within[1, 1]
        p00, p01, p11 = psi[0, 0], psi[0, 1], psi[1, 1]
        out = np.empty_like(within)
        np.add(p01 * c01, 1.0 + p11 * c11, out=out[0, 0])
        np.add(p01 * c01, 1.0 + p00 * c00, out=out[1, 1])
        np.add(-p00 * c01, -p01 * c11, out=out[0, 1])
        np.add(-p01 * c00, -p11 * c01, out=out[1, 0])
        det = out[0, 0] + out[1, 1]
        det += (p00 * p11 - p01 * p01) * (c00 * c11 - c01 * c01) - 1.0
        out /= det
        return out, float(np.log(det).sum())
    whole = np.eye(q) + psi @ within.transpose(2, 0, 1)
    _, logs = np.linalg.slogdet(whole)
    inverse = np.linalg.inv(whole).transpose(1, 2, 0)
    return np.ascontiguousarray(inverse), float(logs.sum())


def transposed_left(blocks: Array, values: Array) -> Array:
    """Transposed blocks times values.

    Args:
        blocks: q x q x ..., such as q x q x 1 x groups.
        values: q x ..., such as q x m x groups.
    """
    if len(blocks) == 1:
        only: Array = blocks[0, 0] * values[0]
        return only[None]
    out = np.empty_like(values)
    for a in range(len(blocks)):
        np.multiply(blocks[0, a], values[0], out=out[a])
        for b in range(1, len(blocks)):
            out[a] += blocks[b, a] * values[b]
    return out
