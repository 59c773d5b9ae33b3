"""Likelihood ratio tests of nested models, and the refusals of meaningless ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from scipy.stats import chi2

from analyses.coding import Array
from analyses.lmm.fit import refit
from analyses.lmm.rows import simulate
from analyses.lmm_columns import Ints
from analyses.lmm_inference import FittedModel
from data_contracts.errors import ModelError

__all__ = ["Comparison", "compare"]

_SEED = 7


@dataclass(frozen=True)
class Comparison:
    """A likelihood ratio test.

    Attributes:
        statistic: Twice the difference in log-likelihood, 0 or more.
        df: Difference in the number of parameters.
        p_value: By chi-square with these df, or the share of bootstrap draws.
        method: "chi-square" or "bootstrap".
        note: What to mind about it.
        smaller: The model nested in the other.
        larger: The other.
    """

    statistic: float
    df: int
    p_value: float
    method: str
    note: str
    smaller: FittedModel
    larger: FittedModel

    def tidy(self) -> pl.DataFrame:
        """Both models, the smaller first, the test beside the larger."""
        models = (self.smaller, self.larger)
        return pl.DataFrame(
            {
                "formula": [m.design.formula for m in models],
                "n_parameters": [m.engine.n_parameters for m in models],
                "AIC": [m.engine.aic for m in models],
                "BIC": [m.engine.bic for m in models],
                "AICc": [m.engine.aicc for m in models],
                "logLik": [m.engine.log_likelihood for m in models],
                "deviance": [m.engine.criterion for m in models],
                "statistic": [None, self.statistic],
                "df": [None, self.df],
                "p_value": [None, self.p_value],
                "method": [None, self.method],
                "note": ["", self.note],
            }
        )


def compare(
    one: FittedModel, other: FittedModel, *, n_bootstrap: int = 0, seed: int = 1
) -> Comparison:
    """Likelihood ratio test of two nested fits of the same rows.

    Chi-square is an approximation: too liberal for fixed effects where groups are
    few, too conservative for variances. The parametric bootstrap is neither: it
    draws from the smaller model and fits both to every draw.

    Args:
        one: A fit.
        other: Another, of the same outcome and rows; either may be the smaller.
        n_bootstrap: Draws of the parametric bootstrap; 0 takes chi-square.
        seed: Of the draws.

    Raises:
        ModelError: Fits of different rows, outcomes or weights; one by REML and one
            not; REML with different fixed parts; models that are not nested.
    """
    small, large = sorted((one, other), key=lambda m: m.engine.n_parameters)
    _refuse_other_data(small, large)
    a, b = small.engine, large.engine
    if a.reml != b.reml:
        raise ModelError(
            "One fit is by REML and the other by maximum likelihood, so their "
            "likelihoods cannot be compared; fit both with reml=False."
        )
    same_fixed = _spans(b.design.x, a.design.x) and _spans(a.design.x, b.design.x)
    if a.reml and not same_fixed:
        raise ModelError(
            "REML likelihoods of different fixed parts cannot be compared; fit both "
            "with reml=False."
        )
    df = b.n_parameters - a.n_parameters
    if df == 0 or not (_spans(b.design.x, a.design.x) and _random_nested(small, large)):
        raise ModelError(
            f"The models are not nested ({small.design.formula} in "
            f"{large.design.formula}); compare their AIC or BIC."
        )
    statistic = max(a.criterion - b.criterion, 0.0)
    p_value, note = float(chi2.sf(statistic, df)), _note(small, large)
    if n_bootstrap > 0:
        responses = simulate(a, n_bootstrap, seed=seed)
        draws = refit(a, responses).criterion - refit(b, responses).criterion
        beyond = int(np.sum(draws >= statistic - 1e-9))
        p_value = (1.0 + beyond) / (n_bootstrap + 1.0)
        note = f"{n_bootstrap} draws from the smaller model."
    return Comparison(
        statistic=statistic,
        df=df,
        p_value=p_value,
        method="bootstrap" if n_bootstrap > 0 else "chi-square",
        note=note,
        smaller=small,
        larger=large,
    )


def _refuse_other_data(one: FittedModel, other: FittedModel) -> None:
    a, b = one.design, other.design
    if a.outcome != b.outcome:
        raise ModelError(
            f"The fits are of different outcomes, {a.outcome} and {b.outcome}, so they "
            "cannot be compared."
        )
    same = np.array_equal(a.index, b.index) and np.array_equal(a.y, b.y)
    if not same:
        raise ModelError(
            f"The fits are of different rows ({len(a.y)} and {len(b.y)}), so their "
            "likelihoods cannot be compared; leave out rows with missing values in "
            "either model first."
        )
    x, y = a.weights, b.weights
    if (x is None) != (y is None) or (
        x is not None and y is not None and not np.array_equal(x, y)
    ):
        raise ModelError("The fits have different weights, so they cannot be compared.")


def _spans(larger: Array, smaller: Array) -> bool:
    """Whether every column of the smaller is a combination of the larger's."""
    if not smaller.shape[1]:
        return True
    if not larger.shape[1]:
        return False
    q = np.linalg.qr(larger)[0]
    rest = smaller - q @ (q.T @ smaller)
    rest -= q @ (q.T @ rest)
    size = np.linalg.norm(smaller, axis=0)
    return bool(np.all(np.linalg.norm(rest, axis=0) <= 1e-8 * size))


def _random_nested(small: FittedModel, large: FittedModel) -> bool:
    """Whether the smaller's covariances of the rows are among the larger's.

    The covariance of the rows is a sum of parameters times fixed matrices. Random
    bilinear forms u'Gv show whether each matrix of the smaller model is a
    combination of the larger's; no matrix of rows by rows is formed.
    """
    n = small.engine.n_obs
    count = 4 * (len(small.engine.theta) + len(large.engine.theta)) + 12
    draws = np.random.default_rng(_SEED)
    u, v = draws.standard_normal((2, n, count))
    return _spans(_forms(large, u, v), _forms(small, u, v))


def _forms(model: FittedModel, u: Array, v: Array) -> Array:
    """Forms u'Gv for every covariance parameter's G, and the residual's."""
    weights = model.design.weights
    scaled = v if weights is None else v / weights[:, None]
    columns = [np.einsum("nk,nk->k", u, scaled)]
    for term in model.engine.design.terms:
        left = _sums(term.codes, term.n_groups, term.z, u)
        right = _sums(term.codes, term.n_groups, term.z, v)
        q = term.n_columns
        for a in range(q):
            columns.append(np.einsum("gk,gk->k", left[a], right[a]))
            for b in range(a + 1, q) if term.correlated else ():
                both = np.einsum("gk,gk->k", left[a], right[b])
                both += np.einsum("gk,gk->k", left[b], right[a])
                columns.append(both)
    return np.column_stack(columns)


def _sums(codes: Ints, n_groups: int, z: Array, values: Array) -> list[Array]:
    """Sums of z times values by group, one matrix per column of z."""
    order = np.argsort(codes, kind="stable")
    counts = np.bincount(codes, minlength=n_groups)
    used = counts > 0
    starts = np.concatenate([[0], np.cumsum(counts[used])[:-1]])
    return [
        np.add.reduceat((column[:, None] * values)[order], starts, axis=0)
        for column in z.T
    ]


def _note(small: FittedModel, large: FittedModel) -> str:
    fixed = large.engine.n_parameters - len(large.engine.theta)
    same_random = fixed - (small.engine.n_parameters - len(small.engine.theta)) == (
        large.engine.n_parameters - small.engine.n_parameters
    )
    if same_random:
        return (
            "Chi-square is too liberal for fixed effects where groups are few; "
            "Kenward-Roger's F test is not."
        )
    return (
        "A variance of 0 lies on the boundary, where chi-square is too conservative; "
        "test_variance is not."
    )
