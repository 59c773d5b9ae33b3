"""Row by row: fitted values, residuals, leverage; and new outcomes from a fit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analyses.lmm.covariance import Covariance, term_lambdas
from analyses.lmm.design import Array
from analyses.lmm.effects import (
    MetCovariances,
    factor_columns,
    met_covariances,
    own_blocks,
    random_effects,
    solved_columns,
)
from analyses.lmm.fit import Fit
from analyses.lmm.layout import Layout

__all__ = ["RowDiagnostics", "row_diagnostics", "simulate"]


@dataclass(frozen=True, eq=False)
class RowDiagnostics:
    """One value for each row.

    Attributes:
        population: Prediction from the fixed effects alone.
        fitted: With the groups' effects.
        residual: Outcome minus `fitted`.
        leverage: Derivative of each fitted value in its own outcome, 0 to 1.
        standardised: Residual over its estimated standard deviation,
            sigma sqrt((1 - leverage) / weight).
    """

    population: Array
    fitted: Array
    residual: Array
    leverage: Array
    standardised: Array


def row_diagnostics(fit: Fit) -> RowDiagnostics:
    """Fitted values, residuals and leverage of every row.

    Source:
        Demidenko and Stukel (2005), doi 10.1002/sim.1974, for leverage in mixed
        models; the same as lme4's `hatvalues`.
    """
    design = fit.design
    population: Array = design.x @ fit.beta
    fitted = population.copy()
    for term, effects in zip(design.terms, random_effects(fit), strict=True):
        fitted += np.einsum("na,na->n", term.z, effects.estimate[term.codes])
    residual = design.y - fitted
    leverage = _leverage(fit)
    spread = fit.sigma * np.sqrt(np.maximum(1.0 - leverage, 1e-12))
    if design.weights is not None:
        spread = spread / np.sqrt(design.weights)
    return RowDiagnostics(population, fitted, residual, leverage, residual / spread)


def simulate(fit: Fit, n: int, *, seed: int) -> Array:
    """Draw outcomes from the fitted model, new effects and errors each.

    Args:
        fit: The fit.
        n: How many outcomes.
        seed: For numpy's default generator.

    Returns:
        Rows x n.
    """
    random = np.random.default_rng(seed)
    design = fit.design
    noise = np.full(design.n_rows, fit.sigma)
    if design.weights is not None:
        noise = noise / np.sqrt(design.weights)
    out: Array = random.standard_normal((design.n_rows, n)) * noise[:, None]
    out += (design.x @ fit.beta)[:, None]
    lambdas = term_lambdas(design.terms, fit.theta)
    for term, lam in zip(design.terms, lambdas, strict=True):
        draws = random.standard_normal((term.n_groups, term.n_columns, n))
        effects = fit.sigma * np.einsum("ab,gbk->gak", lam, draws)
        for a in range(term.n_columns):
            out += term.z[:, a, None] * effects[term.codes, a]
    return out


def _leverage(fit: Fit) -> Array:
    """The effects' share given beta, z'Kz, and what estimating beta adds."""
    design, layout = fit.design, fit.objective.layout
    at = fit.objective.forward(Covariance(design).own_lambdas(fit.theta))
    met = met_covariances(layout, at)
    p = design.n_fixed
    answers = solved_columns(layout, at, np.eye(p + 1)[:, :p])
    rest = design.q.copy()
    out = np.zeros(design.n_rows)
    for f, factor in enumerate(design.factors):
        blocks = own_blocks(layout, at, met, f)
        for a, za in enumerate(factor.z):
            rest -= za[:, None] * answers[f][a][factor.codes]
            for b, zb in enumerate(factor.z):
                out += za * zb * blocks[a, b][factor.codes]
        for h in range(f + 1, len(design.factors)):
            out += 2.0 * _cross(fit, layout, met, (f, h))
    out += np.einsum("ni,ij,nj->n", rest, at.x_inverse, rest)
    return out


def _cross(
    fit: Fit, layout: Layout, met: MetCovariances, pair: tuple[int, int]
) -> Array:
    """Share of the covariance between a row's groups in two factors."""
    factors = fit.design.factors
    sizes = [f.n_columns * f.n_groups for f in factors]
    order = [s.factor for s in layout.stages] + [*layout.core]
    f, h = sorted(pair, key=order.index)
    one, two = factors[f], factors[h]
    low = factor_columns(layout, sizes, h)
    out = np.zeros(fit.design.n_rows)
    stages = {s.factor: s for s in layout.stages}
    for b, zb in enumerate(two.z):
        column = low + b * two.n_groups + two.codes
        if f in stages:
            stage = stages[f]
            keys = stage.group * layout.n_later + stage.column
            touch = np.searchsorted(keys, one.codes * layout.n_later + column)
            values = met.first_values
            if stage.at_within >= 0:
                end = stage.at_values + stage.n_columns * len(stage.group)
                values = met.state[stage.at_values : end].reshape(stage.n_columns, -1)
            parts = [v[touch] for v in values]
        else:
            core = met.state[layout.at_core :].reshape(layout.core_size, -1)
            start = factor_columns(layout, sizes, f) - layout.first_core
            parts = [
                core[start + a * one.n_groups + one.codes, column - layout.first_core]
                for a in range(one.n_columns)
            ]
        for za, part in zip(one.z, parts, strict=True):
            out += za * zb * part
    return out
