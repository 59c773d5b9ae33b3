"""Kenward and Roger's covariance of the fixed effects and degrees of freedom.

As pbkrtest, in the linear covariance parameters (zero components kept), but on
blocks: no matrix here has rows for its side. With M = Z'V^-1 Z every trace is a sum
of products of entries of M. For the largest factor M is block-diagonal minus a
product through the other factors' r columns, so the work is a few r x r products.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analyses.lmm.covariance import Covariance
from analyses.lmm.design import Array
from analyses.lmm.errors import LmmError
from analyses.lmm.fit import Fit
from analyses.lmm.layout import make_layout
from analyses.lmm.objective import Objective
from analyses.lmm.satterthwaite import Wald, matched_df
from analyses.lmm.traces import TraceParts, trace_parts

__all__ = ["KenwardRoger", "kenward_roger", "memory_estimate"]


@dataclass(frozen=True, eq=False)
class KenwardRoger:
    """The adjusted covariance, and what degrees of freedom follow from.

    Attributes:
        beta: Fixed effects.
        vcov: Adjusted covariance, p x p.
        unadjusted: Covariance before adjustment, p x p.
        weights: Covariance of the covariance parameters, k x k, relative scale.
        moved: Derivatives of the inverse covariance of beta, k x p x p, relative
            scale.
        phi: Unadjusted covariance, relative scale.
        to_inner: Maps a contrast's row to the scale of `phi` and `moved`.
    """

    beta: Array
    vcov: Array
    unadjusted: Array
    weights: Array
    moved: Array
    phi: Array
    to_inner: Array

    def df(self, contrasts: Array) -> Array:
        """Degrees of freedom of single contrasts.

        Args:
            contrasts: One per row, k x p.
        """
        rows = np.atleast_2d(np.asarray(contrasts, dtype=np.float64)) @ self.to_inner
        half = rows @ self.phi
        variance = np.einsum("ki,ki->k", half, rows)
        slopes = np.einsum("ki,tij,kj->kt", half, self.moved, half)
        return matched_df(variance, slopes, self.weights)

    def f_test(self, contrasts: Array) -> Wald:
        """F test of several contrasts at once, scaled as Kenward and Roger do."""
        given = np.atleast_2d(np.asarray(contrasts, dtype=np.float64))
        _, sizes, right = np.linalg.svd(given, full_matrices=False)
        kept = sizes > 1e-10 * sizes[0]
        full = right[kept]
        inner = full @ self.to_inner
        q = len(full)
        df, scaling = self._denominator(inner, q)
        estimate = full @ self.beta
        solved = np.linalg.solve(full @ self.vcov @ full.T, estimate)
        return Wald(float(scaling * (estimate @ solved) / q), q, df)

    def _denominator(self, rows: Array, q: int) -> tuple[float, float]:
        """Denominator df and the factor of F (Kenward and Roger 1997, section 3)."""
        phi = self.phi
        theta = rows.T @ np.linalg.solve(rows @ phi @ rows.T, rows)
        shares = np.array([theta @ phi @ p @ phi for p in self.moved])
        traces = np.einsum("tii->t", shares)
        a1 = float(traces @ self.weights @ traces)
        a2 = float(np.einsum("st,sij,tji->", self.weights, shares, shares))
        if a2 <= 0.0:
            return np.inf, 1.0
        b = (a1 + 6.0 * a2) / (2.0 * q)
        g = ((q + 1) * a1 - (q + 4) * a2) / ((q + 2) * a2)
        bottom = 3.0 * q + 2.0 * (1.0 - g)
        c1, c2, c3 = g / bottom, (q - g) / bottom, (q + 2 - g) / bottom
        v0, v1, v2 = 1.0 + c1 * b, 1.0 - c2 * b, 1.0 - c3 * b
        v0 = 0.0 if abs(v0) < 1e-10 else v0
        top = 1.0 - a2 / q
        ratio = 1.0 if abs(top) < 1e-14 and abs(v1) < 1e-14 else top / v1
        rho = ratio**2 * v0 / v2 / q
        df = 4.0 + (q + 2) / (q * rho - 1.0)
        scaling = 1.0 if abs(df - 2.0) < 1e-2 else df * top / (df - 2.0)
        return df, scaling


def memory_estimate(fit: Fit) -> int:
    """Bytes that `kenward_roger` needs at its peak, mostly dense r x r matrices."""
    sizes = [(f.n_groups, f.n_groups * f.n_columns) for f in fit.design.factors]
    groups, effects = max(sizes)
    q = effects // groups
    r = sum(size for _, size in sizes) - effects
    return 8 * r * r * (10 + 2 * q * q)


def kenward_roger(fit: Fit, *, memory_limit: int = 2_000_000_000) -> KenwardRoger:
    """Kenward-Roger inference for a REML fit.

    Args:
        fit: A REML fit.
        memory_limit: Bytes not to exceed.

    Raises:
        LmmError: The fit is not REML, or the memory estimate exceeds the limit
            (several large crossed factors); Satterthwaite is then the choice.

    Source:
        Kenward and Roger (1997), doi 10.2307/2533558; Halekoh and Hojsgaard (2014),
        doi 10.18637/jss.v059.i09.

    Examples:
        >>> from analyses.lmm.design import RandomTerm
        >>> from analyses.lmm.fit import fit_arrays
        >>> codes = np.repeat(np.arange(6), 5)
        >>> y = np.repeat([3.0, 5.0, 4.0, 8.0, 1.0, 6.0], 5) + np.tile(np.arange(5), 6)
        >>> term = RandomTerm("batch", codes, 6, np.ones((30, 1)))
        >>> fit = fit_arrays(y, np.ones((30, 1)), [term])
        >>> [round(float(d), 4) for d in kenward_roger(fit).df(np.ones((1, 1)))]
        [5.0]
    """
    if not fit.reml:
        raise LmmError("Kenward-Roger inference needs a REML fit; this one is ML.")
    needed = memory_estimate(fit)
    if needed > memory_limit:
        raise LmmError(
            f"Kenward-Roger needs about {needed / 1e9:.1f} GB here, the limit is"
            f" {memory_limit / 1e9:.1f} GB; use Satterthwaite's degrees of freedom."
        )
    products = fit.objective.products
    objective = Objective(products, make_layout(products, max_stages=1))
    covariance = Covariance(fit.design)
    at = objective.forward(covariance.own_lambdas(fit.theta))
    parts = _with_residual(trace_parts(objective, at, covariance), at.x_inverse)
    phi = at.x_inverse
    moved, mixed = parts.moved, parts.mixed
    # IE2 of pbkrtest: the expected information of the covariance parameters.
    phi_p = np.einsum("ij,tjk->tik", phi, moved)
    information = parts.traces - 2.0 * np.einsum("ij,stji->st", phi, mixed)
    information += np.einsum("sij,tji->st", phi_p, phi_p)
    weights = 2.0 * _inverse(0.5 * (information + information.T))
    middle = mixed - np.einsum("sij,tjk->stik", moved, phi_p)
    bias = np.einsum("st,stij->ij", weights, middle)
    adjusted = phi + 2.0 * phi @ (0.5 * (bias + bias.T)) @ phi
    back: Array = np.asarray(np.linalg.inv(fit.design.r), dtype=np.float64)
    vcov = fit.sigma**2 * back @ adjusted @ back.T
    return KenwardRoger(
        fit.beta, 0.5 * (vcov + vcov.T), fit.vcov, weights, moved, phi, back
    )


def _inverse(information: Array) -> Array:
    """Inverse, or Moore-Penrose's where pbkrtest takes it.

    The parameters may differ in size by many orders (a slope's variance and an
    intercept's), so the matrix is scaled to a unit diagonal first.
    """
    size = np.sqrt(np.maximum(np.diag(information), 1e-300))
    values, vectors = np.linalg.eigh(information / np.outer(size, size))
    kept = np.abs(values) > 1e-12
    out = (vectors[:, kept] / values[kept]) @ vectors[:, kept].T
    scaled: Array = out / np.outer(size, size)
    return scaled


def _with_residual(parts: TraceParts, x_inverse: Array) -> TraceParts:
    """Add the residual variance as last parameter.

    V is the sum of its parameters times their matrices, the residual's being the
    identity, so its traces follow from the others'.
    """
    k, p = len(parts.values), len(x_inverse)
    psi = parts.values
    traces = np.zeros((k + 1, k + 1))
    traces[:k, :k] = parts.traces
    traces[:k, k] = traces[k, :k] = parts.single - parts.traces @ psi
    traces[k, k] = parts.n_rows - psi @ parts.single - psi @ traces[:k, k]
    moved = np.zeros((k + 1, p, p))
    moved[:k] = parts.moved
    moved[k] = -np.linalg.inv(x_inverse) - np.einsum("t,tij->ij", psi, parts.moved)
    mixed = np.zeros((k + 1, k + 1, p, p))
    mixed[:k, :k] = parts.mixed
    mixed[:k, k] = -parts.moved - np.einsum("t,stij->sij", psi, parts.mixed)
    mixed[k, :k] = mixed[:k, k].swapaxes(1, 2)
    mixed[k, k] = -moved[k] - np.einsum("t,tij->ij", psi, mixed[:k, k])
    return TraceParts(psi, parts.single, traces, moved, mixed, parts.n_rows)
