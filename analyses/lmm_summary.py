"""The printed summary of a linear mixed model, in the layout this field reads.

Text alone: groups, variances, SD and correlations; numbers of rows and groups;
fixed effects with their degrees of freedom; notes on what to mind.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from analyses.coding import Array
from analyses.lmm_inference import FittedModel

__all__ = ["notes", "summary_text"]

_METHODS = {
    "kenward-roger": "Kenward-Roger's",
    "satterthwaite": "Satterthwaite's",
    "z": "no degrees of freedom: z",
}


def notes(model: FittedModel, ddf: str | None = None) -> tuple[str, ...]:
    """Sentences that a reader of the fit must know, and what to try."""
    found: list[str] = []
    fit, design = model.engine, model.design
    if design.n_dropped:
        found.append(
            f"{design.n_dropped} of {design.n_dropped + fit.n_obs} rows were left out "
            "because a column that the model uses is missing there."
        )
    if not fit.record.converged:
        found.append(
            f"The fit did not converge ({fit.record.why}); its numbers are not to be "
            "trusted. Try numbers on similar scales, fewer random slopes, or || in "
            "place of |."
        )
    if fit.is_singular:
        found.append(
            f"The fit is singular: the variance of {', '.join(fit.record.at_zero)} is "
            "estimated as 0 (or follows from the others). With few groups this is "
            "usual; the term may stay, or be left out."
        )
    method = model.method(ddf)
    if fit.is_singular and method == "satterthwaite":
        found.append(
            "On a singular fit Satterthwaite's df of effects that vary between groups "
            "can be far too large; use ddf='kenward-roger'"
            + ("." if fit.reml else " with reml=True.")
        )
    if ddf is None and method == "satterthwaite":
        reason = (
            "it would need more memory than its limit"
            if fit.reml
            else "the fit is by plain likelihood"
        )
        found.append(f"Kenward-Roger's method was not used: {reason}.")
    if method == "z":
        found.append("z tests are too liberal where groups are few.")
    return tuple(found)


def summary_text(
    model: FittedModel, *, tests: pl.DataFrame, ddf: str | None, level: float
) -> str:
    """The summary.

    Args:
        model: The fitted model.
        tests: Rows of the fixed effects, by the method.
        ddf: The method asked for.
        level: Of the intervals.
    """
    fit, design = model.engine, model.design
    method = model.method(ddf)
    kind = "REML" if fit.reml else "maximum likelihood"
    tail = f"t-tests use {_METHODS[method]} method"
    head = f"Linear mixed model fit by {kind}. " + (
        tail if method != "z" else "Tests are z tests"
    )
    lines = [head, f"Formula: {design.formula}"]
    if design.weights_column:
        lines.append(f"Weights: {design.weights_column}")
    name = "REML criterion at convergence" if fit.reml else "Deviance at convergence"
    lines += [
        "",
        f"{name}: {fit.criterion:.4f}",
        f"AIC {fit.aic:.2f}, BIC {fit.bic:.2f}, logLik {fit.log_likelihood:.4f}",
        "",
        "Random effects:",
        *_random_lines(model),
        _counts(model),
        "",
        f"Fixed effects ({level:.0%} intervals):",
        *_fixed_lines(tests),
    ]
    factors = [
        f"{name} ({', '.join(levels)})" for name, levels in design.levels.items()
    ]
    if factors:
        lines += ["", f"Levels, the reference first: {'; '.join(factors)}"]
    found = notes(model, ddf)
    if found:
        lines += ["", "Notes:", *(f"- {note}" for note in found)]
    return "\n".join(lines) + "\n"


def _random_lines(model: FittedModel) -> list[str]:
    rows: list[list[str]] = []
    fit = model.engine
    for part, covariance in zip(model.design.random, fit.covariances, strict=True):
        for a, name in enumerate(part.coding.names):
            own = [part.name if a == 0 else "", name]
            own += [_number(covariance[a, a]), _number(np.sqrt(covariance[a, a]))]
            rows.append([*own, *(_correlation(covariance, a, b) for b in range(a))])
    rows.append(["Residual", "", _number(fit.sigma**2), _number(fit.sigma)])
    has_correlations = any(len(row) > 4 for row in rows)
    header = ["Groups", "Name", "Variance", "Std.Dev."]
    return _table([*header, "Corr"] if has_correlations else header, rows, left=2)


def _correlation(covariance: Array, a: int, b: int) -> str:
    size = float(np.sqrt(covariance[a, a] * covariance[b, b]))
    return f"{covariance[a, b] / size:.2f}" if size > 0.0 else "NaN"


def _counts(model: FittedModel) -> str:
    groups = {r.name: r.groups.n_levels for r in model.design.random}
    parts = "; ".join(f"{name}, {count}" for name, count in groups.items())
    return f"Number of obs: {model.engine.n_obs}, groups: {parts}"


def _fixed_lines(tests: pl.DataFrame) -> list[str]:
    header = ["", "Estimate", "Std. Error", "df", "t value", "Pr(>|t|)", "low", "high"]
    has_beside = "df_kenward_roger" in tests.columns
    rows = []
    for row in tests.iter_rows(named=True):
        df = f"{row['df']:.2f}" if np.isfinite(row["df"]) else "Inf"
        cells = [
            row["term"],
            _number(row["estimate"]),
            _number(row["std_error"]),
            df,
            f"{row['statistic']:.3f}",
            _p_value(row["p_value"]),
            _number(row["conf_low"]),
            _number(row["conf_high"]),
        ]
        rows.append([*cells, f"{row['df_kenward_roger']:.2f}"] if has_beside else cells)
    return _table([*header, "df (K-R)"] if has_beside else header, rows, left=1)


def _number(value: float) -> str:
    return (
        f"{value:.4f}" if 1e-3 <= abs(value) < 1e5 or value == 0.0 else f"{value:.3e}"
    )


def _p_value(p: float) -> str:
    return "< 0.0001" if p < 1e-4 else f"{p:.4f}"


def _table(header: list[str], rows: Sequence[list[str]], *, left: int) -> list[str]:
    width = max(len(r) for r in [header, *rows])
    filled = [r + [""] * (width - len(r)) for r in [header, *rows]]
    sizes = [max(len(r[j]) for r in filled) for j in range(width)]
    return [
        " " + " ".join(
            c.ljust(s) if j < left else c.rjust(s)
            for j, (c, s) in enumerate(zip(r, sizes, strict=True))
        ).rstrip()
        for r in filled
    ]  # fmt: skip
