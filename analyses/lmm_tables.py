"""Tidy frames of a fitted mixed model's parts: variances, groups, rows, profiles.

Numbers come from the engine; here they get names. Tests of fixed effects are made
elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl

from analyses.coding import Array
from analyses.lmm.bootstrap import Bootstrap
from analyses.lmm.effects import RandomEffects
from analyses.lmm.influence import Influence
from analyses.lmm.profile import ProfiledParameter
from analyses.lmm.rows import RowDiagnostics
from analyses.lmm_inference import FittedModel

__all__ = [
    "augmented",
    "bootstrap_table",
    "glance_table",
    "influence_table",
    "profile_table",
    "random_effects_table",
    "variance_table",
]

_NAMES = {"group": pl.String, "term1": pl.String, "term2": pl.String}
_VARIANCES = {**_NAMES, "variance": pl.Float64, "sd": pl.Float64}


def variance_table(model: FittedModel) -> pl.DataFrame:
    """Variances and covariances, in lme4's order, the residual last.

    Columns: group, term1, term2, variance, sd; where term2 is not null the last two
    are the covariance and the correlation (null beside a variance of 0).
    """
    rows: list[tuple[object, ...]] = []
    fit = model.engine
    for part, covariance in zip(model.design.random, fit.covariances, strict=True):
        names = part.coding.names
        sd = np.sqrt(np.diag(covariance))
        rows += [
            (part.name, name, None, float(covariance[a, a]), float(sd[a]))
            for a, name in enumerate(names)
        ]
        for a, b in _pairs(len(names)):
            size = float(sd[a] * sd[b])
            found = float(covariance[a, b])
            correlation = found / size if size > 0.0 else None
            rows.append((part.name, names[a], names[b], found, correlation))
    rows.append(("Residual", None, None, fit.sigma**2, fit.sigma))
    return pl.DataFrame(rows, schema=_VARIANCES, orient="row")


def _pairs(count: int) -> Iterator[tuple[int, int]]:
    return ((a, b) for a in range(count) for b in range(a + 1, count))


def random_effects_table(
    model: FittedModel, effects: tuple[RandomEffects, ...]
) -> pl.DataFrame:
    """Predicted effects (BLUPs): group, level, term, estimate, std_error."""
    parts = [
        pl.DataFrame(
            {
                "group": [part.name] * (len(part.groups.labels) * len(names)),
                "level": [label for label in part.groups.labels for _ in names],
                "term": list(names) * len(part.groups.labels),
                "estimate": own.estimate.ravel(),
                "std_error": own.std_errors.ravel(),
            }
        )
        for part, own in zip(model.design.random, effects, strict=True)
        for names in [part.coding.names]
    ]
    return pl.concat(parts)


def glance_table(model: FittedModel) -> pl.DataFrame:
    """One row about the whole model, in broom's names."""
    fit = model.engine
    return pl.DataFrame(
        {
            "nobs": [fit.n_obs],
            "sigma": [fit.sigma],
            "logLik": [fit.log_likelihood],
            "criterion": [fit.criterion],
            "AIC": [fit.aic],
            "BIC": [fit.bic],
            "AICc": [fit.aicc],
            "df_residual": [fit.n_obs - fit.n_parameters],
            "REML": [fit.reml],
            "is_singular": [fit.is_singular],
            "converged": [fit.record.converged],
            "n_dropped": [model.design.n_dropped],
        }
    )


def augmented(model: FittedModel, rows: RowDiagnostics) -> pl.DataFrame:
    """One row per row used: its place in the frame given, fit and diagnostics."""
    return pl.DataFrame(
        {
            "row": model.design.index,
            model.design.outcome: model.design.y,
            "population": rows.population,
            "fitted": rows.fitted,
            "residual": rows.residual,
            "standardised": rows.standardised,
            "leverage": rows.leverage,
        }
    )


def profile_table(
    model: FittedModel, found: Sequence[ProfiledParameter]
) -> pl.DataFrame:
    """Profile intervals: group, term1, term2, estimate, conf_low, conf_high.

    Standard deviations, correlations where term2 is not null, and the residual's;
    estimates are by plain likelihood.
    """
    rows = []
    for p in found:
        group = "Residual" if p.term is None else model.design.random[p.term].name
        names: tuple[str | None, ...] = (*p.names, None, None)
        rows.append((group, *names[:2], p.kind, p.estimate, p.low, p.high, p.converged))
    schema = {
        **_NAMES,
        "parameter": pl.String,
        "estimate": pl.Float64,
        "conf_low": pl.Float64,
        "conf_high": pl.Float64,
        "converged": pl.Boolean,
    }
    return pl.DataFrame(rows, schema=schema, orient="row")


def bootstrap_table(model: FittedModel, found: Bootstrap, level: float) -> pl.DataFrame:
    """Percentile intervals of all parameters over bootstrap fits.

    Columns: parameter ("fixed", "sd", "correlation", "sigma"), group, term1, term2,
    estimate (of the fit), std_error (SD over draws), conf_low, conf_high.
    """
    fit = model.engine
    rows: list[tuple[object, ...]] = []

    def add(
        parameter: str, names: tuple[object, ...], estimate: float, draws: Array
    ) -> None:
        low, high = found.interval(draws, level=level)
        spread = float(np.std(draws, ddof=1)) if len(draws) > 1 else None
        rows.append((parameter, *names, estimate, spread, float(low), float(high)))

    for j, name in enumerate(model.design.coding.names):
        add("fixed", (None, name, None), float(fit.beta[j]), found.beta[:, j])
    for i, part in enumerate(model.design.random):
        covariance = fit.covariances[i]
        sd = np.sqrt(np.diag(covariance))
        names = part.coding.names
        for a, name in enumerate(names):
            add("sd", (part.name, name, None), float(sd[a]), found.sd[i][:, a])
        for a, b in _pairs(len(names)):
            size = float(sd[a] * sd[b])
            correlation = float(covariance[a, b]) / size if size > 0.0 else np.nan
            pair = (part.name, names[a], names[b])
            add("correlation", pair, correlation, found.correlation[i][:, a, b])
    add("sigma", ("Residual", None, None), fit.sigma, found.sigma)
    schema = {
        "parameter": pl.String,
        **_NAMES,
        "estimate": pl.Float64,
        "std_error": pl.Float64,
        "conf_low": pl.Float64,
        "conf_high": pl.Float64,
    }
    return pl.DataFrame(rows, schema=schema, orient="row")


def influence_table(
    model: FittedModel, found: Influence, labels: Sequence[str]
) -> pl.DataFrame:
    """Each fixed effect without each group in turn.

    Columns: level (left out), term, estimate (without it), dfbetas, cooks_distance
    (of the whole fixed part), sigma. Null where no fit is possible without it.
    """
    terms = model.design.coding.names
    p = len(terms)
    frame = pl.DataFrame(
        {
            "level": np.repeat([labels[g] for g in found.groups.tolist()], p).tolist(),
            "term": list(terms) * len(found.groups),
            "estimate": found.beta.ravel(),
            "dfbetas": found.dfbetas.ravel(),
            "cooks_distance": np.repeat(found.cook, p),
            "sigma": np.repeat(found.sigma, p),
        }
    )
    return frame.with_columns(pl.selectors.float().fill_nan(None))
