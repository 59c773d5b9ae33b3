"""Is a variance more than 0? Tests on the boundary, never by a plain chi-square."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analyses.lmm.design import Array, Design, make_design
from analyses.lmm.errors import LmmError
from analyses.lmm.fit import LOG_2PI, Fit, fit_design, refit
from analyses.lmm.rows import simulate

__all__ = ["VarianceTest", "variance_test"]

EXACT_GROUPS = 3000
GRID = 200


@dataclass(frozen=True)
class VarianceTest:
    """A likelihood ratio test of one term's variance against 0.

    Attributes:
        statistic: Twice the gain in (restricted) log-likelihood.
        p_value: Share of the null distribution at or above it.
        method: "exact" (one component, simulated from its spectral form) or
            "bootstrap".
        n: Draws from the null.
    """

    statistic: float
    p_value: float
    method: str
    n: int


def variance_test(
    fit: Fit, term: int, *, n: int | None = None, seed: int = 1
) -> VarianceTest:
    """Test that all effects of a term are 0 in every group.

    Args:
        fit: A fit with the term; restricted in REML, plain otherwise.
        term: Place of the term in the model.
        n: Draws; 10,000 by default where the null is exact, else 1,000.
        seed: Of the draws.

    Returns:
        The test. The exact null distribution serves models with this one variance
        component; others take the parametric bootstrap from the model without the
        term.

    Source:
        Crainiceanu and Ruppert (2004), doi 10.1111/j.1467-9868.2004.00438.x.
    """
    design = fit.design
    if not 0 <= term < len(design.terms):
        raise LmmError(f"The model has {len(design.terms)} random terms; found {term}.")
    single = len(design.terms) == 1 and design.terms[0].n_columns == 1
    if len(design.terms) == 1:
        statistic = max(
            _least_squares_criterion(design, design.y, reml=fit.reml) - fit.criterion,
            0.0,
        )
        if single and design.terms[0].n_groups <= EXACT_GROUPS:
            draws = _exact_null(fit, n or 10_000, seed)
            share = float(np.mean(draws >= statistic)) if statistic > 0.0 else 1.0
            return VarianceTest(statistic, share, "exact", len(draws))
        draws = _bootstrap_least_squares(fit, n or 1000, seed)
    else:
        rest = [t for i, t in enumerate(design.terms) if i != term]
        smaller = make_design(
            design.y, design.x, rest, weights=design.weights, x_names=design.x_names
        )
        null = fit_design(smaller, reml=fit.reml)
        statistic = max(null.criterion - fit.criterion, 0.0)
        responses = simulate(null, n or 1000, seed=seed)
        draws = np.maximum(
            refit(null, responses).criterion - refit(fit, responses).criterion, 0.0
        )
    at_or_above = int(np.sum(draws >= statistic - 1e-9))
    p_value = (1.0 + at_or_above) / (len(draws) + 1.0)
    return VarianceTest(statistic, p_value, "bootstrap", len(draws))


def _least_squares_criterion(design: Design, y: Array, *, reml: bool) -> float:
    """Criterion of the model without random effects."""
    _, _, scale = design.response(y[:, None])
    n, p = design.n_rows, design.n_fixed
    m = n - p if reml else n
    variance = float(scale[0]) ** 2 * n / m
    out = m * (1.0 + LOG_2PI + float(np.log(variance))) - design.sum_log_weights
    if reml:
        out += 2.0 * float(np.log(np.abs(np.diag(design.r))).sum())
    return out


def _bootstrap_least_squares(fit: Fit, n: int, seed: int) -> Array:
    design = fit.design
    _, centre, scale = design.response(design.y[:, None])
    random = np.random.default_rng(seed)
    noise = random.standard_normal((design.n_rows, n)) * float(scale[0])
    responses = (design.q @ centre) + noise
    if design.root is not None:
        responses = responses / design.root[:, None]
    full = refit(fit, responses).criterion
    null = [_least_squares_criterion(design, y, reml=fit.reml) for y in responses.T]
    return np.maximum(np.array(null) - full, 0.0)


def _exact_null(fit: Fit, n: int, seed: int) -> Array:
    """Draws of the (restricted) LRT of one variance, from its eigenvalues."""
    products = fit.objective.products
    c, fixed = products.within[0][0, 0], products.fixed[0][0, :-1]
    n_rows = products.n_rows
    p = len(fixed)
    mu = np.linalg.eigvalsh(np.diag(c) - fixed.T @ fixed)
    mu = np.maximum(mu, 0.0)
    k = min(len(mu), n_rows - p)
    mu = np.sort(mu)[::-1][:k]
    for_logs = mu if fit.reml else np.sort(c)[::-1]
    m = n_rows - p if fit.reml else n_rows
    grid = np.concatenate([[0.0], np.exp(np.linspace(-12.0, 12.0, GRID))])
    grid[1:] /= max(float(for_logs.max()), 1e-300)
    share = 1.0 / (1.0 + np.outer(mu, grid))
    penalty = np.log1p(np.outer(for_logs, grid)).sum(axis=0)
    random = np.random.default_rng(seed)
    out = []
    for start in range(0, n, 1000):
        size = min(1000, n - start)
        squares = random.standard_normal((size, k)) ** 2
        rest = random.chisquare(n_rows - p - k, size) if n_rows - p > k else 0.0
        whole = squares.sum(axis=1) + rest
        shrunk = squares @ share + np.reshape(rest, (-1, 1))
        ratio = m * np.log(whole[:, None] / shrunk) - penalty
        out.append(np.maximum(ratio.max(axis=1), 0.0))
    return np.concatenate(out)
