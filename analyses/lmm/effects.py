"""Predicted random effects (BLUPs) and their conditional covariances.

The covariance of the effects given theta is wanted only where groups meet in a row;
it follows backwards through the elimination on the same pattern (Takahashi's
recursion), so nothing dense is formed for the eliminated factors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analyses.lmm.covariance import Covariance
from analyses.lmm.design import Array
from analyses.lmm.fit import Fit
from analyses.lmm.layout import Layout, Stage
from analyses.lmm.passes import Forward, StagePass

__all__ = ["MetCovariances", "RandomEffects", "met_covariances", "random_effects"]


@dataclass(frozen=True, eq=False)
class RandomEffects:
    """The effects of one term.

    Attributes:
        estimate: Groups x q, in the outcome's unit per unit of the column.
        covariance: Groups x q x q, given theta and beta (lme4's condVar).
    """

    estimate: Array
    covariance: Array

    @property
    def std_errors(self) -> Array:
        """Conditional standard deviations, groups x q."""
        out: Array = np.sqrt(np.einsum("gaa->ga", self.covariance))
        return out


@dataclass(frozen=True, eq=False)
class MetCovariances:
    """Conditional covariances of effects that meet, over the residual variance.

    Attributes:
        state: On the layout's state, cross terms with the sign of a covariance.
        first: Own blocks of the first stage, q x q x groups.
        first_values: The first stage's groups with the later columns they touch.
    """

    state: Array
    first: Array
    first_values: Array


def solved_columns(layout: Layout, at: Forward, weights: Array) -> list[Array]:
    """Effects that answer to combinations of the fixed columns and outcome.

    Args:
        layout: The elimination.
        at: An evaluation.
        weights: m x k, such as (-beta, 1) for the BLUPs.

    Returns:
        For each factor q x groups x k, transformed columns.
    """
    k = weights.shape[1]
    out: list[Array] = [np.zeros(0)] * len(at.lambdas)
    later = np.zeros((layout.n_later, k))
    if at.core is not None:
        later[layout.first_core :] = at.core.solved @ weights
        ends = [*layout.core_starts[1:], layout.core_size]
        for f, low, high in zip(layout.core, layout.core_starts, ends, strict=True):
            part = later[layout.first_core + low : layout.first_core + high]
            out[f] = part.reshape(len(at.lambdas[f]), -1, k)
    for stage, done in zip(reversed(layout.stages), reversed(at.stages), strict=True):
        q, n = stage.n_columns, stage.n_groups
        own = np.einsum("amg,mk->agk", done.n_fixed, weights)
        if len(stage.group):
            own -= (stage.touching_t(done.n_values) @ later).reshape(q, n, k)
        out[stage.factor] = own
        if stage.at_within >= 0:
            low = stage.first_column
            later[low : low + q * n] = own.reshape(q * n, k)
    return out


def random_effects(fit: Fit) -> tuple[RandomEffects, ...]:
    """BLUPs of every term with their conditional covariances.

    Groups without rows get 0 and the term's whole variance.

    Source:
        Bates et al. (2015), section 5.1 there; checked against `ranef`.
    """
    design, layout = fit.design, fit.objective.layout
    at = _evaluated(fit)
    weights = np.append(-at.beta, 1.0)[:, None]
    effects = solved_columns(layout, at, weights)
    met = met_covariances(layout, at)
    out: list[RandomEffects] = [RandomEffects(np.zeros(0), np.zeros(0))] * len(
        design.terms
    )
    for f, factor in enumerate(design.factors):
        back = factor.inverse
        estimate = fit.scale * np.einsum("ab,bg->ga", back, effects[f][:, :, 0])
        blocks = own_blocks(layout, at, met, f)
        covariance = fit.sigma**2 * np.einsum("ab,bcg,dc->gad", back, blocks, back)
        for slot in factor.slots:
            own = slice(slot.start, slot.stop)
            out[slot.term] = RandomEffects(estimate[:, own], covariance[:, own, own])
    return tuple(out)


def _evaluated(fit: Fit) -> Forward:
    covariance = Covariance(fit.design)
    return fit.objective.forward(covariance.own_lambdas(fit.theta))


def own_blocks(layout: Layout, at: Forward, met: MetCovariances, f: int) -> Array:
    """Conditional covariance of each group's own effects, q x q x groups."""
    for stage in layout.stages:
        if stage.factor == f:
            if stage.at_within < 0:
                return met.first
            q, n = stage.n_columns, stage.n_groups
            part = met.state[stage.at_within : stage.at_within + q * q * n]
            return part.reshape(q, q, n)
    place = layout.core.index(f)
    low, q = layout.core_starts[place], len(at.lambdas[f])
    ends = [*layout.core_starts[1:], layout.core_size]
    n = (ends[place] - low) // q
    core = met.state[layout.at_core :].reshape(layout.core_size, -1)
    block = core[low : low + q * n, low : low + q * n].reshape(q, n, q, n)
    own: Array = np.einsum("agbg->abg", block)
    return own.copy()


def met_covariances(layout: Layout, at: Forward) -> MetCovariances:
    """Conditional covariances of all effects that meet in a row."""
    state = np.zeros_like(layout.state)
    if at.core is not None:
        state[layout.at_core :] = at.core.n.ravel()
    first = first_values = np.zeros(0)
    for stage, done in zip(reversed(layout.stages), reversed(at.stages), strict=True):
        psi = at.psi[stage.factor]
        within, values = _stage_covariances(stage, done, psi, state)
        if stage.at_within < 0:
            first, first_values = within, values
        else:
            end = stage.at_within + within.size
            state[stage.at_within : end] = within.ravel()
            end = stage.at_values + values.size
            state[stage.at_values : end] = values.ravel()
    return MetCovariances(state, first, first_values)


def _stage_covariances(
    stage: Stage, done: StagePass, psi: Array, state: Array
) -> tuple[Array, Array]:
    q, n, touches = stage.n_columns, stage.n_groups, len(stage.group)
    within = np.einsum("abg,bc->acg", done.j, psi)
    values = np.zeros((q, touches))
    if not touches:
        return within, values
    known = state[stage.target] * stage.share
    apart = np.where(stage.left == stage.right, 0.0, known)
    for a in range(q):
        own = done.n_values[a]
        values[a] -= np.bincount(stage.left, known * own[stage.right], touches)
        values[a] -= np.bincount(stage.right, apart * own[stage.left], touches)
    for a in range(q):
        for b in range(q):
            share = values[a] * done.n_values[b]
            within[a, b] -= np.bincount(stage.group, share, n)
    return within, values


def factor_columns(layout: Layout, sizes: Sequence[int], f: int) -> int:
    """First later column of a factor, -1 for the first stage's."""
    if layout.stages[0].factor == f:
        return -1
    at = 0
    for h in [s.factor for s in layout.stages[1:]] + [*layout.core]:
        if h == f:
            return at
        at += sizes[h]
    raise KeyError(f)
