"""What one evaluation of the objective leaves behind for its derivative."""

from __future__ import annotations

from dataclasses import dataclass

from analyses.lmm.design import Array

__all__ = ["CorePass", "Forward", "StagePass"]


@dataclass(frozen=True, eq=False)
class StagePass:
    """What one stage leaves behind for the way back.

    Attributes:
        within: C as it was when the stage's turn came, q x q x groups.
        fixed: With fixed columns and outcome, q x m x groups.
        j: (I + Psi C)^-1, q x q x groups.
        j_values: J' times the touches' values, q x touches.
        j_fixed: J' times `fixed`.
        n_values: Psi times `j_values`.
        n_fixed: Psi times `j_fixed`.
    """

    within: Array
    fixed: Array
    j: Array
    j_values: Array
    j_fixed: Array
    n_values: Array
    n_fixed: Array


@dataclass(frozen=True, eq=False)
class CorePass:
    """What the dense core leaves behind.

    Attributes:
        s: Its matrix after the stages, r x r.
        scaled: s times Lambda.
        inverse: (I + Lambda' s Lambda)^-1.
        n: Lambda inverse Lambda'.
        solved: n times its fixed columns, r x m.
        rest: Its fixed columns minus s times `solved`, r x m.
    """

    s: Array
    scaled: Array
    inverse: Array
    n: Array
    solved: Array
    rest: Array


@dataclass(frozen=True, eq=False)
class Forward:
    """One evaluation.

    Attributes:
        log_det: log |I + Z'Z Psi| over all random effects.
        log_det_x: log-determinant of the fixed part left over.
        rss: Penalised residual sum of squares.
        beta: Coefficients of the orthonormal columns, p.
        x_inverse: Their covariance over the residual variance, p x p.
    """

    log_det: float
    log_det_x: float
    rss: float
    beta: Array
    x_inverse: Array
    psi: tuple[Array, ...]
    lambdas: tuple[Array, ...]
    stages: tuple[StagePass, ...]
    core: CorePass | None
