"""Satterthwaite's degrees of freedom in (theta, sigma), as lmerTest computes them.

The gradient of a contrast's variance and the Hessian of the deviance are taken in
all of theta and in sigma; both come from central differences (fourth order) of
analytic first derivatives.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analyses.lmm.covariance import Covariance
from analyses.lmm.design import Array
from analyses.lmm.fit import Fit

__all__ = ["Satterthwaite", "Wald", "satterthwaite", "wald_rows"]

STEP = 1e-3


@dataclass(frozen=True)
class Wald:
    """A joint test of the rows of a contrast matrix.

    Attributes:
        statistic: F.
        df_num: Rank of the contrasts.
        df_den: Denominator degrees of freedom.
    """

    statistic: float
    df_num: int
    df_den: float


@dataclass(frozen=True, eq=False)
class Satterthwaite:
    """What the degrees of freedom of any contrast follow from.

    Attributes:
        beta: Fixed effects.
        vcov: Their covariance, p x p.
        jacobian: Derivative of `vcov` in each of (theta, sigma), k x p x p.
        parameter_cov: Covariance of (theta, sigma), k x k.
        hessian: Second derivatives of the deviance in (theta, sigma).
    """

    beta: Array
    vcov: Array
    jacobian: Array
    parameter_cov: Array
    hessian: Array

    def df(self, contrasts: Array) -> Array:
        """Degrees of freedom of single contrasts.

        Args:
            contrasts: One per row, k x p.
        """
        rows = np.atleast_2d(np.asarray(contrasts, dtype=np.float64))
        variance = np.einsum("ki,ij,kj->k", rows, self.vcov, rows)
        slopes = np.einsum("ki,tij,kj->kt", rows, self.jacobian, rows)
        return matched_df(variance, slopes, self.parameter_cov)

    def f_test(self, contrasts: Array) -> Wald:
        """F test of several contrasts at once (Fai and Cornelius, as lmerTest)."""
        rows = np.atleast_2d(np.asarray(contrasts, dtype=np.float64))
        values, vectors = np.linalg.eigh(rows @ self.vcov @ rows.T)
        kept = values > max(1e-14, 1e-10 * float(values[-1]))
        independent = vectors[:, kept].T @ rows
        squares = (independent @ self.beta) ** 2 / values[kept]
        count = int(kept.sum())
        df = self.df(independent)
        return Wald(float(squares.sum() / count), count, _pooled(df))


def matched_df(variance: Array, slopes: Array, parameter_cov: Array) -> Array:
    """Df of the chi-square that matches the moments of an estimated variance.

    Args:
        variance: Variance of each of k contrasts.
        slopes: Its derivatives in the m covariance parameters, k x m.
        parameter_cov: Covariance of those parameters, m x m.
    """
    spread = np.einsum("ks,st,kt->k", slopes, parameter_cov, slopes)
    with np.errstate(divide="ignore"):
        out: Array = np.where(spread > 0.0, 2.0 * variance**2 / spread, np.inf)
    return out


def wald_rows(fit: Fit, contrasts: Array) -> tuple[Array, Array]:
    """Estimates and unadjusted standard errors of contrasts, k each."""
    rows = np.atleast_2d(np.asarray(contrasts, dtype=np.float64))
    errors = np.sqrt(np.einsum("ki,ij,kj->k", rows, fit.vcov, rows))
    return rows @ fit.beta, errors


def satterthwaite(fit: Fit) -> Satterthwaite:
    """Prepare Satterthwaite's degrees of freedom for a fit.

    Source:
        Kuznetsova, Brockhoff and Christensen (2017), doi 10.18637/jss.v082.i13.

    Examples:
        >>> from analyses.lmm.design import RandomTerm
        >>> from analyses.lmm.fit import fit_arrays
        >>> codes = np.repeat(np.arange(6), 5)
        >>> y = np.repeat([3.0, 5.0, 4.0, 8.0, 1.0, 6.0], 5) + np.tile(np.arange(5), 6)
        >>> term = RandomTerm("batch", codes, 6, np.ones((30, 1)))
        >>> fit = fit_arrays(y, np.ones((30, 1)), [term])
        >>> [round(float(d), 4) for d in satterthwaite(fit).df(np.ones((1, 1)))]
        [5.0]
    """
    design, p = fit.design, fit.design.n_fixed
    covariance, objective = Covariance(design), fit.objective
    back = np.linalg.inv(design.r)
    m = design.n_rows - p if fit.reml else design.n_rows
    x_weight, sigma = float(fit.reml), fit.sigma / fit.scale
    k = len(covariance)

    def point(theta: Array) -> tuple[Array, float, Array]:
        at = objective.forward(covariance.own_lambdas(theta))
        bars = objective.backward(at, x_weight=x_weight, rss_weight=sigma**-2)
        return covariance.own_gradient(bars), at.rss, at.x_inverse

    steps = STEP * _units(covariance, fit.theta)
    hessian, jacobian = np.zeros((k + 1, k + 1)), np.zeros((k + 1, p, p))
    for i in range(k):
        shift = np.zeros(k)
        shift[i] = steps[i]
        near, far = (
            [point(fit.theta + s * c * shift) for s in (1.0, -1.0)] for c in (1.0, 2.0)
        )
        parts = [
            (8.0 * (a - b) - (c - d)) / (12.0 * steps[i])
            for a, b, c, d in zip(*near, *far, strict=True)
        ]
        hessian[i, :k] = parts[0]
        hessian[i, k] = hessian[k, i] = -2.0 * float(parts[1]) / sigma**3
        jacobian[i] = fit.sigma**2 * back @ parts[2] @ back.T
    hessian[:k, :k] = 0.5 * (hessian[:k, :k] + hessian[:k, :k].T)
    at = objective.forward(covariance.own_lambdas(fit.theta))
    hessian[k, k] = -2.0 * m / sigma**2 + 6.0 * at.rss / sigma**4
    hessian[k] /= fit.scale
    hessian[:, k] /= fit.scale
    jacobian[k] = 2.0 / fit.sigma * fit.vcov
    units = np.append(steps / STEP, fit.sigma)
    return Satterthwaite(
        fit.beta, fit.vcov, jacobian, 2.0 * _pseudo_inverse(hessian, units), hessian
    )


def _units(covariance: Covariance, theta: Array) -> Array:
    """A natural length of each theta: 1 over the size of its column."""
    inverse = [np.abs(f.inverse).max(axis=1) for f in covariance.design.factors]
    unit = np.array([inverse[f][a] for f, a, _ in covariance.places])
    out: Array = np.maximum(unit, np.abs(theta))
    return out


def _pseudo_inverse(hessian: Array, units: Array) -> Array:
    """Inverse where the deviance curves upwards; flat directions carry nothing."""
    values, vectors = np.linalg.eigh(hessian * np.outer(units, units))
    kept = values > 1e-8 * max(float(values[-1]), 1e-300)
    part = vectors[:, kept] * units[:, None]
    out: Array = (part / values[kept]) @ part.T
    return out


def _pooled(df: Array) -> float:
    """Denominator df whose F has the mean of the sum of squared t's."""
    if len(df) == 1 or np.ptp(df) < 1e-8:
        return float(df.mean())
    if np.any(df <= 2.0):
        return 2.0
    expected = float(np.sum(df / (df - 2.0))) if np.all(np.isfinite(df)) else np.nan
    if np.isnan(expected):
        finite = df[np.isfinite(df)]
        expected = float(np.sum(finite / (finite - 2.0))) + len(df) - len(finite)
    return 2.0 * expected / (expected - len(df))
