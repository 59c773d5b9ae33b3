"""A plain dense linear mixed model: the covariance of all rows, written out.

Slow and short; it shares no code with the engine and stands on the textbook's
formulas alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import block_diag

from analyses.lmm.design import Array, RandomTerm


@dataclass(frozen=True)
class Dense:
    """Everything that follows from y, X and V."""

    beta: Array
    vcov: Array
    sigma: float
    criterion: float
    effects: Array
    effect_cov: Array
    leverage: Array
    fitted: Array


def indicator(term: RandomTerm) -> Array:
    """Columns of all effects of a term, group by group."""
    n, q = term.z.shape
    out = np.zeros((n, term.n_groups * q))
    for a in range(q):
        out[np.arange(n), term.codes * q + a] = term.z[:, a]
    return out


def lambda_of(terms: Sequence[RandomTerm], theta: Array) -> list[Array]:
    """Lower triangles, column by column."""
    out, at = [], 0
    for term in terms:
        q = term.n_columns
        lam = np.zeros((q, q))
        for b in range(q):
            for a in range(b, q) if term.correlated else [b]:
                lam[a, b] = theta[at]
                at += 1
        out.append(lam)
    return out


def relative_covariance(
    terms: Sequence[RandomTerm], theta: Array, weights: Array | None, n: int
) -> Array:
    """V over the residual variance."""
    v = np.diag(np.ones(n) if weights is None else 1.0 / weights)
    for term, lam in zip(terms, lambda_of(terms, theta), strict=True):
        z = indicator(term)
        v += z @ np.kron(np.eye(term.n_groups), lam @ lam.T) @ z.T
    return v


def dense_fit(
    y: Array,
    x: Array,
    terms: Sequence[RandomTerm],
    theta: Array,
    *,
    reml: bool,
    weights: Array | None = None,
) -> Dense:
    """Generalised least squares at a given theta."""
    n, p = x.shape
    m = n - p if reml else n
    v = relative_covariance(terms, theta, weights, n)
    inverse = np.linalg.inv(v)
    information = x.T @ inverse @ x
    beta: Array = np.asarray(np.linalg.solve(information, x.T @ inverse @ y), float)
    rest = y - x @ beta
    variance = float(rest @ inverse @ rest) / m
    criterion = np.linalg.slogdet(v)[1] + m * (1 + np.log(2 * np.pi * variance))
    if reml:
        criterion += np.linalg.slogdet(information)[1]
    z = np.hstack([indicator(t) for t in terms])
    g = block_diag(
        *[
            np.kron(np.eye(t.n_groups), lam @ lam.T)
            for t, lam in zip(terms, lambda_of(terms, theta), strict=True)
        ]
    )
    projection = inverse - inverse @ x @ np.linalg.solve(information, x.T @ inverse)
    effects = g @ z.T @ projection @ y
    covariance = variance * (g - g @ z.T @ inverse @ z @ g)
    residual = np.diag(np.ones(n) if weights is None else 1.0 / weights)
    hat = np.eye(n) - residual @ projection
    return Dense(
        beta, variance * np.linalg.inv(information), float(np.sqrt(variance)),
        float(criterion), effects, covariance, np.diag(hat), hat @ y,
    )  # fmt: skip


def dense_kenward_roger(
    x: Array, terms: Sequence[RandomTerm], theta: Array, weights: Array | None = None
) -> tuple[Array, Array]:
    """Adjusted over unadjusted covariance pieces, with n x n matrices throughout.

    Returns:
        The adjusted covariance over the residual variance and the degrees of freedom
        of each fixed effect.
    """
    n, p = x.shape
    inverse = np.linalg.inv(relative_covariance(terms, theta, weights, n))
    directions = []
    for term in terms:
        z, q = indicator(term), term.n_columns
        for a in range(q):
            for b in range(a, q) if term.correlated else [a]:
                unit = np.zeros((q, q))
                unit[a, b] = unit[b, a] = 1.0
                directions.append(z @ np.kron(np.eye(term.n_groups), unit) @ z.T)
    directions.append(np.diag(np.ones(n) if weights is None else 1.0 / weights))
    phi: Array = np.asarray(np.linalg.inv(x.T @ inverse @ x), dtype=np.float64)
    halves = [inverse @ g for g in directions]
    moved = [-(x.T @ h @ inverse @ x) for h in halves]
    k = len(halves)
    information, mixed = np.zeros((k, k)), np.zeros((k, k, p, p))
    for s in range(k):
        for t in range(k):
            mixed[s, t] = x.T @ halves[s] @ halves[t] @ inverse @ x
            information[s, t] = (
                np.sum(halves[s] * halves[t].T)
                - 2.0 * np.trace(phi @ mixed[s, t])
                + np.trace(phi @ moved[s] @ phi @ moved[t])
            )
    weights_w = 2.0 * np.linalg.inv(information)
    bias = np.zeros((p, p))
    for s in range(k):
        for t in range(k):
            bias += weights_w[s, t] * (mixed[s, t] - moved[s] @ phi @ moved[t])
    df = []
    for row in np.eye(p):
        slopes = np.array([row @ phi @ m @ phi @ row for m in moved])
        df.append(2.0 * (row @ phi @ row) ** 2 / (slopes @ weights_w @ slopes))
    return phi + 2.0 * phi @ bias @ phi, np.array(df)
