"""What a fit would be without one group: leave-one-community-out influence."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analyses.lmm.design import Array, Ints, RandomTerm, make_design
from analyses.lmm.errors import LmmError
from analyses.lmm.fit import Fit, fit_design

__all__ = ["Influence", "leave_one_out"]


@dataclass(frozen=True, eq=False)
class Influence:
    """Fits without each group in turn; NaN where no fit is possible without it.

    Attributes:
        groups: Codes of the groups left out.
        beta: Fixed effects without the group, groups x p.
        dfbetas: Change of each fixed effect over its standard error without the
            group.
        cook: Change of all fixed effects together, in the metric of their
            covariance, over p.
        sd: For each term, standard deviations without the group, groups x q.
        sigma: Without the group.
    """

    groups: Ints
    beta: Array
    dfbetas: Array
    cook: Array
    sd: tuple[Array, ...]
    sigma: Array


def leave_one_out(fit: Fit, factor: str) -> Influence:
    """Fit anew without each group of a factor in turn.

    Args:
        fit: The fit.
        factor: Name of a grouping factor of the model, such as `community`.

    Raises:
        LmmError: The model has no such factor.

    Source:
        Nieuwenhuis, te Grotenhuis and Pelzer (2012), R Journal 4(2); every fit is
        complete, variances included.
    """
    design = fit.design
    named = [t for t in design.terms if t.name == factor]
    if not named:
        raise LmmError(f"The model has no grouping factor {factor}.")
    codes = named[0].codes
    groups = np.unique(codes)
    k, p = len(groups), len(fit.beta)
    beta, errors = np.full((k, p), np.nan), np.full((k, p), np.nan)
    sds = tuple(np.full((k, t.n_columns), np.nan) for t in design.terms)
    sigma = np.full(k, np.nan)
    start = np.where(np.abs(fit.start) < 0.1, 0.1, fit.start)
    for i, group in enumerate(groups):
        kept = codes != group
        try:
            rest = make_design(
                design.y[kept], design.x[kept],
                [_kept(t, kept) for t in design.terms],
                weights=None if design.weights is None else design.weights[kept],
                x_names=design.x_names,
            )  # fmt: skip
        except LmmError:
            continue
        again = fit_design(rest, reml=fit.reml, start=start)
        beta[i], errors[i], sigma[i] = again.beta, again.std_errors, again.sigma
        for out, covariance in zip(sds, again.covariances, strict=True):
            out[i] = np.sqrt(np.diag(covariance))
    change = fit.beta - beta
    solved = np.linalg.solve(fit.vcov, change.T).T
    cook = np.einsum("ij,ij->i", change, solved) / p
    return Influence(groups, beta, change / errors, cook, sds, sigma)


def _kept(term: RandomTerm, kept: Array) -> RandomTerm:
    return RandomTerm(
        term.name, term.codes[kept], term.n_groups, term.z[kept], term.correlated,
        term.column_names,
    )  # fmt: skip
