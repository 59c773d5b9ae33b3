"""The deviance of a relative covariance, and its gradient, from cross-products.

`Objective.forward` eliminates the stages of a layout one after another, then the
dense core, and arrives at a small matrix of fixed columns and outcome.
`Objective.backward` goes the same way back (reverse differentiation) and gives the
derivative in the relative covariance of every grouping factor at the cost of about
one more evaluation.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.linalg.lapack import dpotrf, dpotri

from analyses.lmm.blocks import inverse_blocks, transposed_left
from analyses.lmm.crossproducts import CrossProducts
from analyses.lmm.design import Array
from analyses.lmm.gradient import core_gradient, stage_gradient, total_bar
from analyses.lmm.layout import Layout, Stage, make_layout
from analyses.lmm.passes import CorePass, Forward, StagePass

__all__ = ["Objective"]

# OpenBLAS shares out even a 9 x 9 `dpotri` among threads, which costs milliseconds
# on a busy machine; below this size a general inverse stays on one thread.
ONE_THREAD = 150


class Objective:
    """The objective of one design and outcome; holds cross-products, no rows."""

    def __init__(self, products: CrossProducts, layout: Layout | None = None) -> None:
        self.products = products
        self.layout = make_layout(products) if layout is None else layout
        m = products.total.shape[0]
        parts = [
            products.fixed[f].swapaxes(0, 1).reshape(m, -1)
            for f in [s.factor for s in self.layout.stages[1:]] + [*self.layout.core]
        ]
        self._fixed = np.concatenate(parts, axis=1) if parts else np.zeros((m, 0))

    def forward(self, lambdas: Sequence[Array]) -> Forward:
        """Evaluate at relative covariance factors, one q x q for each factor.

        Raises:
            numpy.linalg.LinAlgError: The matrices are not numbers or not positive
                definite at this point; a line search steps back from it.
        """
        layout, products = self.layout, self.products
        psi = tuple(lam @ lam.T for lam in lambdas)
        first = layout.stages[0]
        state, fixed = layout.state, self._fixed
        if len(layout.stages) > 1 or layout.core_size:
            state, fixed = state.copy(), fixed.copy()
        total = products.total.copy()
        log_det, passes = 0.0, []
        for stage in layout.stages:
            if stage is first:
                within, values = products.within[stage.factor], stage.values
                own = products.fixed[stage.factor]
            else:
                within, values, own = _own(stage, state, fixed)
            done, logs = _eliminate(stage, within, values, own, psi[stage.factor])
            _subtract(stage, done, values, state, fixed, total)
            passes.append(done)
            log_det += logs
        core = None
        if layout.core_size:
            core, logs = _eliminate_core(layout, state, fixed, lambdas)
            total -= fixed[:, layout.first_core :] @ core.solved
            log_det += logs
        log_det_x, rss, beta, x_inverse = _fixed_part(total)
        return Forward(
            log_det, log_det_x, rss, beta, x_inverse, psi, tuple(lambdas),
            tuple(passes), core,
        )  # fmt: skip

    def backward(
        self,
        at: Forward,
        *,
        x_weight: float,
        rss_weight: float,
        det_weight: float = 1.0,
    ) -> list[Array]:
        """Derivative in Lambda of a weighted sum of the parts of an evaluation.

        Args:
            at: The evaluation.
            x_weight: Weight of `log_det_x` (1 in REML, 0 in ML).
            rss_weight: Weight of `rss`.
            det_weight: Weight of `log_det`.

        Returns:
            For each factor the derivative in its q x q matrix Lambda.
        """
        layout = self.layout
        total = total_bar(at, x_weight, rss_weight)
        out: list[Array] = [np.zeros_like(lam) for lam in at.lambdas]
        state = np.zeros(len(layout.state))
        fixed = np.zeros_like(self._fixed)
        if at.core is not None:
            core = at.core
            moved = core.solved @ total
            fixed[:, layout.first_core :] = -2.0 * moved.T
            bar = state[layout.at_core :].reshape(core.s.shape)
            np.dot(moved, core.solved.T, out=bar)
            bar += core.n if det_weight == 1.0 else det_weight * core.n
            core_gradient(self.core_slices(), at, core, total, det_weight, out)
        for stage, done in zip(
            reversed(layout.stages), reversed(at.stages), strict=True
        ):
            out[stage.factor] = stage_gradient(
                stage, done, at, total, state, fixed, det_weight
            )
        return out

    def core_slices(self) -> list[tuple[int, slice, int]]:
        """Factor, columns within the core and number of groups of each core factor."""
        result = []
        for f, start in zip(self.layout.core, self.layout.core_starts, strict=True):
            q, n = self.products.within[f].shape[1:]
            result.append((f, slice(start, start + q * n), n))
        return result


def _own(stage: Stage, state: Array, fixed: Array) -> tuple[Array, Array, Array]:
    """A later stage's blocks, touches and fixed columns as the state holds them."""
    q, n = stage.n_columns, stage.n_groups
    within = state[stage.at_within : stage.at_within + q * q * n].reshape(q, q, n)
    end = stage.at_values + q * len(stage.group)
    values = state[stage.at_values : end].reshape(q, -1)
    own = fixed[:, stage.first_column : stage.first_column + q * n]
    return within, values, _by_effect(own, q)


def _by_effect(columns: Array, q: int) -> Array:
    """From m x (q groups) to q x m x groups."""
    parts = columns.reshape(len(columns), q, -1).swapaxes(0, 1)
    return np.ascontiguousarray(parts)


def _eliminate(
    stage: Stage, within: Array, values: Array, fixed: Array, psi: Array
) -> tuple[StagePass, float]:
    j, logs = inverse_blocks(within, psi)
    j_fixed = transposed_left(j[:, :, None], fixed)
    if len(stage.group):
        j_values = transposed_left(j.take(stage.group, axis=2), values)
    else:
        j_values = values
    n_values, n_fixed = _times(psi, j_values), _times(psi, j_fixed)
    return StagePass(within, fixed, j, j_values, j_fixed, n_values, n_fixed), logs


def _times(psi: Array, values: Array) -> Array:
    """Psi times values along their first axis."""
    if len(psi) == 1:
        scaled: Array = psi[0, 0] * values
        return scaled
    out: Array = psi @ values.reshape(len(psi), -1)
    return out.reshape(values.shape)


def _dots(a: Array, b: Array) -> Array:
    """Sum over the first axis of products, for q x n arrays."""
    out: Array = a[0] * b[0]
    for one, other in zip(a[1:], b[1:], strict=True):
        out += one * other
    return out


def _subtract(
    stage: Stage,
    done: StagePass,
    values: Array,
    state: Array,
    fixed: Array,
    total: Array,
) -> None:
    """Take a stage's share out of everything later."""
    for own, solved in zip(done.fixed, done.n_fixed, strict=True):
        total -= own @ solved.T
    if not len(stage.group):
        return
    weights = _dots(
        values.take(stage.left, axis=1), done.n_values.take(stage.right, axis=1)
    )
    state -= np.bincount(stage.target, weights, len(state))
    spread = done.n_fixed.swapaxes(1, 2).reshape(-1, len(total))
    fixed -= (stage.touching(values) @ spread).T


def _eliminate_core(
    layout: Layout, state: Array, fixed: Array, lambdas: Sequence[Array]
) -> tuple[CorePass, float]:
    r = layout.core_size
    upper = state[layout.at_core :].reshape(r, r)
    s = _mirrored(upper)
    scaled = _times_lambda(layout, s, lambdas)
    omega = _times_lambda(layout, scaled.T, lambdas)
    omega.flat[:: r + 1] += 1.0
    inverse, logs = _inverse(omega)
    half = _times_lambda(layout, inverse, lambdas, transposed=True)
    n = _times_lambda(layout, half.T, lambdas, transposed=True)
    own = fixed[:, layout.first_core :].T
    solved = n @ own
    return CorePass(s, scaled, inverse, n, solved, own - s @ solved), logs


def _times_lambda(
    layout: Layout, matrix: Array, lambdas: Sequence[Array], *, transposed: bool = False
) -> Array:
    """Multiply the core's columns by the block-diagonal Lambda (or its transpose)."""
    parts = []
    r = layout.core_size
    ends = [*layout.core_starts[1:], r]
    if all(len(lambdas[f]) == 1 for f in layout.core):
        scale = np.empty(r)
        for f, low, high in zip(layout.core, layout.core_starts, ends, strict=True):
            scale[low:high] = lambdas[f][0, 0]
        return matrix * scale
    for f, low, high in zip(layout.core, layout.core_starts, ends, strict=True):
        lam = lambdas[f].T if transposed else lambdas[f]
        block = matrix[:, low:high].reshape(r, len(lam), -1)
        parts.append(np.einsum("ran,ab->rbn", block, lam).reshape(r, -1))
    return np.concatenate(parts, axis=1)


def _inverse(matrix: Array) -> tuple[Array, float]:
    """Inverse and log-determinant of a positive definite matrix."""
    factor, info = dpotrf(matrix.T, lower=1)
    if info:
        raise np.linalg.LinAlgError
    logs = 2.0 * float(np.log(np.diag(factor)).sum())
    if len(matrix) < ONE_THREAD:
        inverse: Array = np.asarray(np.linalg.inv(matrix), dtype=np.float64)
        return inverse, logs
    lower, info = dpotri(factor, lower=1, overwrite_c=1)
    if info:
        raise np.linalg.LinAlgError
    return _mirrored(lower), logs


def _mirrored(triangle: Array) -> Array:
    """A symmetric matrix from its triangle, the other one being 0."""
    whole: Array = triangle + triangle.T
    whole.flat[:: len(whole) + 1] *= 0.5
    return whole


def _fixed_part(total: Array) -> tuple[float, float, Array, Array]:
    p = len(total) - 1
    if p == 0:
        return 0.0, _positive(total[0, 0]), np.zeros(0), np.zeros((0, 0))
    inverse, logs = _inverse(total[:p, :p])
    beta = inverse @ total[:p, p]
    rss = float(total[p, p] - total[:p, p] @ beta)
    return logs, _positive(rss), beta, inverse


def _positive(rss: float) -> float:
    if not rss > 0.0:
        raise np.linalg.LinAlgError
    return rss
