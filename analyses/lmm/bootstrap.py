"""Parametric and cluster bootstrap.

The parametric one draws outcomes from the fitted model and fits them all in one
pass over the design; the cluster one draws whole groups of a factor with
replacement and needs no normality.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analyses.lmm.covariance import term_lambdas
from analyses.lmm.design import Array, Ints, RandomTerm, make_design
from analyses.lmm.errors import LmmError
from analyses.lmm.fit import Fit, Refits, fit_design, refit
from analyses.lmm.rows import simulate

__all__ = ["Bootstrap", "bootstrap", "cluster_bootstrap"]

CHUNK = 200  # outcomes drawn at once, which bounds the memory


@dataclass(frozen=True, eq=False)
class Bootstrap:
    """Fits to drawn data.

    Attributes:
        beta: n x p.
        sd: For each term n x q standard deviations.
        correlation: For each term n x q x q.
        sigma: n.
        is_singular: n.
        n_failed: Draws that could not be fitted (cluster bootstrap only).
    """

    beta: Array
    sd: tuple[Array, ...]
    correlation: tuple[Array, ...]
    sigma: Array
    is_singular: Array
    n_failed: int

    def interval(self, draws: Array, *, level: float = 0.95) -> Array:
        """Percentile interval of draws along their first axis, 2 x ..."""
        tail = 0.5 - level / 2.0
        return np.quantile(draws, [tail, 1.0 - tail], axis=0)


def bootstrap(fit: Fit, *, n: int = 1000, seed: int = 1) -> Bootstrap:
    """Parametric bootstrap: draw from the fit, fit again.

    Args:
        fit: The fit.
        n: Draws.
        seed: Of the draws.
    """
    parts = []
    for start in range(0, n, CHUNK):
        size = min(CHUNK, n - start)
        seeds = np.random.SeedSequence([seed, start]).generate_state(1)
        parts.append(refit(fit, simulate(fit, size, seed=int(seeds[0]))))
    terms = fit.design.terms
    return _gathered(terms, parts, n_failed=0)


def cluster_bootstrap(
    fit: Fit, factor: str, *, n: int = 1000, seed: int = 1
) -> Bootstrap:
    """Draw whole groups of a factor with replacement and fit again.

    Args:
        fit: The fit.
        factor: Name of the term whose groups are drawn; a group drawn twice counts
            as two groups in it and in every factor nested in it.
        n: Draws.
        seed: Of the draws.
    """
    design = fit.design
    named = [t for t in design.terms if t.name == factor]
    if not named:
        raise LmmError(f"The model has no grouping factor {factor}.")
    outer = named[0]
    used = np.unique(outer.codes)
    rows = {int(g): np.flatnonzero(outer.codes == g) for g in used}
    random = np.random.default_rng(seed)
    parts, failed = [], 0
    for _ in range(n):
        chosen = random.choice(used, len(used))
        index = np.concatenate([rows[int(g)] for g in chosen])
        copy = np.repeat(np.arange(len(used)), [len(rows[int(g)]) for g in chosen])
        try:
            drawn = make_design(
                design.y[index],
                design.x[index],
                [_drawn(t, outer, index, copy) for t in design.terms],
                weights=None if design.weights is None else design.weights[index],
                x_names=design.x_names,
            )
        except LmmError:
            failed += 1
            continue
        again = fit_design(drawn, reml=fit.reml)
        parts.append(
            Refits(
                again.theta[None],
                np.array([again.sigma]),
                again.beta[None],
                again.std_errors[None],
                np.array([again.criterion]),
                np.array([again.is_singular]),
                np.array([again.record.converged]),
                np.array([again.record.evaluations]),
            )
        )
    if not parts:
        raise LmmError(f"No draw of the groups of {factor} could be fitted.")
    return _gathered(design.terms, parts, n_failed=failed)


def _drawn(term: RandomTerm, outer: RandomTerm, index: Ints, copy: Ints) -> RandomTerm:
    """A term on drawn rows; groups inside a drawn group are new groups each time."""
    codes = term.codes[index]
    pairs = np.unique(term.codes * outer.n_groups + outer.codes)
    inside = len(pairs) == len(np.unique(term.codes))
    if inside:
        _, codes = np.unique(codes * (copy.max() + 1) + copy, return_inverse=True)
    return RandomTerm(
        term.name,
        codes,
        int(codes.max()) + 1,
        term.z[index],
        term.correlated,
        term.column_names,
    )


def _gathered(
    terms: tuple[RandomTerm, ...], parts: list[Refits], *, n_failed: int
) -> Bootstrap:
    theta = np.concatenate([p.theta for p in parts])
    sigma = np.concatenate([p.sigma for p in parts])
    beta = np.concatenate([p.beta for p in parts])
    singular = np.concatenate([p.is_singular for p in parts])
    draws = [term_lambdas(terms, row) for row in theta]
    sds, correlations = [], []
    for i in range(len(terms)):
        lam = np.stack([d[i] for d in draws])
        covariance = lam @ lam.swapaxes(1, 2)
        root = np.sqrt(np.einsum("naa->na", covariance))
        sds.append(sigma[:, None] * root)
        safe = np.where(root > 0.0, root, np.inf)
        correlations.append(covariance / (safe[:, :, None] * safe[:, None, :]))
    return Bootstrap(beta, tuple(sds), tuple(correlations), sigma, singular, n_failed)
