"""Shares of variance and standardised effects: ICC, R2, effects over the total SD.

With random slopes the variance between groups depends on time; here it is averaged
over the observed rows (Johnson 2014), and the result says so.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from scipy.stats import t as student_t

from analyses.coding import Array
from analyses.lmm.covariance import term_lambdas
from analyses.lmm_inference import FittedModel, Inference

__all__ = ["RSquared", "averaging_note", "icc", "r_squared", "standardise"]

_STEP = 1e-5


@dataclass(frozen=True)
class RSquared:
    """Nakagawa's shares of explained variance.

    Attributes:
        marginal: By the fixed part.
        conditional: By the fixed and the random part.
        variance_fixed: Of the fixed part's predictions.
        variance_random: Of all random terms, averaged over the rows.
        variance_residual: At weight 1.
        note: How variances of random slopes were averaged.
    """

    marginal: float
    conditional: float
    variance_fixed: float
    variance_random: float
    variance_residual: float
    note: str


def averaging_note(model: FittedModel) -> str:
    """Whether variances are averages over the observed rows."""
    slopes = [str(r.spec) for r in model.design.random if r.coding.names[1:]]
    slopes += [
        str(r.spec)
        for r in model.design.random
        if len(r.coding.names) == 1 and r.coding.names[0] != "(Intercept)"
    ]
    if not slopes:
        return ""
    return (
        f"With {', '.join(slopes)} the variance between groups is averaged over the "
        "observed rows (Johnson 2014)."
    )


def term_variances(model: FittedModel, theta: Array, sigma: float) -> Array:
    """Variance that each random term adds to a row, averaged over the rows."""
    lambdas = term_lambdas(model.engine.design.terms, theta)
    found = [
        float(np.sum((lam @ lam.T) * gram))
        for lam, gram in zip(lambdas, _grams(model), strict=True)
    ]
    return sigma**2 * np.array(found)


def _grams(model: FittedModel) -> list[Array]:
    terms = model.engine.design.terms
    return [t.z.T @ t.z / len(t.z) for t in terms]


def icc(model: FittedModel) -> pl.DataFrame:
    """Share of the variance around the fixed part that lies between groups.

    Columns: group, variance, icc; one row per grouping factor, then the residual.
    The correlation of two answers from the same group of a level is the sum of the
    shares of that level and of those that it is nested in.

    Source:
        Nakagawa, Johnson and Schielzeth (2017), doi 10.1098/rsif.2017.0213.
    """
    fit = model.engine
    by_group: dict[str, float] = {}
    own = term_variances(model, fit.theta, fit.sigma)
    for part, variance in zip(model.design.random, own, strict=True):
        by_group[part.name] = by_group.get(part.name, 0.0) + float(variance)
    by_group["Residual"] = fit.sigma**2
    total = sum(by_group.values())
    return pl.DataFrame(
        {
            "group": list(by_group),
            "variance": list(by_group.values()),
            "icc": [v / total for v in by_group.values()],
            "note": [averaging_note(model)] * len(by_group),
        }
    )


def r_squared(model: FittedModel) -> RSquared:
    """Marginal and conditional R2.

    Source:
        Nakagawa and Schielzeth (2013); Johnson (2014), doi 10.1111/2041-210X.12225.
    """
    fit = model.engine
    fixed = float(np.var(model.design.x @ fit.beta, ddof=1))
    random = float(term_variances(model, fit.theta, fit.sigma).sum())
    residual = fit.sigma**2
    total = fixed + random + residual
    return RSquared(
        marginal=fixed / total,
        conditional=(fixed + random) / total,
        variance_fixed=fixed,
        variance_random=random,
        variance_residual=residual,
        note=averaging_note(model),
    )


def standardise(
    model: FittedModel, inference: Inference, contrasts: Array, *, level: float
) -> pl.DataFrame:
    """Contrasts over the total SD (all random terms and the residual).

    The interval allows for both the contrast's and the SD's uncertainty (delta
    method), with the contrast's degrees of freedom.

    Args:
        model: The fitted model.
        inference: How contrasts are tested.
        contrasts: k x p.
        level: Of the intervals.

    Source:
        Hedges (2007), doi 10.3102/1076998606298043, for the total SD.
    """
    fit = model.engine
    parameters = np.append(fit.theta, fit.sigma)

    def total(values: Array) -> float:
        sigma = float(values[-1])
        return float(term_variances(model, values[:-1], sigma).sum()) + sigma**2

    variance = total(parameters)
    source = model.inference("satterthwaite").source
    covariance = getattr(source, "parameter_cov", np.zeros((len(parameters),) * 2))
    steps = _STEP * np.maximum(np.abs(parameters), 1e-3)
    slopes = np.array(
        [
            (total(parameters + step) - total(parameters - step)) / (2.0 * step.sum())
            for step in np.diag(steps)
        ]
    )
    relative = float(slopes @ covariance @ slopes) / (4.0 * variance**2)
    rows = inference.rows(contrasts)
    sd = float(np.sqrt(variance))
    estimate = rows.estimate / sd
    std_error = np.sqrt((rows.std_error / sd) ** 2 + estimate**2 * relative)
    half = std_error * student_t.isf(0.5 - level / 2.0, rows.df)
    k = len(estimate)
    frame = pl.DataFrame(
        {
            "estimate": estimate,
            "std_error": std_error,
            "df": rows.df,
            "df_method": [inference.method] * k,
            "conf_low": estimate - half,
            "conf_high": estimate + half,
            "total_sd": [sd] * k,
            "note": [averaging_note(model)] * k,
        }
    )
    beside = model.beside(contrasts, inference.method)
    return frame if beside is None else frame.with_columns(beside)
