"""Random effects by the project's own engine: design in, fit out.

The only place where the pipeline's formulas meet ``analyses.lmm``: random terms
become arrays here, and the engine's findings become an ``ArrayFit``.
"""

from __future__ import annotations

from importlib import metadata

import numpy as np
import polars as pl

from analyses import formula
from analyses.array_fit import Array, ArrayFit, Component
from analyses.design import Design
from analyses.lmm.design import RandomTerm
from analyses.lmm.errors import LmmError
from analyses.lmm.fit import Fit, fit_arrays
from analyses.lmm.kenward_roger import kenward_roger, memory_estimate
from analyses.lmm.profile import profile
from analyses.lmm.satterthwaite import satterthwaite
from analyses.lmm_columns import grouping
from data_contracts.errors import ModelError
from data_contracts.study import DfMethod

__all__ = ["MEMORY_LIMIT", "fit_mixed", "random_terms"]

MEMORY_LIMIT = 2_000_000_000
"""Bytes that Kenward-Roger may take; above it Satterthwaite stands in, and says so."""

_INTERCEPT = "(Intercept)"
_MOST_ADJUSTED = 100.0
"""Largest ratio of an adjusted variance to the one that takes variances as known."""

_NAMES = {"kenward-roger": "Kenward-Roger", "satterthwaite": "Satterthwaite"}


def fit_mixed(
    design: Design, *, ddf: DfMethod, memory_limit: int = MEMORY_LIMIT
) -> ArrayFit:
    """Fit a design's random terms by REML, with small-sample inference.

    Args:
        design: Complete rows, coded; its formula has random terms.
        ddf: How degrees of freedom are found.
        memory_limit: Bytes that Kenward-Roger may take.

    Returns:
        The fit. With random slopes a group's variance is the one averaged over the
        observed rows (Johnson 2014, doi 10.1111/2041-210X.12225), and the note says
        so.

    Raises:
        ModelError: If the engine refuses the question; its sentence says why.
    """
    try:
        fit = fit_arrays(design.y, design.x, random_terms(design), x_names=design.terms)
    except LmmError as error:
        raise ModelError(
            f"The model of {design.outcome} cannot be fitted: {error}"
        ) from None
    notes: list[str] = []
    method = ddf
    need = memory_estimate(fit)
    if ddf == "kenward-roger" and need > memory_limit:
        method = "satterthwaite"
        notes.append(
            f"Kenward-Roger would need about {need / 1e9:.0f} GB, so degrees of "
            "freedom are Satterthwaite's."
        )
    inference = kenward_roger(fit) if method == "kenward-roger" else satterthwaite(fit)
    _refuse_hopeless(design, fit, inference.vcov)
    components = _components(fit)
    if any(not c.in_total for c in components):
        notes.append(
            "With random slopes the variance of a group is averaged over the observed "
            "times."
        )
    notes += _cautions(fit, method)
    return ArrayFit(
        beta=fit.beta,
        covariance=inference.vcov,
        df_of=inference.df,
        df_method=_NAMES[method],
        residual_df=float(fit.n_obs - len(fit.beta)),
        components=components,
        log_likelihood=fit.log_likelihood,
        converged=fit.record.converged,
        is_singular=fit.is_singular,
        engine=f"lcwaves {metadata.version('lcwaves')} mixed model, REML, "
        f"{_NAMES[method]} degrees of freedom",
        notes=tuple(notes),
    )


def random_terms(design: Design) -> list[RandomTerm]:
    """The random terms of a design as the engine takes them.

    Raises:
        ModelError: If a slope is not a number.
    """
    return [_term(design, term) for term in design.spec.random]


def _term(design: Design, term: formula.RandomTerm) -> RandomTerm:
    rows = design.rows
    groups = grouping(rows, term.group)
    columns = [np.ones(rows.height)] if term.intercept else []
    names = [_INTERCEPT] if term.intercept else []
    for slope in term.slopes:
        parts = slope.split(":")
        if any(not rows[c].dtype.is_numeric() for c in parts):
            raise ModelError(
                f"The model of {design.outcome} cannot be fitted: the slope {slope} in "
                f"{term} is not a number."
            )
        values = [rows[c].cast(pl.Float64).to_numpy() for c in parts]
        columns.append(np.prod(values, axis=0))
        names.append(slope)
    return RandomTerm(
        term.group_name,
        groups.codes,
        groups.n_levels,
        np.column_stack(columns),
        column_names=tuple(names),
    )


def _components(fit: Fit) -> tuple[Component, ...]:
    """Variances by group, slopes apart, the residual last."""
    intervals = {
        (p.term, *p.names): (p.low, p.high)
        for p in profile(fit)
        if p.kind in {"sd", "sigma"} and p.converged
    }
    groups: dict[str, Component] = {}
    slopes: list[Component] = []
    terms = zip(fit.design.terms, fit.covariances, strict=True)
    for i, (term, covariance) in enumerate(terms):
        variance = float(np.mean(np.einsum("ni,ij,nj->n", term.z, covariance, term.z)))
        before = groups.get(term.name)
        alone = before is None and term.column_names == (_INTERCEPT,)
        groups[term.name] = Component(
            term.name,
            variance + (before.variance if before is not None else 0.0),
            term.n_groups,
            sd_interval=intervals.get((i, _INTERCEPT)) if alone else None,
        )
        slopes += [
            Component(
                f"{term.name} | {name}",
                float(own),
                term.n_groups,
                in_total=False,
                sd_interval=intervals.get((i, name)),
            )
            for name, own in zip(term.column_names, np.diag(covariance), strict=True)
            if name != _INTERCEPT
        ]
    sigma = intervals.get((None,))
    residual = Component("residual", fit.sigma**2, fit.n_obs, sd_interval=sigma)
    return (*groups.values(), *slopes, residual)


def _refuse_hopeless(design: Design, fit: Fit, adjusted: Array) -> None:
    """Refuse where the adjustment for estimated variances swamps everything.

    It is a few percent in a sound design; where the data say next to nothing about
    a variance it is without bound, and so would be every interval.
    """
    ratio = np.diag(adjusted) / np.diag(fit.vcov)
    if not np.all(np.isfinite(ratio) & (ratio > 0.0) & (ratio < _MOST_ADJUSTED)):
        raise ModelError(
            f"The model of {design.outcome} cannot be fitted: the data say too little "
            "about the variances of its random terms for any interval; leave one of "
            "them out."
        )


def _cautions(fit: Fit, method: str) -> list[str]:
    """What the fit record says that a reader must know."""
    notes = []
    if fit.record.at_zero:
        effects = ", ".join(e.removesuffix(": (Intercept)") for e in fit.record.at_zero)
        notes.append(
            f"The variance of {effects} is estimated as 0 (singular fit): normal with "
            "few groups, and no proof that there is none."
        )
    elif fit.is_singular:
        notes.append(
            "Random effects are perfectly correlated (singular fit): the data cannot "
            "tell them apart; leave one of them out to see whether anything changes."
        )
    if fit.is_singular and method == "satterthwaite":
        notes.append(
            "On a singular fit Satterthwaite's degrees of freedom are far too many for "
            "anything that varies between communities; Kenward-Roger's are not."
        )
    if not fit.record.converged:
        notes.append(f"The fit did not converge: {fit.record.why}")
    return notes
